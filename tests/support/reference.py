"""The reference of VED: transformers' Flax class, and the steps of its script.

The script is create_model_from_encoder_decoder_models. It instantiates the models.
"""

from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from transformers import (
    AutoConfig,
    FlaxVisionEncoderDecoderModel,
)


def create_model(
    encoder: Path,
    decoder: Path,
    encoder_config: Path | None = None,
    decoder_config: Path | None = None,
) -> Any:
    """Return the model that the script would save."""
    configs = {
        "encoder": AutoConfig.from_pretrained(encoder_config or encoder),
        "decoder": AutoConfig.from_pretrained(decoder_config or decoder),
    }
    configs["decoder"].is_decoder = True
    configs["decoder"].add_cross_attention = True
    model = FlaxVisionEncoderDecoderModel.from_encoder_decoder_pretrained(
        encoder_pretrained_model_name_or_path=str(encoder),
        decoder_pretrained_model_name_or_path=str(decoder),
        encoder_config=configs["encoder"],
        decoder_config=configs["decoder"],
    )
    start, pad = (
        configs["decoder"].decoder_start_token_id,
        configs["decoder"].pad_token_id,
    )
    eos = configs["decoder"].eos_token_id
    model.config.decoder_start_token_id = (
        configs["decoder"].bos_token_id if start is None else start
    )
    model.config.pad_token_id = eos if pad is None else pad
    model.config.eos_token_id = eos
    return model


def parameters(model: Any) -> dict[tuple[str, ...], np.ndarray[Any, Any]]:
    """Return a model's parameters by path."""
    return {path: np.asarray(value) for path, value in flatten_dict(model.params).items()}


_init_weights = FlaxVisionEncoderDecoderModel.init_weights


def load(directory: Path) -> Any:
    """Return the model with the parameters of a checkpoint.

    The class would draw initial parameters first, which takes seconds, and replace them. Here they
    are zero, and so is a parameter that the checkpoint lacks.
    """
    with _zeros():
        return FlaxVisionEncoderDecoderModel.from_pretrained(directory)


def without_parameters(config: Any) -> Any:
    """Return a model of a config whose parameters are zero."""
    with _zeros():
        return FlaxVisionEncoderDecoderModel(config)


def _zeros() -> Any:
    return mock.patch.object(FlaxVisionEncoderDecoderModel, "init_weights", _zero_parameters)


def _zero_parameters(model: Any, rng: jax.Array, input_shape: Any, params: Any = None) -> Any:
    assert params is None
    shapes = jax.eval_shape(partial(_init_weights, model, input_shape=input_shape), rng)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
