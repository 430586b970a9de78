"""The parameters of a new model: those of transformers' classes with the same seed, bit for bit.

`jax.eval_shape` of these functions gives names and shapes, without any memory for numbers.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ved.modeling.composite import VisionEncoderDecoderModule, initial_params
from ved.modeling.decoder import DecoderSettings
from ved.modeling.families import decoder_settings, encoder_settings, module_of
from ved.modeling.image_settings import ImageSettings


def encoder_params(settings: ImageSettings, seed: int) -> Any:
    """Return the parameters of a new encoder, as nested dictionaries.

    Args:
        settings: the settings of the encoder; see `ved.modeling.families.encoder_settings`.
        seed: the seed.
    """
    return initial_params(module_of(settings)(settings), seed, _pixels(settings))


def decoder_params(settings: DecoderSettings, seed: int) -> Any:
    """Return the parameters of a new decoder; see `encoder_params`."""
    token = jnp.zeros((1, 1), jnp.int32)
    source = jnp.zeros((1, 1, settings.width))
    return initial_params(module_of(settings)(settings), seed, token, token, None, source)


def composite_params(config: Mapping[str, Any], seed: int) -> Any:
    """Return the parameters of a new model, as nested dictionaries.

    Args:
        config: the config of the model, as in config.json.
        seed: the seed.

    Raises:
        ModelingError: the config has a setting that is not computed.
    """
    return module_params(composite_module(config), seed)


def projection_params(config: Mapping[str, Any], seed: int) -> Any:
    """Return what `composite_params` returns, without the encoder and the decoder.

    They take most of the time, and the numbers of the projection do not depend on them.
    """
    module = composite_module(config)
    states = jnp.zeros((1, 1, module.encoder_settings.hidden_size))
    return initial_params(module, seed, states, method="project")


def composite_module(config: Mapping[str, Any], **options: Any) -> VisionEncoderDecoderModule:
    """Return the module of a config.

    Args:
        config: the content of config.json, with `encoder` and `decoder`.
        **options: `dtype` and `remat` of the module.

    Raises:
        ModelingError: the config has a setting that is not computed.
    """
    encoder, decoder = encoder_settings(config["encoder"]), decoder_settings(config["decoder"])
    return VisionEncoderDecoderModule(encoder, decoder, **options)


def module_params(module: VisionEncoderDecoderModule, seed: int) -> Any:
    """Return new parameters of a module, as nested dictionaries."""
    pixels = _pixels(module.encoder_settings)
    return initial_params(module, seed, pixels, jnp.zeros((1, 1), jnp.int32))


def _pixels(settings: ImageSettings) -> jax.Array:
    return jnp.zeros((1, settings.num_channels, *settings.image_size))
