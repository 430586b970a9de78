"""The reference of VED: the steps of transformers' create_model_from_encoder_decoder_models.

It instantiates the models, like the script.
"""

from pathlib import Path
from typing import Any

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
