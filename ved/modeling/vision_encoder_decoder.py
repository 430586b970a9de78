"""FlaxVisionEncoderDecoderModel, mended: it decodes, and counts positions, as PyTorch's does.

For people who train or serve a checkpoint in Flax:

    from ved.modeling import FlaxVisionEncoderDecoderModel

in place of the class of the same name in transformers 4.57, the last release with Flax. Checkpoints
are the same: what either class saves, the other loads. Nothing else of VED is needed; a copy of
this file works anywhere beside transformers, flax and jax.

Each override says which defect of transformers' class, called upstream here, it is there for. What
PyTorch does is read from `create_position_ids_from_input_ids` of RoBERTa and
`interpolate_pos_encoding` of DINOv2 in transformers 5.
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
"""Decoders whose position embeddings have their first token's row after the pad id's."""


class FlaxVisionEncoderDecoderModule(upstream.FlaxVisionEncoderDecoderModule):  # type: ignore[misc]
    """The module of `FlaxVisionEncoderDecoderModel`; its parameters are upstream's."""

    def _get_decoder_module(self) -> Callable[..., Any]:
        # Upstream's `decode` passes four inputs by position. The fourth parameter of BERT and its
        # kin is `token_type_ids`, so the encoder's states go there and decoding fails.
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


class FlaxVisionEncoderDecoderModel(upstream.FlaxVisionEncoderDecoderModel):  # type: ignore[misc]
    """A vision encoder and a text decoder that attends to it, with PyTorch's numbers.

    `__call__`, `encode`, `decode` and `generate` take what transformers' own take. Position ids
    that are passed are used as they are; where none are passed, they are PyTorch's.
    """

    module_class = FlaxVisionEncoderDecoderModule

    # `generate` looks here for the arguments that it may hand on.
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
        """Return logits of shape (batch, tokens, vocabulary), teacher-forced.

        Args:
            pixel_values: of shape (batch, channels, height, width).
            decoder_input_ids: of shape (batch, tokens), as the next two.
            decoder_attention_mask: 0 for tokens that no other may attend to; 1 for all by default.
            decoder_position_ids: rows of the decoder's position embeddings.
            *args: as of transformers' class.
            **kwargs: as of transformers' class.
        """
        # Upstream counts from 0 for every decoder.
        if decoder_position_ids is None and decoder_input_ids is not None:
            decoder_position_ids = _position_ids(self.config.decoder, decoder_input_ids)
        with nn.intercept_methods(_mend_interpolation):
            return super().__call__(
                pixel_values,
                decoder_input_ids,
                decoder_attention_mask,
                decoder_position_ids,
                *args,
                **kwargs,
            )

    def encode(self, pixel_values: jax.Array, *args: Any, **kwargs: Any) -> Any:
        """Return the encoder's output, for `decode`.

        Its `last_hidden_state` is of shape (batch, 1 + patches, width): one for the whole image.
        """
        with nn.intercept_methods(_mend_interpolation):
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
        """Return logits, and the cache if one was passed, of tokens that follow those in it.

        Args:
            decoder_input_ids: of shape (batch, tokens).
            encoder_outputs: what `encode` returned.
            decoder_attention_mask: of the tokens' shape; with a cache, of the cache's length.
            decoder_position_ids: rows of the decoder's position embeddings; with a cache, too,
                they need not be passed.
            past_key_values: what `init_cache` or the call before returned.
            *args: as of transformers' class.
            **kwargs: as of transformers' class.
        """
        # Upstream counts from 0 for every decoder, and does not count at all after a cache.
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
        """Return an empty cache of `max_length` tokens."""
        # Upstream draws all parameters of the decoder, at every call of `generate`, to learn
        # the shapes.
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
        """Return what `generate` passes to the first `decode`."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            decoder_input_ids, max_length, decoder_attention_mask, encoder_outputs, **kwargs
        )
        # Upstream counts from 0, and adds 1 at every step whatever the token is. RoBERTa's
        # position depends on it, and only `decode` sees it. PyTorch does not leave masked tokens
        # out of the count either.
        del inputs["decoder_position_ids"]
        return inputs

    def update_inputs_for_generation(
        self, model_outputs: Any, model_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what `generate` passes to the next `decode`."""
        return {**model_kwargs, "past_key_values": model_outputs.past_key_values}


def _position_ids(config: Any, input_ids: jax.Array, past: jax.Array | int = 0) -> jax.Array:
    """Return the position ids, of the shape of `input_ids`, that PyTorch gives to these tokens.

    RoBERTa and its kin give every pad token the pad id, and count the others from the id after it;
    pad tokens in the cache are counted all the same. BART adds its offset of 2 itself, in Flax as
    in PyTorch.

    Args:
        config: the decoder's. PyTorch goes by its pad id, whatever that of the whole model is.
        input_ids: of shape (batch, tokens).
        past: how many tokens are in the cache, pad tokens among them.
    """
    input_ids = jnp.asarray(input_ids)
    if config.model_type not in _COUNTING_FROM_PAD:
        return jnp.broadcast_to(past + jnp.arange(input_ids.shape[1]), input_ids.shape)
    is_text = input_ids != config.pad_token_id
    numbers = jnp.where(is_text, past + jnp.cumsum(is_text, axis=1), 0)
    return jnp.add(numbers, config.pad_token_id)


def _length(cache: dict[str, Any]) -> jax.Array:
    """Return how many tokens are in a cache; every layer's part of it says the same."""
    lengths = (leaf for path, leaf in flatten_dict(cache).items() if path[-1] == "cache_index")
    length: jax.Array = next(lengths)
    return length


def _mend_interpolation(
    method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any
) -> Any:
    """Have DINOv2 fit its position embeddings to an image's size as PyTorch does.

    Upstream's cubic is another one, stretched a tenth of a patch too far and cut off at the ends,
    so the encoder's states are some percent off. An interceptor as `flax.linen.intercept_methods`
    has it.
    """
    is_interpolation = context.method_name == "interpolate_pos_encoding"
    if is_interpolation and isinstance(context.module, FlaxDinov2Embeddings):
        return _interpolate(*args, **kwargs)
    return method(*args, **kwargs)


def _interpolate(
    config: Any, hidden_states: jax.Array, height: int, width: int, embeddings: jax.Array
) -> jax.Array:
    """Return `embeddings`, of shape (1, 1 + patches, width), for an image's size in pixels."""
    old = round((embeddings.shape[1] - 1) ** 0.5)
    rows, columns = height // config.patch_size, width // config.patch_size
    if (rows, columns) == (old, old):
        return embeddings
    grid = embeddings[0, 1:].reshape(old, old, -1)
    fitted = jnp.einsum(
        "ih,jw,hwd->ijd",
        _bicubic(old, rows),
        _bicubic(old, columns),
        grid.astype(jnp.float32),
        precision="highest",
    )
    patches = fitted.reshape(1, rows * columns, -1).astype(embeddings.dtype)
    return jnp.concatenate((embeddings[:, :1], patches), axis=1)


def _bicubic(old: int, new: int) -> NDArray[np.float32]:
    """Return the matrix, of shape (new, old), that stretches a line of samples.

    It is PyTorch's `interpolate(mode="bicubic", align_corners=False)`: Keys' cubic convolution
    with a = -0.75 about the centres of samples, the samples at the ends repeated outwards.
    """
    a = -0.75
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    matrix = np.zeros((new, old), np.float32)
    for neighbour in range(-1, 3):
        sample = np.floor(centres) + neighbour
        d = np.abs(centres - sample)
        near = ((a + 2) * d - (a + 3)) * d**2 + 1
        far = ((d - 5) * d + 8) * d * a - 4 * a
        column = sample.clip(0, old - 1).astype(int)
        np.add.at(matrix, (np.arange(new), column), np.where(d <= 1, near, far))
    return matrix
