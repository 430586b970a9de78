"""Prepare configs, parameters and prompts for `ved.modeling.model`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from ved.modeling import names
from ved.modeling.composite import VisionEncoderDecoderModule, initial_params
from ved.modeling.config import read_settings
from ved.modeling.errors import ModelingError
from ved.modeling.families import module_of
from ved.modeling.generation.settings import KNOWN
from ved.modeling.loading import load_half

_EXACT: dict[str, str | bool] = {"xla_disable_hlo_passes": "algsimp"}
"""Options of the compiler with which initial parameters have the bits of single operations."""

_RANDOM = (".crossattention.", ".ln_cross_attn.", ".encoder_attn.", ".encoder_attn_layer_norm.")
"""Parts of the names of parameters that a pretrained decoder may lack: its cross-attention."""

_OPTIONAL = (".cls.predictions.", ".lm_head.")
"""Parts of the names of parameters of heads, which some pretrained decoders lack."""


def inputs(module: VisionEncoderDecoderModule) -> tuple[jax.Array, jax.Array]:
    """Return an image and a text of the smallest shape that a module takes."""
    of = module.encoder_settings
    size = of.image_size if isinstance(of.image_size, tuple) else (of.image_size,) * 2
    return jnp.zeros((1, of.num_channels, *size)), jnp.zeros((1, 1), jnp.int32)


def shapes(module: VisionEncoderDecoderModule) -> Any:
    """Return the parameters of a module as `jax.ShapeDtypeStruct`, in nested dictionaries."""
    return jax.eval_shape(lambda: initial_params(module, 0, *inputs(module)))


def new_params(module: VisionEncoderDecoderModule, seed: int) -> Any:
    """Return new parameters."""
    return _compiled(lambda: initial_params(module, seed, *inputs(module)))


def composite_config(directory: Path, repo: str | Path) -> dict[str, Any]:
    """Return the config of a checkpoint.

    Args:
        directory: the directory of the checkpoint.
        repo: its name, for the error.

    Raises:
        ModelingError: it is not a vision encoder-decoder.
    """
    config = read_settings(directory / "config.json")
    if not {"encoder", "decoder"} <= config.keys():
        raise ModelingError(
            f"{repo} is not a vision encoder-decoder: its config.json has no encoder and decoder. "
            "Use from_encoder_decoder_pretrained to join an encoder and a decoder."
        )
    return config


def joined_config(directories: Mapping[str, Path]) -> dict[str, Any]:
    """Return the config of a model of two pretrained parts, as transformers' script sets it."""
    config: dict[str, Any] = {"model_type": "vision-encoder-decoder", "is_encoder_decoder": True}
    parts = {role: read_settings(path / "config.json") for role, path in directories.items()}
    decoder = {**parts["decoder"], "is_decoder": True, "add_cross_attention": True}
    ids = {
        "decoder_start_token_id": decoder.get(
            "decoder_start_token_id", decoder.get("bos_token_id")
        ),
        "eos_token_id": decoder.get("eos_token_id"),
        "pad_token_id": decoder.get("pad_token_id", decoder.get("eos_token_id")),
    }
    return {**config, "encoder": parts["encoder"], "decoder": decoder, **ids}


def joined_params(
    module: VisionEncoderDecoderModule, directories: Mapping[str, Path], decoder_seed: int
) -> Any:
    """Return the parameters of both parts, and new ones for what they lack.

    Raises:
        ModelingError: a part lacks a parameter of its own.
    """
    expected = shapes(module)
    images, tokens = inputs(module)
    encoder = module_of(module.encoder_settings)(module.encoder_settings)
    decoder = module_of(module.decoder_settings)(module.decoder_settings)
    sources = jnp.zeros((1, 1, module.encoder_settings.hidden_size))
    projected = jnp.zeros((1, 1, module.decoder_settings.width))
    del sources
    positions = jnp.zeros((1, 1), jnp.int32)
    new = {
        "encoder": lambda: initial_params(encoder, 0, images),
        "decoder": lambda: initial_params(
            decoder, decoder_seed, tokens, positions, None, projected
        ),
    }
    params: dict[str, Any] = {}
    for role, directory in directories.items():
        found = load_half(directory, expected[role])
        missing = [path for path in flatten_dict(expected[role]) if path not in found]
        lost = [path for path in missing if not _may_lack(path)]
        if lost:
            listed = ", ".join(".".join(path) for path in lost[:10])
            raise ModelingError(f"The {role} has no {listed}. Use another {role}.")
        drawn = _compiled(lambda role=role: new[role](), keep=missing) if missing else {}
        params[role] = unflatten_dict({**found, **drawn})
    rest = [path for path in flatten_dict(expected) if path[0] not in params]
    if rest:
        whole = _compiled(lambda: initial_params(module, 0, images, tokens), keep=rest)
        params |= unflatten_dict(whole)
    return params


def _may_lack(path: names.ParameterPath) -> bool:
    name = "." + ".".join(path)
    return names.is_unused(path) or any(part in name for part in (*_RANDOM, *_OPTIONAL))


def _compiled(draw: Any, keep: Any = None) -> Any:
    """Return parameters, or those at the paths `keep` by path; the compiler drops the others."""

    def kept() -> Any:
        if keep is None:
            return draw()
        drawn = flatten_dict(draw())
        return {"/".join(path): drawn[path] for path in keep}

    drawn = jax.jit(kept).lower().compile(compiler_options=_EXACT)()
    return drawn if keep is None else {tuple(key.split("/")): drawn[key] for key in drawn}


def cache_length(cache: Mapping[str, Any]) -> jax.Array:
    """Return how many tokens are in a cache: int32 (). Every layer has the same number."""
    lengths = (leaf for path, leaf in flatten_dict(cache).items() if path[-1] == "cache_index")
    length: jax.Array = next(lengths)
    return length


def generation_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of generation that a config has, as old checkpoints do."""
    found: dict[str, Any] = {}
    for part in (config.get("decoder") or {}, config):
        found |= {name: part[name] for name in KNOWN & part.keys() if part[name] is not None}
    # The config of a model says so, not what to return from `generate`.
    return {name: value for name, value in found.items() if not name.startswith("output_")}
