"""A vision encoder and a text decoder as one model: how an image becomes a sentence.

The encoder computes states of an image once. The decoder reads them in each of its layers, by
cross-attention, and gives the scores of the next token after each token of a text. If the widths of
both differ, a projection is between them.

    pixel_values          (batch, channels, height, width)
    encoder states        (batch, sources, width of the encoder)
    projected             (batch, sources, width of the decoder)
    logits                (batch, tokens, vocabulary)

To write a text, call `encode` once, `precompute_cross_attention` once, and `decode` for each token:

    encoded = module.apply({"params": params}, pixel_values, method="encode")
    states = encoded.last_hidden_state
    _, cross = module.apply(
        {"params": params}, states, method="precompute_cross_attention", mutable=["cross"]
    )
    cache = empty_cache(module, batch_size, max_length)
    variables = {"params": params, "cache": cache, **cross}
    output, changed = module.apply(variables, tokens, method="decode", mutable=["cache"])

See `ved.modeling.layers` for attention, and for both collections.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn.initializers import normal

from ved.modeling.decoder import DecoderSettings
from ved.modeling.errors import ModelingError
from ved.modeling.families import module_of
from ved.modeling.image_settings import ImageSettings
from ved.modeling.layers import Dtype
from ved.modeling.linen import Dense, Module
from ved.modeling.stack import DecoderOutput, StackOutput, States


class CompositeOutput(NamedTuple):
    """The output of the whole model; see `StackOutput` for shapes.

    Attributes:
        logits: (batch, tokens, vocabulary), the scores of the token after each token.
        decoder_hidden_states: the states before each layer of the decoder, and the last ones.
        decoder_attentions: the weights of each self-attention of the decoder.
        cross_attentions: the weights of each cross-attention.
        encoder_last_hidden_state: the result of the encoder, before the projection.
        encoder_hidden_states: the states before each layer of the encoder, and the last ones.
        encoder_attentions: the weights of each attention of the encoder.
    """

    logits: jax.Array
    decoder_hidden_states: States | None
    decoder_attentions: States | None
    cross_attentions: States | None
    encoder_last_hidden_state: jax.Array
    encoder_hidden_states: States | None
    encoder_attentions: States | None


class VisionEncoderDecoderModule(Module):
    """An encoder, a decoder, and a projection between them if their widths differ.

    Attributes:
        encoder_settings: the settings of the encoder.
        decoder_settings: the settings of the decoder.
        dtype: the dtype of the computation. Parameters have their own.
        remat: whether training computes the inside of each layer twice, to save memory.
    """

    encoder_settings: ImageSettings
    decoder_settings: DecoderSettings
    dtype: Dtype = jnp.float32
    remat: bool = False

    def setup(self) -> None:
        """Create the parts."""
        encoder, decoder = self.encoder_settings, self.decoder_settings
        if decoder.cross_attention_hidden_size not in (None, encoder.hidden_size, decoder.width):
            raise ModelingError(
                f"The decoder's cross_attention_hidden_size is "
                f"{decoder.cross_attention_hidden_size}, but the encoder's states are "
                f"{encoder.hidden_size} wide. Remove the setting."
            )
        self.encoder = module_of(encoder)(encoder, self.dtype, self.remat)
        self.decoder = module_of(decoder)(decoder, self.dtype, self.remat)
        if encoder.hidden_size != decoder.width:
            self.enc_to_dec_proj = Dense(
                decoder.width, kernel_init=normal(decoder.projection_range), dtype=self.dtype
            )

    def __call__(
        self,
        pixel_values: jax.Array,
        decoder_input_ids: jax.Array,
        decoder_attention_mask: jax.Array | None = None,
        decoder_position_ids: jax.Array | None = None,
        deterministic: bool = True,
        **outputs: bool,
    ) -> CompositeOutput:
        """Return the logits of whole texts at once, as training needs them.

        Args:
            pixel_values: (batch, channels, height, width).
            decoder_input_ids: see `decode`.
            decoder_attention_mask: see `decode`.
            decoder_position_ids: see `decode`.
            deterministic: whether there is no dropout; otherwise the key `dropout` is needed.
            **outputs: `output_attentions` and `output_hidden_states`, False by default.
        """
        encoded = self.encode(pixel_values, deterministic, **outputs)
        decoded = self.decode(
            decoder_input_ids,
            encoded.last_hidden_state,
            decoder_attention_mask,
            decoder_position_ids,
            None,
            0,
            deterministic,
            **outputs,
        )
        return CompositeOutput(*decoded, *encoded[:3])

    def encode(
        self, pixel_values: jax.Array, deterministic: bool = True, **outputs: bool
    ) -> StackOutput:
        """Return the states of images: `last_hidden_state` is (batch, sources, encoder's width).

        Args:
            pixel_values: (batch, channels, height, width).
            deterministic: whether there is no dropout.
            **outputs: `output_attentions` and `output_hidden_states`, False by default.
        """
        channels = self.encoder_settings.num_channels
        if pixel_values.ndim != 4 or pixel_values.shape[1] != channels:
            raise ModelingError(
                f"pixel_values have the shape {pixel_values.shape} instead of "
                f"(batch, {channels}, height, width). Convert the images to {channels} channels."
            )
        encoded: StackOutput = self.encoder(
            pixel_values.astype(self.dtype), deterministic, **outputs
        )
        return encoded

    def decode(
        self,
        decoder_input_ids: jax.Array,
        encoder_hidden_states: jax.Array | None = None,
        decoder_attention_mask: jax.Array | None = None,
        decoder_position_ids: jax.Array | None = None,
        encoder_attention_mask: jax.Array | None = None,
        past: jax.Array | int = 0,
        deterministic: bool = True,
        **outputs: bool,
    ) -> DecoderOutput:
        """Return the logits (batch, tokens, vocabulary) of tokens.

        Args:
            decoder_input_ids: int32 (batch, tokens).
            encoder_hidden_states: (batch, sources, encoder's width); not needed if the collection
                `cross` is among the variables.
            decoder_attention_mask: int32 (batch, tokens), 0 for tokens that no token may read;
                with a cache, (batch, length of the cache). None allows all.
            decoder_position_ids: int32 (batch, tokens), rows of the position embeddings; None gives
                those of PyTorch.
            encoder_attention_mask: int32 (batch, sources), as `decoder_attention_mask`.
            past: how many tokens the cache has; only the default positions depend on it.
            deterministic: whether there is no dropout.
            **outputs: `output_attentions` and `output_hidden_states`, False by default.
        """
        if decoder_position_ids is None:
            decoder_position_ids = self.decoder_settings.position_ids(decoder_input_ids, past)
        if encoder_hidden_states is not None:
            encoder_hidden_states = self.project(encoder_hidden_states)
        decoded: DecoderOutput = self.decoder(
            decoder_input_ids,
            decoder_position_ids,
            decoder_attention_mask,
            encoder_hidden_states,
            encoder_attention_mask,
            deterministic,
            **outputs,
        )
        return decoded

    def project(self, encoder_hidden_states: jax.Array) -> jax.Array:
        """Return the states of the encoder with the width of the decoder."""
        if self.encoder_settings.hidden_size == self.decoder_settings.width:
            return encoder_hidden_states
        projected: jax.Array = self.enc_to_dec_proj(encoder_hidden_states)
        return projected

    def precompute_cross_attention(self, encoder_hidden_states: jax.Array) -> None:
        """Write keys and values of the encoder's states into the collection `cross`.

        Call it with `mutable=["cross"]`. Under `jax.jit`, only the keys and values are computed.

        Args:
            encoder_hidden_states: (batch, sources, encoder's width).
        """
        self.decode(
            jnp.zeros((encoder_hidden_states.shape[0], 1), jnp.int32), encoder_hidden_states
        )


def empty_cache(module: VisionEncoderDecoderModule, batch_size: int, max_length: int) -> Any:
    """Return an empty collection `cache` for texts of up to `max_length` tokens.

    Returns:
        Nested dictionaries with cached_key and cached_value (batch, max_length, heads, width of a
        head) and cache_index int32 () of each self-attention.
    """
    shapes = jax.eval_shape(
        lambda: module.init(
            jax.random.key(0),
            jnp.zeros((batch_size, max_length), jnp.int32),
            jnp.zeros((batch_size, 1, module.encoder_settings.hidden_size), module.dtype),
            method="decode",
        )["cache"]
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def initial_params(module: Module, seed: int, *inputs: Any, method: str | None = None) -> Any:
    """Return the parameters of a new model: those of transformers' class with the same seed.

    Args:
        module: an encoder, a decoder or the whole model.
        seed: the seed.
        *inputs: arguments of the module: their shapes must be right, their values do not matter.
        method: the method that they are arguments of, if not all parameters are wanted.
    """
    key, _ = jax.random.split(jax.random.PRNGKey(seed))
    return module.init(key, *inputs, method=method)["params"]
