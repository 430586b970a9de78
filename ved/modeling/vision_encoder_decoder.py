"""A FlaxVisionEncoderDecoderModel that gives the numbers of PyTorch and generates.

For people who train or serve a checkpoint in Flax:

    from ved.modeling import FlaxVisionEncoderDecoderModel

It replaces the class of the same name in transformers 4.57, the last release with Flax. Both
classes load and save the same checkpoints. This file needs transformers, flax and jax, but nothing
else of VED, so a copy of it works anywhere.

A comment in each override names the defect that it fixes in transformers' class, which is called
upstream here. The numbers of PyTorch are those of `create_position_ids_from_input_ids` of RoBERTa
and `interpolate_pos_encoding` of DINOv2 in transformers 5.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray
from transformers.models.dinov2.modeling_flax_dinov2 import FlaxDinov2Embeddings
from transformers.models.vision_encoder_decoder import (
    modeling_flax_vision_encoder_decoder as upstream,
)

_COUNTING_FROM_PAD = ("roberta", "xlm-roberta", "roberta-prelayernorm")
"""Decoders whose first token has the position after the pad id."""


class FlaxVisionEncoderDecoderModule(upstream.FlaxVisionEncoderDecoderModule):
    """The module of `FlaxVisionEncoderDecoderModel`, with the parameters of upstream's module."""

    def _get_decoder_module(self) -> Callable[..., Any]:
        # Upstream's `decode` passes four inputs by position. In BERT-like decoders, the fourth
        # parameter is `token_type_ids`: it gets the encoder's states, and decoding fails.
        def decoder(
            input_ids: jax.Array,
            attention_mask: jax.Array,
            position_ids: jax.Array,
            encoder_hidden_states: jax.Array,
            **kwargs: Any,
        ) -> Any:
            return self.decoder(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                encoder_hidden_states=encoder_hidden_states,
                **kwargs,
            )

        return decoder


class FlaxVisionEncoderDecoderModel(upstream.FlaxVisionEncoderDecoderModel):
    """A vision encoder and a text decoder that attends to it, with the numbers of PyTorch.

    `__call__`, `encode`, `decode` and `generate` take the arguments of transformers' class. The
    model uses the position ids that it gets; without any, it uses those of PyTorch.
    """

    module_class = FlaxVisionEncoderDecoderModule

    # `generate` reads this signature to decide which arguments it passes on.
    @functools.wraps(upstream.FlaxVisionEncoderDecoderModel.__call__, assigned=())
    def __call__(
        self,
        pixel_values: jax.Array,
        decoder_input_ids: jax.Array | None = None,
        decoder_attention_mask: jax.Array | None = None,
        decoder_position_ids: jax.Array | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Return the logits of all tokens at once, as training needs them.

        Args:
            pixel_values: float32 (batch, channels, height, width).
            decoder_input_ids: int32 (batch, tokens).
            decoder_attention_mask: int32 (batch, tokens), 0 for tokens that no token may attend to;
                all 1 by default.
            decoder_position_ids: int32 (batch, tokens), rows of the decoder's position embeddings.
            *args: see transformers' class.
            **kwargs: see transformers' class.

        Returns:
            An output with `logits`: (batch, tokens, vocabulary).
        """
        # Upstream counts positions from 0 for every decoder.
        if decoder_position_ids is None and decoder_input_ids is not None:
            decoder_position_ids = _position_ids(self.config.decoder, decoder_input_ids)
        with nn.intercept_methods(_fix_interpolation):
            return super().__call__(
                pixel_values,
                decoder_input_ids,
                decoder_attention_mask,
                decoder_position_ids,
                *args,
                **kwargs,
            )

    def encode(self, pixel_values: jax.Array, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the encoder, for `decode`.

        Args:
            pixel_values: float32 (batch, channels, height, width).
            *args: see transformers' class.
            **kwargs: see transformers' class.

        Returns:
            An output with `last_hidden_state`: (batch, 1 + patches, width). The first state is that
            of the whole image.
        """
        with nn.intercept_methods(_fix_interpolation):
            return super().encode(pixel_values, *args, **kwargs)

    def decode(
        self,
        decoder_input_ids: jax.Array,
        encoder_outputs: Any,
        decoder_attention_mask: jax.Array | None = None,
        decoder_position_ids: jax.Array | None = None,
        past_key_values: dict[str, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Return the logits of tokens that follow those in the cache.

        Args:
            decoder_input_ids: int32 (batch, tokens).
            encoder_outputs: the result of `encode`.
            decoder_attention_mask: int32 (batch, tokens); with a cache, (batch, cache length).
            decoder_position_ids: int32 (batch, tokens), rows of the decoder's position embeddings.
            past_key_values: the cache: the result of `init_cache`, or `past_key_values` of the call
                before. Without it, the tokens are the first ones.
            *args: see transformers' class.
            **kwargs: see transformers' class.

        Returns:
            An output with `logits`: (batch, tokens, vocabulary), and with the new cache as
            `past_key_values` if there was one.
        """
        # Upstream counts positions from 0 for every decoder, and cannot count them with a cache.
        if decoder_position_ids is None:
            past = _length(past_key_values) if past_key_values else 0
            decoder_position_ids = _position_ids(self.config.decoder, decoder_input_ids, past)
        return super().decode(
            decoder_input_ids,
            encoder_outputs,
            decoder_attention_mask,
            decoder_position_ids,
            past_key_values,
            *args,
            **kwargs,
        )

    def init_cache(self, batch_size: int, max_length: int, encoder_outputs: Any) -> dict[str, Any]:
        """Return an empty cache for `decode`.

        Args:
            batch_size: how many texts.
            max_length: how many tokens each text can have.
            encoder_outputs: the result of `encode`.

        Returns:
            Nested dictionaries with the keys and values of every layer.
        """
        # To learn the shapes, upstream draws all parameters of the decoder, in every `generate`.
        initialize = super().init_cache
        shapes = jax.eval_shape(lambda: initialize(batch_size, max_length, encoder_outputs))
        cache: dict[str, Any] = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return cache

    def prepare_inputs_for_generation(
        self,
        decoder_input_ids: jax.Array,
        max_length: int,
        decoder_attention_mask: jax.Array | None = None,
        encoder_outputs: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the arguments of the first `decode` in `generate`; see transformers' class."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            decoder_input_ids, max_length, decoder_attention_mask, encoder_outputs, **kwargs
        )
        # Upstream counts positions from 0, and adds 1 for every token. RoBERTa's positions depend
        # on the tokens, which only `decode` has. Like PyTorch, this class counts masked tokens.
        del inputs["decoder_position_ids"]
        return inputs

    def update_inputs_for_generation(
        self, model_outputs: Any, model_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the arguments of the next `decode` in `generate`; see transformers' class."""
        return {**model_kwargs, "past_key_values": model_outputs.past_key_values}


def _position_ids(config: Any, input_ids: jax.Array, past: jax.Array | int = 0) -> jax.Array:
    """Return the position ids that PyTorch gives to tokens.

    In RoBERTa-like decoders, pad tokens have the pad id as their position. Other tokens count from
    the id after it, and also count pad tokens in the cache. BART adds its offset of 2 itself, both
    in Flax and in PyTorch.

    Args:
        config: the decoder's config. Its pad id may differ from that of the whole model.
        input_ids: int32 (batch, tokens).
        past: how many tokens are in the cache, with pad tokens.

    Returns:
        int32 (batch, tokens).
    """
    input_ids = jnp.asarray(input_ids)
    if config.model_type not in _COUNTING_FROM_PAD:
        return jnp.broadcast_to(past + jnp.arange(input_ids.shape[1]), input_ids.shape)
    is_text = input_ids != config.pad_token_id
    numbers = jnp.where(is_text, past + jnp.cumsum(is_text, axis=1), 0)
    return jnp.add(numbers, config.pad_token_id)


def _length(cache: dict[str, Any]) -> jax.Array:
    """Return how many tokens are in a cache: int32 (). Every layer has the same number."""
    lengths = (leaf for path, leaf in flatten_dict(cache).items() if path[-1] == "cache_index")
    length: jax.Array = next(lengths)
    return length


def _fix_interpolation(
    method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any
) -> Any:
    """Interpolate the position embeddings of DINOv2 like PyTorch.

    Upstream uses another cubic kernel, stretches the grid by a tenth of a patch, and truncates it
    at the ends. The encoder's states are then wrong by some percent. This function is called by
    `flax.linen.intercept_methods`.
    """
    is_interpolation = context.method_name == "interpolate_pos_encoding"
    if is_interpolation and isinstance(context.module, FlaxDinov2Embeddings):
        return _interpolate(*args, **kwargs)
    return method(*args, **kwargs)


def _interpolate(
    config: Any, hidden_states: jax.Array, height: int, width: int, embeddings: jax.Array
) -> jax.Array:
    """Return position embeddings for an image of another size.

    Args:
        config: the encoder's config.
        hidden_states: not used; the interceptor passes the arguments of upstream's method.
        height: of the image, in pixels.
        width: of the image, in pixels.
        embeddings: (1, 1 + patches, width), for a square grid of patches.

    Returns:
        (1, 1 + new patches, width).
    """
    old = round((embeddings.shape[1] - 1) ** 0.5)
    rows, columns = height // config.patch_size, width // config.patch_size
    if (rows, columns) == (old, old):
        return embeddings
    grid = embeddings[0, 1:].reshape(old, old, -1)  # (old, old, width)
    fitted = jnp.einsum(
        "ih,jw,hwd->ijd",
        _bicubic(old, rows),
        _bicubic(old, columns),
        grid.astype(jnp.float32),
        precision="highest",
    )  # (rows, columns, width)
    patches = fitted.reshape(1, rows * columns, -1).astype(embeddings.dtype)
    return jnp.concatenate((embeddings[:, :1], patches), axis=1)


def _bicubic(old: int, new: int) -> NDArray[np.float32]:
    """Return the matrix that resamples a line of `old` samples to `new` samples.

    This is PyTorch's `interpolate(mode="bicubic", align_corners=False)`: Keys' cubic convolution
    with a = -0.75 (https://doi.org/10.1109/TASSP.1981.1163711) around the centers of samples. The
    samples at the ends are repeated.

    Returns:
        float32 (new, old).
    """
    a = -0.75
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    matrix = np.zeros((new, old), np.float32)
    for neighbor in range(-1, 3):
        sample = np.floor(centers) + neighbor
        d = np.abs(centers - sample)
        near = ((a + 2) * d - (a + 3)) * d**2 + 1
        far = ((d - 5) * d + 8) * d * a - 4 * a
        column = sample.clip(0, old - 1).astype(int)
        np.add.at(matrix, (np.arange(new), column), np.where(d <= 1, near, far))
    return matrix
