"""The keys of a manifest that people guess, and the keys that they mean.

`difflib` finds what is spelled alike; these are synonyms.
"""

import difflib
from collections.abc import Collection, Mapping

_MEANT: Mapping[str, Collection[str]] = {
    "pairs": ("models", "checkpoints", "entries", "repos"),
    "grid": ("matrix", "product"),
    "defaults": ("settings", "options", "common", "shared"),
    "namespace": (
        *("organization", "org", "owner", "user", "username", "account"),
        "author",
    ),
    "repo": (
        *("name", "id", "target", "output", "destination", "to", "model_id", "model_name"),
        *("hub_model_id", "repository", "push_to", "publish_to"),
    ),
    "encoder": (
        "vision",
        "vision_model",
        "image",
        "image_model",
        "vit",
        "backbone",
        "encoder_model_name_or_path",
    ),
    "decoder": (
        "text",
        "text_model",
        "language_model",
        "llm",
        "lm",
        "gpt2",
        "decoder_model_name_or_path",
    ),
    "encoders": ("vision", "vision_models", "images", "image_models"),
    "decoders": ("text", "texts", "text_models", "language_models", "llms"),
    "model": (
        *("name", "id", "repo", "repo_id", "repository", "path", "dir", "directory", "url"),
        *("source", "checkpoint", "pretrained", "from"),
    ),
    "revision": ("rev", "ref", "branch", "tag", "commit", "sha", "hash", "version"),
    "weights_from": ("format", "weights", "framework", "from_flax", "from_pt"),
    "weights": ("format", "formats", "framework", "frameworks"),
    "private": ("visibility", "public", "access", "is_public"),
    "dtype": ("precision", "type"),
    "seed": ("random_seed", "random_state", "rng"),
    "language": ("locale",),
    "tags": ("labels", "keywords"),
    "check": ("verify", "test"),
    "adopt": ("exist_ok", "existing"),
    "overwrite": ("force", "replace"),
    "token_ids": (
        *("special_tokens", "tokens", "pad_token_id", "eos_token_id", "bos_token_id"),
        "decoder_start_token_id",
    ),
    "pad": ("pad_token_id",),
    "eos": ("eos_token_id", "end"),
    "decoder_start": ("bos", "bos_token_id", "start", "decoder_start_token_id"),
    "description": ("summary", "notes", "readme", "card", "text", "about"),
    "exclude": ("skip", "except", "without"),
    "overrides": ("include",),
}
"""Guesses, all in small letters, by the key that is meant."""

_NEARLY_THE_SAME = 0.9
"""The ratio of `difflib` from which on a word is a misspelled guess."""

_IS_PRIVATE = {
    ("visibility", "private"): True,
    ("visibility", "public"): False,
    ("access", "private"): True,
    ("access", "public"): False,
    ("public", "true"): False,
    ("public", "false"): True,
    ("is_public", "true"): False,
    ("is_public", "false"): True,
}
"""The value of `private` by another key and its value."""


def meant_key(guess: str, keys: Collection[str], present: Collection[str]) -> str | None:
    """Return the key that an unknown key of a mapping means; None if nothing is certain.

    Args:
        guess: the unknown key.
        keys: the keys that the mapping may have.
        present: the keys that it has. Another word does not mean one of them.
    """
    word = known_word(guess, [key for key in keys if key not in present])
    near = difflib.get_close_matches(guess.lower(), keys, n=1)
    return word or next(iter(near), None)


def known_word(guess: str, keys: Collection[str]) -> str | None:
    """Return the key that is the same as an unknown one, or has the same meaning; None if none."""
    word = _word(guess)
    if word in keys:
        return word
    return next((key for key in _MEANT if key in keys and word in _MEANT[key]), None)


def _word(guess: str) -> str:
    """Return a guess as the table has it, also if it is misspelled or in British spelling."""
    word = guess.lower().replace("-", "_")
    guesses = {each for several in _MEANT.values() for each in several}
    near = difflib.get_close_matches(word, guesses, n=1, cutoff=_NEARLY_THE_SAME)
    return near[0] if near and word not in _MEANT else word


def with_value(key: str, guess: str, value: str) -> str:
    """Return the key to write instead of a guess, with its value if the guess has another one.

    Args:
        key: the key that is meant.
        guess: the unknown key.
        value: its value in the file.
    """
    text = {"yes": "true", "no": "false"}.get(value.lower(), value.lower())
    is_private = _IS_PRIVATE.get((_word(guess), text)) if key == "private" else None
    return key if is_private is None else f"{key}: {str(is_private).lower()}"
