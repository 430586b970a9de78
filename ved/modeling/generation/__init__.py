"""Generate text with any decoder: pure functions of JAX around one step of a model.

A model is a function `step(tokens, past, cache) -> (logits, cache)`:

    tokens: int32 (rows, new), the tokens that follow those in the cache
    past: int32 (), how many tokens the cache has
    cache: a pytree; each array has the rows as its first axis, or no axis
    logits: float32 (rows, vocabulary), of the token after the last one

`settings.py` reads what users and generation_config.json ask for, `rules.py` changes logits,
`decoding.py` chooses one token at a time, and `beams.py` keeps several continuations of each text.
The results are those of `generate` of PyTorch in transformers 5.
"""

from ved.modeling.generation.beams import search
from ved.modeling.generation.decoding import advance, decode, first_state
from ved.modeling.generation.settings import GenerationSettings, resolve

__all__ = ["GenerationSettings", "advance", "decode", "first_state", "resolve", "search"]
