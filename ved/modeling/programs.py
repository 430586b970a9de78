"""Generate text for images: what a model, its parameters and settings compile to.

A program is compiled once for a module, settings and shapes, and kept for all models of the process
that have the same. The encoder runs once. Keys and values of its states stay outside of the loop.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ved.modeling import generation
from ved.modeling.composite import VisionEncoderDecoderModule, empty_cache
from ved.modeling.generation import GenerationSettings
from ved.modeling.generation.decoding import State, Step


class GenerateOutput(NamedTuple):
    """Generated texts.

    Attributes:
        sequences: int32 (texts, longest), each with its prompt, and padding after its end.
        scores: float32 (texts,), log-probabilities of beams with the length penalty; else None.
    """

    sequences: jax.Array
    scores: jax.Array | None = None


class Inputs(NamedTuple):
    """The inputs of a generation.

    Attributes:
        params: the parameters of the model.
        pixel_values: (batch, channels, height, width); None if there are states.
        states: the encoder's states (batch, sources, width); None if there are pixels.
        prompt: int32 (batch, prompt), the first tokens of each text.
        mask: int32 as the prompt, 0 for padding; None if there is none.
        key: a key of `jax.random`.
    """

    params: Any
    pixel_values: jax.Array | None
    states: jax.Array | None
    prompt: jax.Array
    mask: jax.Array | None
    key: jax.Array


class _Context(NamedTuple):
    """The values that do not change in the loop."""

    params: Any
    cross: Any
    mask: jax.Array | None


@functools.partial(jax.jit, static_argnums=(0, 1))
def generate(
    module: VisionEncoderDecoderModule, settings: GenerationSettings, inputs: Inputs
) -> GenerateOutput:
    """Return texts for images.

    Args:
        module: the model.
        settings: the settings of the generation.
        inputs: see `Inputs`.
    """
    context, state = _begin(module, settings, inputs)
    step = _step(module, context)
    if settings.num_beams > 1:
        return GenerateOutput(*generation.search(step, settings, state))
    return GenerateOutput(generation.decode(step, settings, state))


def stream(
    module: VisionEncoderDecoderModule, settings: GenerationSettings, inputs: Inputs
) -> Iterator[NDArray[np.int32]]:
    """Yield the next token of each text, int32 (texts,), until all have ended; see `generate`."""
    context, state = _stream_first(module, settings, inputs)
    while True:
        length = int(state.texts.length)
        yield np.asarray(state.texts.tokens[:, length - 1])
        if length >= settings.max_length or bool(state.finished.all()):
            return
        state = _stream_next(module, settings, context, state)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _stream_first(
    module: VisionEncoderDecoderModule, settings: GenerationSettings, inputs: Inputs
) -> tuple[_Context, State]:
    context, state = _begin(module, settings, inputs)
    step = _step(module, context)
    return context, generation.advance(step, settings, state, settings.prompt_length)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _stream_next(
    module: VisionEncoderDecoderModule,
    settings: GenerationSettings,
    context: _Context,
    state: State,
) -> State:
    return generation.advance(_step(module, context), settings, state, 1)


def _begin(
    module: VisionEncoderDecoderModule, settings: GenerationSettings, inputs: Inputs
) -> tuple[_Context, State]:
    """Encode the images, and return the state before the first token."""
    params = {"params": inputs.params}
    states = inputs.states
    if states is None:
        states = module.apply(params, inputs.pixel_values, method="encode").last_hidden_state
    _, changed = module.apply(
        params, states, method="precompute_cross_attention", mutable=["cross"]
    )
    # Texts of one image are next to one another.
    copies = settings.num_beams if settings.num_beams > 1 else settings.num_return_sequences
    cross, prompt, mask = jax.tree.map(
        lambda leaf: jnp.repeat(leaf, copies, axis=0),
        (changed["cross"], inputs.prompt, inputs.mask),
    )
    cache = empty_cache(module, prompt.shape[0], settings.max_length)
    state = generation.first_state(settings, prompt, mask, inputs.key, cache)
    if mask is not None:  # new tokens are read
        new = ((0, 0), (0, settings.max_length - mask.shape[1]))
        mask = jnp.pad(mask, new, constant_values=1)
    return _Context(inputs.params, cross, mask), state


def _step(module: VisionEncoderDecoderModule, context: _Context) -> Step:
    """Return one step of the model; see `ved.modeling.generation`."""

    def step(tokens: jax.Array, past: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        output, changed = module.apply(
            {"params": context.params, "cross": context.cross, "cache": cache},
            tokens,
            decoder_attention_mask=context.mask,
            past=past,
            method="decode",
            mutable=["cache"],
        )
        return output.logits[:, -1], changed["cache"]

    return step
