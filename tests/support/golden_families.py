"""The files of a checkpoint of each family, kept so that a change of them does not go unnoticed.

The small files of the sources are kept in an archive, and the shapes of their tensors, because
libraries write them, and another release may write others. Weights are random numbers of numpy.

`python -m tests.support.golden_families` writes both again, after a change of the libraries or of
ASSEMBLY_VERSION. It keeps the sources that the archive has.
"""

import functools
import io
import json
import lzma
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from ved import environment

environment.prepare_once()  # before jax and transformers are imported

from tests import checkpoints  # noqa: E402
from tests.support import building  # noqa: E402
from ved.manifest.settings import CheckpointSettings  # noqa: E402
from ved.record import fingerprint  # noqa: E402
from ved.sources.digests import file_sha256  # noqa: E402

PATH = Path(__file__).with_name("golden_families.json")
SOURCES_PATH = Path(__file__).with_name("golden_sources.tar.xz")

_WEIGHTS = "model.safetensors"
_SHAPES = "shapes.json"
"""The file of the archive with the dtype and the shape of each tensor of each source."""


class Case(NamedTuple):
    """A pair of sources, by their names in `SOURCES`, and the settings of its entry."""

    encoder: str = "vit"
    decoder: str = "gpt2"
    settings: CheckpointSettings = CheckpointSettings()


def _edited(write: Callable[[Path], Path], **changes: Any) -> Callable[[Path], Path]:
    """Return a function that writes a source with other settings in its config."""

    def write_edited(directory: Path) -> Path:
        write(directory)
        building.edit_json(directory / "config.json", **changes)
        return directory

    return write_edited


def _whole(directory: Path) -> Path:
    with tempfile.TemporaryDirectory() as name:
        encoder, decoder = Path(name) / "encoder", Path(name) / "decoder"
        halves = {
            "encoder": ("encoder.", checkpoints.vit(encoder)),
            "decoder": ("decoder.", checkpoints.trocr(decoder)),
        }
        return checkpoints.whole(directory, "vision-encoder-decoder", halves, num_beams=4)


def _dual(directory: Path, model_type: str, write: Callable[[Path], Path]) -> Path:
    with tempfile.TemporaryDirectory() as name:
        vision = write(Path(name) / "vision")
        return checkpoints.whole(
            directory, model_type, {"vision_config": ("", vision)}, text_config={"hidden_size": 8}
        )


_OLD: Mapping[str, Any] = {
    "dtype": None,
    "torch_dtype": "float32",
    "id2label": {"0": "cat", "1": "dog", "2": "bird"},
    "label2id": {"cat": 0, "dog": 1, "bird": 2},
    "_num_labels": 3,
    "finetuning_task": "animals",
    "problem_type": "single_label_classification",
    "output_past": True,
    "gradient_checkpointing": False,
    "num_beams": 4,
    "max_length": 142,
    "no_repeat_ngram_size": 3,
    "bad_words_ids": [[5]],
    "task_specific_params": {"summarization": {"num_beams": 4}},
    "prefix": " ",
    "sep_token_id": 2,
    "tokenizer_class": "AnyTokenizer",
    "unknown_setting": 1,
}
"""Settings of configs that older releases saved."""

SOURCES: Mapping[str, Callable[[Path], Path]] = {
    **checkpoints.ENCODERS,
    **checkpoints.DECODERS,
    **{f"{name} (twin)": write for name, write in checkpoints.TWIN_ENCODERS.items()},
    **{f"{name} (twin)": write for name, write in checkpoints.TWIN_DECODERS.items()},
    "gpt-sw3": _edited(checkpoints.gpt2, model_type="gpt-sw3"),
    "wide vit": functools.partial(checkpoints.vit, hidden_size=48),
    "vit of bfloat16": functools.partial(checkpoints.vit, dtype="bfloat16"),
    "gpt2 of float16": functools.partial(checkpoints.gpt2, dtype="float16"),
    "old bart": _edited(checkpoints.bart, **_OLD, force_bos_token_to_be_generated=True),
    "old bert": _edited(checkpoints.bert, **_OLD, pooler_type="first_token_transform"),
    "old gpt2": _edited(checkpoints.gpt2, **_OLD, n_ctx=64, summary_type="cls_index"),
    "old beit": _edited(checkpoints.beit, **_OLD, segmentation_indices=[1], drop_path_rate=0),
    "whole trocr": _whole,
    "clip": functools.partial(_dual, model_type="clip", write=checkpoints.clip_vision),
    "siglip": functools.partial(_dual, model_type="siglip", write=checkpoints.siglip_vision),
}
"""A function for each source, which writes it into a directory."""

CASES: Mapping[str, Case] = {
    **{name: Case(encoder=name) for name in checkpoints.ENCODERS},
    **{name: Case(decoder=name) for name in checkpoints.DECODERS},
    **{f"{name} (twin)": Case(encoder=f"{name} (twin)") for name in checkpoints.TWIN_ENCODERS},
    **{f"{name} (twin)": Case(decoder=f"{name} (twin)") for name in checkpoints.TWIN_DECODERS},
    **{
        f"{name}, projected": Case("wide vit", name)
        for name in ("gpt2", "bert", "bart", "pegasus", "trocr", "xglm")
    },
    **{name: Case(decoder=name) for name in ("gpt-sw3", "old bart", "old bert", "old gpt2")},
    **{name: Case(encoder=name) for name in ("old beit", "clip", "siglip")},
    "whole trocr": Case("whole trocr", "whole trocr"),
    "half precision": Case("vit of bfloat16", "gpt2 of float16"),
    **{
        f"written as {dtype}": Case(
            "vit of bfloat16", "gpt2 of float16", CheckpointSettings(dtype=dtype)
        )
        for dtype in ("float32", "float16", "bfloat16")
    },
    "other settings": Case(settings=CheckpointSettings({"pad": 7}, seed=3)),
}


def describe(folder: Path, archive: bytes = b"") -> dict[str, Any]:
    """Assemble all cases in an empty folder; return digests, and the configs.

    Args:
        folder: the folder. It gets the sources, too.
        archive: an archive with the small files of sources; others are written.
    """
    sources = folder / "sources"
    _write_sources(sources, archive)
    cases = {name: _describe(case, sources, folder / name) for name, case in CASES.items()}
    return {
        "assembly": fingerprint.ASSEMBLY_VERSION,
        "versions": {name: version(name) for name in ("flax", "jax", "jaxlib", "numpy")},
        "weights": {name: file_sha256(sources / name / _WEIGHTS) for name in SOURCES},
        "cases": cases,
        "configs": _without_repetition({name: _config(folder / name) for name in CASES}),
    }


def _describe(case: Case, sources: Path, directory: Path) -> dict[str, str]:
    """Assemble a case in a new directory, and return the digests of its files."""
    encoder, decoder = sources / case.encoder, sources / case.decoder
    building.assemble_pair(encoder, decoder, directory, case.settings)
    return {path.name: file_sha256(path) for path in sorted(directory.iterdir())}


def _config(directory: Path) -> dict[str, Any]:
    return building.read_json(directory / "config.json")


def _without_repetition(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return configs, without members that equal those of the first one."""
    first, *_ = configs.values()
    return {
        name: {
            key: value
            for key, value in config.items()
            if config is first or key not in first or value != first[key]
        }
        for name, config in configs.items()
    }


def _write_sources(directory: Path, archive: bytes) -> None:
    """Write all sources: small files of an archive or new ones, and weights."""
    shapes: dict[str, dict[str, tuple[str, list[int]]]] = {}
    if archive:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:xz") as kept:
            kept.extractall(directory, filter="data")
        shapes = json.loads((directory / _SHAPES).read_text())
    for name, write in SOURCES.items():
        weights = directory / name / _WEIGHTS
        if name not in shapes:
            write(directory / name)
            stored = safetensors.numpy.load_file(weights)
            shapes[name] = {key: (each.dtype.name, [*each.shape]) for key, each in stored.items()}
        # Samples have as many rows as their tokenizers have tokens in the installed release.
        draw = np.random.default_rng(0)
        tensors = {
            key: draw.normal(0, 0.02, shape).astype(np.dtype(dtype))
            for key, (dtype, shape) in shapes[name].items()
        }
        safetensors.numpy.save_file(tensors, weights, {"format": "pt"})
    (directory / _SHAPES).write_text(json.dumps({name: shapes[name] for name in SOURCES}))


def _pack(directory: Path) -> bytes:
    """Return an archive of the small files of all sources, which has no times and no owners."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        # By name first: equal files of sources are then near one another.
        small = (path for path in directory.glob("*/*") if path.name != _WEIGHTS)
        by_name = sorted(small, key=lambda path: (path.name, path.parent.name))
        for path in (directory / _SHAPES, *by_name):
            member = tarfile.TarInfo(str(path.relative_to(directory)))
            member.size = path.stat().st_size
            archive.addfile(member, io.BytesIO(path.read_bytes()))
    return lzma.compress(packed.getvalue(), preset=9)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        kept = SOURCES_PATH.read_bytes() if SOURCES_PATH.exists() else b""
        PATH.write_text(json.dumps(describe(Path(temporary), kept), indent=1) + "\n")
        SOURCES_PATH.write_bytes(_pack(Path(temporary) / "sources"))
