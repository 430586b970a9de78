"""Examine one source: its config, its image processor or tokenizer, and the headers of its weights.

The examining process runs this. The libraries that it calls may do anything with a hostile file.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ved import garbage
from ved.assembly.config import as_decoder
from ved.assembly.image_processor import prepare_image_processor
from ved.assembly.ledger import Ledger
from ved.assembly.tokenizer import prepare_tokenizer
from ved.errors import VedError
from ved.examination.report import (
    AnyRequest,
    Examination,
    LoadRequest,
    Problem,
    Request,
    Tensors,
    TiedTensors,
    one_line,
)
from ved.examination.source_files import TRIAL
from ved.examination.transformers_import import import_transformers
from ved.sources.source import Source
from ved.tensors.files import open_weights
from ved.tensors.tensor import StoredTensor, nbytes

if TYPE_CHECKING:
    from ved.assembly.parts import Part


def examine(request: AnyRequest, directory: Path) -> Examination:
    """Return what is known of a source, or of a published checkpoint.

    Libraries are imported by the steps that need them: jax takes as long as all that "files" does,
    and so does transformers.

    Args:
        request: the source, or the checkpoint.
        directory: the directory of its small files and header files.
    """
    if isinstance(request, LoadRequest):
        with garbage.paused(freeze=True):
            import_transformers()
            from ved.examination.load import load

        return load(request, directory)
    steps = {"all": _do_all_steps, "files": _read_files, "trials": _run_trials}
    problems: list[Problem] = []
    found = steps[request.steps](request, directory, problems)
    return Examination(problems=problems, **found)


def _do_all_steps(request: Request, directory: Path, problems: list[Problem]) -> dict[str, Any]:
    """Return all that is found, and add problems. A step is left out if it needs one that fails."""
    with garbage.paused(freeze=True):  # jax is among them
        from ved.assembly.config_files import load_config, write_trial_config
        from ved.assembly.parts import source_part

    source, found = request.source(directory), dict[str, Any]()
    with _collected(problems):
        config = load_config(source)
        found["config"] = {**config.settings}
    if not found:
        return found
    with _collected(problems):
        found |= _prepared(source, directory, tries=True)
    with _collected(problems):
        with TemporaryDirectory(prefix=".ved-trial-") as trial:
            write_trial_config(config, source.resolved, Path(trial))
            _try_config(source, Path(trial))
        # Shapes are the same for every seed.
        part = as_decoder(config) if source.resolved.role == "decoder" else config
        found["tensors"] = _tensors(source_part(source, part, seed=0))
    if "tensors" in found and "tokenizer" in found:  # other configs may have any sizes
        with _collected(problems):
            rows = config["vocab_size"]
            _trials().try_tokenizer(found["tokenizer"], directory, rows, str(source))
    return found


def _read_files(request: Request, directory: Path, problems: list[Problem]) -> dict[str, Any]:
    """Return the image processor or the tokenizer, and add problems, also those of the headers."""
    source, found = request.source(directory), dict[str, Any]()
    with _collected(problems):
        found |= _prepared(source, directory, tries=False)
    with _collected(problems):
        open_weights(source.weight_paths)
    return found


def _run_trials(request: Request, directory: Path, problems: list[Problem]) -> dict[str, Any]:
    """Add the problems that `_read_files` has left out. Nothing is found that it has not found."""
    source = request.source(directory)
    with _collected(problems):
        _try_config(source, directory / TRIAL)
    with _collected(problems):
        found = _prepared(source, directory, tries=True)
        if source.resolved.role == "decoder":
            rows = request.vocab_size
            _trials().try_tokenizer(found["tokenizer"], directory, rows, str(source))
    return {}


@cache
def _trials() -> ModuleType:
    with garbage.paused(freeze=True):
        import_transformers()
        from ved.assembly import trials

    return trials


def _try_config(source: Source, directory: Path) -> None:
    resolved = source.resolved
    _trials().try_config(directory, resolved.role, str(resolved.config_snapshot))


def _prepared(source: Source, directory: Path, *, tries: bool) -> dict[str, Any]:
    """Return the image processor or the tokenizer of a source, by its field of the examination.

    Args:
        source: the source.
        directory: the directory of its files.
        tries: whether an image processor is tried.
    """
    resolved, origin = source.resolved, str(source)
    if resolved.role == "decoder":
        return {"tokenizer": prepare_tokenizer(directory, resolved.config, resolved.family, origin)}
    files = prepare_image_processor(directory, resolved.config, resolved.family, origin)
    return {"image_processor": _trials().try_image_processor(files, origin) if tries else files}


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    """Turn an error of the block into a problem, and continue after the block.

    Raises:
        MemoryError: the error is a consequence of a lack of memory.
    """
    try:
        yield
    except VedError as error:
        causes: BaseException | None = error
        while causes is not None:
            if isinstance(causes, MemoryError):
                raise causes from None
            causes = causes.__cause__ or causes.__context__
        problems.append(Problem.of(error))


def _tensors(part: "Part") -> Tensors:
    shapes = {path: prod(shape.shape) for path, shape in part.initialization.shapes.items()}
    copied: Counter[str] = Counter()
    for path, match in part.ledger.copied.items():
        copied[match.weight.tensor.dtype.name] += shapes[path]
    return Tensors(
        copied=dict(copied),
        initialized=sum(shapes[path] for path in part.ledger.initialized),
        largest=max(shapes.values()),
        warnings=[one_line(warning) for warning in part.ledger.warnings],
        **_ties(part.ledger),
    )


def _ties(ledger: Ledger) -> dict[str, Any]:
    """Return what the headers show of tied tensors, and those whose numbers have to be compared."""
    warnings, ties = [*ledger.tie_warnings], []
    for tie in ledger.ties:
        used, other = tie.tensors
        if used.shape != other.shape:
            warnings.append(ledger.difference(tie))
        # Others, such as tensors of two dtypes, are compared in the build only.
        elif (
            isinstance(used, StoredTensor)
            and isinstance(other, StoredTensor)
            and used.dtype == other.dtype
        ):
            ties.append(
                TiedTensors(
                    file=tie.used.weight.file,
                    offset=used.offset,
                    other_file=tie.other.weight.file,
                    other_offset=other.offset,
                    size=nbytes(used),
                    warning=one_line(ledger.difference(tie)),
                )
            )
    return {"tie_warnings": [one_line(warning) for warning in warnings], "ties": ties}
