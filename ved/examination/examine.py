"""Examine one source: its config, its image processor or tokenizer, and the headers of its weights.

The examining process runs this. The libraries that it calls may do anything with a hostile file.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from ved.assembly.config import PartConfig, as_decoder
from ved.assembly.config_files import load_config
from ved.assembly.image_processor import prepare_image_processor
from ved.assembly.ledger import Ledger
from ved.assembly.parts import Part, source_part
from ved.assembly.tokenizer import prepare_tokenizer
from ved.errors import VedError
from ved.examination.report import (
    AnyRequest,
    Examination,
    LoadRequest,
    Problem,
    Tensors,
    TiedTensors,
    one_line,
)
from ved.families.family import Role
from ved.sources.source import Source
from ved.tensors.tensor import StoredTensor, nbytes

_PREPARE: Mapping[Role, tuple[Callable[..., Any], str]] = {
    "encoder": (prepare_image_processor, "image_processor"),
    "decoder": (prepare_tokenizer, "tokenizer"),
}
"""The function that prepares the files of a role, and the field of the examination for them."""


def examine(request: AnyRequest, directory: Path) -> Examination:
    """Return what is known of a source, or of a published checkpoint.

    Args:
        request: the source, or the checkpoint.
        directory: the directory of its small files and header files.
    """
    if isinstance(request, LoadRequest):
        from ved.examination.load import load  # imports transformers

        return load(request, directory)
    source = request.source(directory)
    problems: list[Problem] = []
    found: dict[str, Any] = {}
    with _collected(problems):
        config = load_config(source)
        found["config"] = dict(config.settings)
    if "config" not in found:
        return Examination(problems=problems)
    trials = None if request.steps == "before trials" else _import_trials()
    with _collected(problems):
        prepare, name = _PREPARE[request.role]
        content, family = source.resolved.config, source.resolved.family
        found[name] = prepare(directory, content, family, str(source))
        if trials and request.role == "encoder":
            found[name] = trials.try_image_processor(found[name], str(source))
    with _collected(problems):
        if trials:
            trials.try_config(config, request.role, str(source.resolved.config_snapshot))
        if request.steps != "trials":
            found["tensors"] = _tensors(_part(source, config))
    has_tensors = "tensors" in found or request.steps == "trials"
    if trials and has_tensors and "tokenizer" in found:  # other configs may have any sizes
        with _collected(problems):
            trials.try_tokenizer(found["tokenizer"], directory, config["vocab_size"], str(source))
    return Examination(problems=problems, **found)


def _import_trials() -> Any:
    """Return a module that imports transformers, which takes as long as all other steps."""
    from ved.assembly import trials

    return trials


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


def _part(source: Source, config: PartConfig) -> Part:
    # Shapes are the same for every seed.
    is_decoder = source.resolved.role == "decoder"
    return source_part(source, as_decoder(config) if is_decoder else config, seed=0)


def _tensors(part: Part) -> Tensors:
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
