"""The manifest: pairs.yaml to typed values, or to every problem in it as file:line:column."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ved.errors import ErrorCode, RequestError
from ved.manifest.fields import MAX_PAIRS, Check, Context, Dtype, WeightFormat
from ved.manifest.grid import expand
from ved.manifest.messages import problems_in
from ved.manifest.models import ConfigRef, Defaults, File, Grid, Pair, SourceRef, TokenIds
from ved.manifest.repo_names import qualified_name, repo_problems
from ved.manifest.schema import json_schema, write_schema
from ved.manifest.yaml_nodes import MAX_BYTES, Location, Node, Problem, items_of, read_document

__all__ = [
    "Check",
    "ConfigRef",
    "Defaults",
    "Dtype",
    "Location",
    "Manifest",
    "ManifestError",
    "Pair",
    "Problem",
    "SourceRef",
    "TokenIds",
    "WeightFormat",
    "json_schema",
    "load",
    "loads",
    "write_schema",
]


@dataclass(frozen=True)
class Manifest:
    """A manifest without a problem: its file's name as given, and its pairs, defaults merged in."""

    name: str
    pairs: tuple[Pair, ...]


class ManifestError(RequestError):
    """The manifest is wrong; ``problems`` has everything that is, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        # A set, because what is wrong under an anchor is found again under each alias.
        self.problems = tuple(sorted(set(problems)))
        said = "\n".join(str(problem) for problem in self.problems)
        super().__init__(said, code=ErrorCode.WRONG_MANIFEST)


def load(path: Path) -> Manifest:
    """Read a manifest and check that the local directories it names exist.

    Raises ManifestError, with every problem, also for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise ManifestError([Problem(str(path), 1, 1, message)]) from error
    return _parse(data, str(path), Context(path.parent, check_directories=True))


def loads(text: bytes, name: str = "pairs.yaml", folder: Path = Path()) -> Manifest:
    """Read a manifest from its bytes, without looking at the file system.

    Local directories are relative to ``folder``. Raises ManifestError, with every problem.
    """
    return _parse(text, name, Context(folder))


def _parse(data: bytes, name: str, context: Context) -> Manifest:
    document = read_document(data, name)
    root = document.root
    if root is None:
        raise ManifestError(document.problems)
    cells, problems = _cells(root, context)
    problems += [*document.problems, *repo_problems(root, cells)]
    try:
        file = File.model_validate(root.value, context=context)
    except ValidationError as error:
        raise ManifestError([*problems, *problems_in(error, root, File)]) from None
    if problems:
        raise ManifestError(problems)
    entries = zip(file.pairs or (), items_of(root, "pairs"), strict=True)
    pairs = [pair.placed(entry.where, _places(entry)) for pair, entry in entries]
    return Manifest(name, tuple(_completed(pair, file, root) for pair in (*pairs, *cells)))


def _grids(root: Node, context: Context) -> Iterator[tuple[Grid, Node]]:
    """Yield the grids that can be read, whatever is wrong with the rest of the file."""
    for node in items_of(root, "grid"):
        with suppress(ValidationError):
            yield Grid.model_validate(node.value, context=context), node


def _cells(root: Node, context: Context) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs of all grids, and what is wrong with those grids that could be read."""
    cells: list[Pair] = []
    problems: list[Problem] = []
    total = len(items_of(root, "pairs"))
    for grid, node in _grids(root, context):
        total += len(grid.encoders) * len(grid.decoders)
        if total > MAX_PAIRS:
            message = f"with this grid there are {total} pairs; at most {MAX_PAIRS} may be"
            return cells, [*problems, Problem.at(node.where, message)]
        expanded, wrong = expand(grid, node)
        cells += expanded
        problems += wrong
    return cells, problems


def _places(node: Node | None) -> dict[str, Location]:
    return {str(key): child.where for key, child in node.children.items()} if node else {}


def _completed(pair: Pair, file: File, root: Node) -> Pair:
    """Return the pair with its owner and the defaults that it does not override."""
    pair = pair.inheriting(file.defaults, _places(root.children.get("defaults")))
    repo = qualified_name(pair.repo, file.namespace)
    owner = file.namespace or repo.partition("/")[0]
    collection = pair.collection and qualified_name(pair.collection, owner)
    return pair.model_copy(update={"repo": repo, "collection": collection})
