"""Load a manifest: pairs.yaml to pairs, or to all of its problems."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from ved import garbage
from ved.errors import ErrorCode, RequestError
from ved.manifest.fields import MAX_PAIRS, ValidationContext
from ved.manifest.grid import expand
from ved.manifest.grid_models import Grid
from ved.manifest.lookup import find_manifests
from ved.manifest.manifest_model import File
from ved.manifest.messages import problems_in
from ved.manifest.pair_models import Pair
from ved.manifest.problems import Location, Problem
from ved.manifest.repo_names import qualify, repo_problems
from ved.manifest.yaml_nodes import Node, items_of
from ved.manifest.yaml_reader import MAX_BYTES, read_document
from ved.redaction import KNOWN, find_tokens
from ved.text import quoted


@dataclass(frozen=True)
class Manifest:
    """A valid manifest.

    Attributes:
        name: the file's name, as its reader was given it.
        pairs: its pairs, those of grids included, with owners and defaults.
    """

    name: str
    pairs: tuple[Pair, ...]


_MAX_SECRETS = 10
"""The most tokens of a manifest to report: nothing else of the manifest is quoted then."""

MAX_LISTED = 100
"""The most problems to list for a reader. One mistake can be in each pair."""


class ManifestError(RequestError):
    """The manifest has problems. The text has the first ones, each on a line.

    Attributes:
        problems: all of them, in the file's order.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        # A mistake under an anchor is found again under each alias.
        self.problems = tuple(sorted(set(problems)))
        super().__init__("The manifest has problems.", code=ErrorCode.WRONG_MANIFEST)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MAX_LISTED]]
        others = len(self.problems) - len(lines)
        return "\n".join([*lines, f"And {others:,} more problems."] if others else lines)


def load(path: Path) -> Manifest:
    """Read a manifest from a file, and check that its local directories exist.

    Raises:
        RequestError: the file cannot be read.
        ManifestError: it has problems.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _not_readable(path, error) from error
    return _parse(data, str(path), ValidationContext(path.parent, check_directories=True))


def _not_readable(path: Path, error: OSError) -> RequestError:
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    folder = path if isinstance(error, IsADirectoryError) else Path()
    found = [str(folder / name) for name in find_manifests(folder)] if is_missing else []
    return RequestError(
        f"The manifest {quoted(str(path))} cannot be read: {error.strerror}.",
        f"Give the path of a manifest. These look like one: {', '.join(map(quoted, found))}."
        if found
        else "Give the path of a manifest, or write a new one with ved init.",
        code=ErrorCode.MANIFEST_NOT_READABLE,
    )


def loads(text: bytes, name: str = "pairs.yaml", folder: Path = Path()) -> Manifest:
    """Read a manifest from its content, without access to the file system.

    Args:
        text: the content.
        name: the file's name, for places.
        folder: where the paths of local directories start.

    Raises:
        ManifestError: the content has problems.
    """
    return _parse(text, name, ValidationContext(folder))


@garbage.paused()
def _parse(data: bytes, name: str, context: ValidationContext) -> Manifest:
    if secrets := [*_secrets(data, name)]:
        raise ManifestError(secrets)
    document = read_document(data, name)
    root = document.root
    if root is None:
        raise ManifestError(document.problems)
    grid_pairs, problems = _expand_grids(root, context)
    problems += [*document.problems, *repo_problems(root, grid_pairs)]
    try:
        file = File.model_validate(root.value, context=context)
    except ValidationError as error:
        raise ManifestError([*problems, *problems_in(error, root, File)]) from None
    if problems:
        raise ManifestError(problems)
    entries = zip(file.pairs or (), items_of(root, "pairs"), strict=True)
    pairs = [pair.at(entry.where, _places(entry)) for pair, entry in entries]
    defaults = _places(root.children.get("defaults"))
    return Manifest(name, tuple(_complete(pair, file, defaults) for pair in (*pairs, *grid_pairs)))


def _secrets(data: bytes, name: str) -> Iterator[Problem]:
    """Yield the tokens in a file, comments included. From now on, no output repeats them."""
    text = data[:MAX_BYTES].decode(errors="replace")
    for found in islice(find_tokens(text), _MAX_SECRETS):
        KNOWN.add(found[0])
        before = text[: found.start()]
        place = Location(name, before.count("\n") + 1, found.start() - before.rfind("\n"))
        message = (
            "this is a token: revoke it if anybody else could read it, and write none in a "
            "manifest. VED reads it from the secret or the variable HF_TOKEN"
        )
        yield Problem.at(place, message, ErrorCode.SECRET_IN_MANIFEST)


def _expand_grids(root: Node, context: ValidationContext) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs of all valid grids, and the problems that expanding them found."""
    pairs: list[Pair] = []
    problems: list[Problem] = []
    total = len(items_of(root, "pairs"))
    for grid, node in _valid_grids(root, context):
        total += len(grid.encoders) * len(grid.decoders)
        if total > MAX_PAIRS:
            message = f"with this grid there are {total} pairs; at most {MAX_PAIRS} are allowed"
            problems.append(Problem.at(node.where, message, ErrorCode.TOO_MANY_PAIRS))
            break
        expanded, wrong = expand(grid, node)
        pairs += expanded
        problems += wrong
    return pairs, problems


def _valid_grids(root: Node, context: ValidationContext) -> Iterator[tuple[Grid, Node]]:
    """Yield the valid grids, so that mistakes elsewhere in the file do not hide theirs."""
    for node in items_of(root, "grid"):
        with suppress(ValidationError):
            yield Grid.model_validate(node.value, context=context), node


def _places(node: Node | None) -> dict[str, Location]:
    return {str(key): child.where for key, child in node.children.items()} if node else {}


def _complete(pair: Pair, file: File, locations: dict[str, Location]) -> Pair:
    """Return a pair with the defaults, and with the owners of its repo and collection.

    Args:
        pair: the pair as the file has it.
        file: the file.
        locations: the places of the defaults, by key.
    """
    keys = file.defaults.model_fields_set - pair.model_fields_set
    values = {key: getattr(file.defaults, key) for key in keys}
    repo = qualify(pair.repo, file.namespace)
    collection = values.get("collection", pair.collection)
    if collection:
        collection = qualify(collection, file.namespace or repo.partition("/")[0])
    return pair.with_values({**values, "repo": repo, "collection": collection}, locations)
