"""Small models of every family, and what transformers 4.57.6 computes with them.

transformers 4.57.6 is the last release with Flax classes. `python -m tests.modeling.oracle` writes
oracle.npz from it: its logits, and digests of its parameters. So the bits stay known when it cannot
be installed any more.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ved import environment

environment.prepare_once()  # before jax is imported

import jax  # noqa: E402
import numpy as np  # noqa: E402
from flax.traverse_util import flatten_dict, unflatten_dict  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from tests.support.reference import Answers, ask  # noqa: E402
from ved.modeling.initial_parameters import composite_params  # noqa: E402

PATH = Path(__file__).with_name("oracle.npz")
SEEDS = (0, 7)
IDS = np.array([[5, 6, 7, 9], [2, 3, 4, 8]])
MASK = np.array([[1, 1, 0, 1], [1, 1, 1, 0]])
POSITIONS = np.array([[0, 1, 2, 3]] * 2)
# With a dropout of 0, a model in training computes the same.
VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 16,
    "patch_size": 8,
}
_DINOV2 = {name: value for name, value in VISION.items() if name != "intermediate_size"}
_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
ENCODERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit", {**VISION, "qkv_bias": False}),
    "beit": (
        "beit",
        {
            **VISION,
            "use_mask_token": True,
            "use_absolute_position_embeddings": True,
            "use_relative_position_bias": True,
            "use_mean_pooling": False,
        },
    ),
    "beit-shared": ("beit", {**VISION, "use_shared_relative_position_bias": True}),
    "dinov2": ("dinov2", _DINOV2),
    "dinov2-swiglu": ("dinov2", {**_DINOV2, "use_swiglu_ffn": True, "use_mask_token": False}),
}
DECODERS: Mapping[str, dict[str, Any]] = {
    "gpt2": {
        "vocab_size": 40,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 40,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    },
    "bart": {
        "vocab_size": 40,
        "d_model": 16,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 24,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "max_position_embeddings": 40,
        "scale_embedding": True,
        "dropout": 0.0,
    },
    "bert": _BERT,
    "roberta": _BERT,
    "roberta-prelayernorm": _BERT,
}
# A decoder sees only the states of the encoder, so each family needs one pair.
PAIRS = (*(("vit", name) for name in DECODERS), *((name, "gpt2") for name in ENCODERS))
UNTIED = tuple(("vit", name) for name in DECODERS)


class Case(NamedTuple):
    """A small model: its name, and its config, with the settings that are not the defaults."""

    name: str
    config: dict[str, Any]


def cases() -> Iterator[Case]:
    """Yield all models. Those with a head of their own have a projection, too."""
    for encoder, decoder in dict.fromkeys(PAIRS):
        yield Case(f"{encoder}-{decoder}", _config(encoder, decoder, {}))
    for encoder, decoder in UNTIED:
        width = {"gpt2": "n_embd", "bart": "d_model"}.get(decoder, "hidden_size")
        other = {width: 24, "tie_word_embeddings": False, "initializer_range": 0.03}
        yield Case(f"{encoder}-{decoder}-untied", _config(encoder, decoder, other))


def _config(encoder: str, decoder: str, other: dict[str, Any]) -> dict[str, Any]:
    model_type, settings = ENCODERS[encoder]
    return {
        "encoder": {"model_type": model_type, **settings},
        "decoder": {"model_type": decoder, **DECODERS[decoder], **other},
    }


def images(size: int = 16) -> NDArray[np.float32]:
    """Return two images: float32 (2, 3, size, size)."""
    return np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32)


INPUTS: Mapping[str, NDArray[Any]] = {
    "pixel_values": images(),
    "decoder_input_ids": IDS,
    "decoder_attention_mask": MASK,
    "decoder_position_ids": POSITIONS,
}


def strong(params: Any) -> Any:
    """Return large parameters with the names and shapes of others, so that all affect logits."""
    generator = np.random.default_rng(0)
    drawn = {
        path: generator.normal(scale=0.3, size=leaf.shape).astype(np.float32)
        for path, leaf in sorted(flatten_dict(params).items())
    }
    return unflatten_dict(drawn)


def digest(params: Any) -> str:
    """Return a digest of names, shapes, dtypes and bits of parameters."""
    found = hashlib.sha256()
    for path, leaf in sorted(flatten_dict(params).items()):
        array = np.asarray(leaf)
        found.update(repr((path, array.shape, str(array.dtype))).encode() + array.tobytes())
    return found.hexdigest()


def drawing() -> dict[str, dict[str, Any]]:
    """Return a task of `tests.support.reference.ask` for the parameters of each model."""
    return {name: {"task": "draw", "config": config, "seeds": SEEDS} for name, config in cases()}


def computing(folder: Path, with_outputs: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Return a task of `tests.support.reference.ask` for the logits of each model.

    Args:
        folder: an existing directory for the inputs.
        with_outputs: the names of the models whose outputs are all wanted.
    """
    asked = {}
    for name, config in cases():
        params = strong(jax.eval_shape(lambda: composite_params(config, 0)))  # noqa: B023
        path = folder / f"{name}.npz"
        given = {f"params/{key}": each for key, each in flatten_dict(params, sep="/").items()}
        np.savez(path, **INPUTS, **given)  # type: ignore[arg-type]
        asked[name] = {
            "task": "compute",
            "config": config,
            "inputs": str(path),
            "outputs": name in with_outputs,
        }
    return asked


def digests_of(answers: Answers) -> dict[str, str]:
    """Return digests of new parameters, by their names in oracle.npz."""
    return {
        f"{name}/params/{seed}": found
        for name, _ in cases()
        for seed, found in answers.reports[name].items()
    }


def logits_of(answers: Answers) -> dict[str, NDArray[Any]]:
    """Return the logits of each model, by their names in oracle.npz."""
    return {f"{name}/logits": answers.arrays[f"{name}:logits"] for name, _ in cases()}


def _write() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays: dict[str, Any] = logits_of(ask(computing(folder), folder))
        arrays |= digests_of(ask(drawing(), folder))
    np.savez_compressed(PATH, **arrays)


if __name__ == "__main__":
    _write()
