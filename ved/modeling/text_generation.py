"""The methods with which a model generates text."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ved.modeling import programs
from ved.modeling.composite import VisionEncoderDecoderModule
from ved.modeling.errors import ModelingError
from ved.modeling.generation import GenerationSettings, resolve


class GeneratingModel:
    """A model that generates text for images; see `FlaxVisionEncoderDecoderModel`."""

    module: VisionEncoderDecoderModule
    params: Any
    generation_config: dict[str, Any]

    def generate(
        self,
        pixel_values: ArrayLike | None = None,
        generation_config: Any = None,
        prng_key: jax.Array | None = None,
        params: Any = None,
        **arguments: Any,
    ) -> programs.GenerateOutput:
        """Generate texts for images, as PyTorch does.

        A program is compiled for each combination of settings and shapes, and kept.

        Args:
            pixel_values: float (batch, channels, height, width).
            generation_config: settings in place of those of the checkpoint: a dictionary, or an
                object of transformers.
            prng_key: the key of sampling; `jax.random.key(0)` by default.
            params: parameters to use instead of `self.params`.
            **arguments: settings, which take precedence; None turns a setting off. Inputs:
                `decoder_input_ids` and `decoder_attention_mask` (batch, tokens) for texts with a
                beginning; `encoder_outputs`, the result of `encode`, which then takes the place of
                the pixels.

        Returns:
            An output with `sequences`: int32 (texts, max_length), with padding after each end.

        Raises:
            ModelingError: a setting is unknown, not supported, or has no valid value.
        """
        settings, inputs = self._prepare(
            pixel_values, generation_config, prng_key, params, arguments
        )
        output: programs.GenerateOutput = programs.generate(self.module, settings, inputs)
        return output

    def stream(
        self,
        pixel_values: ArrayLike | None = None,
        generation_config: Any = None,
        prng_key: jax.Array | None = None,
        params: Any = None,
        **arguments: Any,
    ) -> Iterator[NDArray[np.int32]]:
        """Generate texts, and yield each token as soon as it is known; see `generate`.

        Yields:
            The next token of each text, int32 (texts,): padding after its end.

        Raises:
            ModelingError: as in `generate`; also for beams, whose tokens are not final.
        """
        settings, inputs = self._prepare(
            pixel_values, generation_config, prng_key, params, arguments
        )
        if settings.num_beams > 1:
            raise ModelingError("Tokens of beams are not final. Pass num_beams=1 to stream.")
        return programs.stream(self.module, settings, inputs)

    def _prepare(
        self,
        pixel_values: ArrayLike | None,
        generation_config: Any,
        prng_key: jax.Array | None,
        params: Any,
        arguments: dict[str, Any],
    ) -> tuple[GenerationSettings, programs.Inputs]:
        """Return the settings and the inputs of a generation."""
        asked = dict(arguments)
        prompt = asked.pop("decoder_input_ids", None)
        mask = asked.pop("decoder_attention_mask", None)
        encoded = asked.pop("encoder_outputs", None)
        if pixel_values is None and encoded is None:
            raise ModelingError("Pass pixel_values, or encoder_outputs.")
        checkpoint = _as_dictionary(generation_config, self.generation_config)
        states = None if encoded is None else jnp.asarray(encoded[0])
        pixels = None if encoded is not None else jnp.asarray(pixel_values)
        batch = (pixels if states is None else states).shape[0]  # type: ignore[union-attr]
        start = asked.get("decoder_start_token_id", checkpoint.get("decoder_start_token_id"))
        if start is None:
            start = asked.get("bos_token_id", checkpoint.get("bos_token_id"))
        prompt, mask = _prompts(prompt, mask, start, batch)
        settings = resolve(checkpoint, asked, prompt.shape[1])
        positions = self.module.decoder_settings.positions
        if settings.max_length > positions:
            raise ModelingError(
                f"max_length={settings.max_length}, but the decoder has only {positions} "
                "positions. Pass a smaller max_new_tokens."
            )
        key = jax.random.key(0) if prng_key is None else prng_key
        params = self.params if params is None else params
        return settings, programs.Inputs(params, pixels, states, prompt, mask, key)


def _as_dictionary(asked: Any, default: dict[str, Any]) -> dict[str, Any]:
    """Return settings of generation as a dictionary.

    Args:
        asked: a dictionary, an object of transformers, or None.
        default: the settings of the checkpoint, whose token ids count if `asked` has none.
    """
    if asked is None:
        return default
    values = dict(asked) if isinstance(asked, Mapping) else asked.to_dict()
    ids = {name: value for name, value in default.items() if name.endswith("token_id")}
    return {**ids, **{name: value for name, value in values.items() if value is not None}}


def _prompts(
    prompt: Any, mask: Any, start: int | None, batch: int
) -> tuple[jax.Array, jax.Array | None]:
    """Return the first tokens of each text, int32 (batch, prompt), and their mask.

    As in PyTorch, the start token is put before prompts that do not begin with it. Prompts that are
    traced by `jax.jit` have to begin with it.

    Raises:
        ModelingError: there is no start token.
    """
    if prompt is None:
        if start is None:
            raise ModelingError("The checkpoint has no start token. Pass decoder_start_token_id.")
        return jnp.full((batch, 1), start, jnp.int32), None
    tokens = jnp.asarray(prompt, jnp.int32)
    mask = None if mask is None else jnp.asarray(mask, jnp.int32)
    if tokens.ndim != 2 or tokens.shape[0] != batch:
        raise ModelingError(
            f"decoder_input_ids have the shape {tokens.shape} instead of ({batch}, tokens)."
        )
    traced = isinstance(tokens, jax.core.Tracer)
    if start is not None and not traced and bool((tokens[:, 0] != start).all()):
        tokens = jnp.pad(tokens, ((0, 0), (1, 0)), constant_values=start)
        mask = None if mask is None else jnp.pad(mask, ((0, 0), (1, 0)), constant_values=1)
    return tokens, mask
