"""The manifest: pairs.yaml to typed values, or to every problem in it as file:line:column."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ved.errors import RequestError
from ved.grid import expand, made_of
from ved.manifest_problems import first_at_each_place, problems_in
from ved.manifest_types import (
    MAX_PAIRS,
    Check,
    ConfigRef,
    Context,
    Defaults,
    Dtype,
    File,
    Grid,
    Pair,
    SourceRef,
    TokenIds,
    WeightFormat,
    is_repo,
    text_of,
)
from ved.yamlfile import MAX_BYTES, Location, Node, Problem, quoted, read

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
        super().__init__(said, see="wrong-manifest")


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
    document = read(data, name)
    root = document.root
    if root is None:
        raise ManifestError(document.problems)
    cells, problems = _cells(root, context)
    problems += [*document.problems, *_repo_problems(root, cells)]
    try:
        file = File.model_validate(root.value, context=context)
    except ValidationError as error:
        raise ManifestError([*problems, *problems_in(error, root, File)]) from None
    if problems:
        raise ManifestError(problems)
    entries = zip(file.pairs or (), _items(root, "pairs"), strict=True)
    pairs = [pair.placed(entry.where, _places(entry)) for pair, entry in entries]
    return Manifest(name, tuple(_completed(pair, file, root) for pair in (*pairs, *cells)))


def _items(root: Node, key: str) -> list[Node]:
    """Return the nodes of a list; of one that stands alone, itself."""
    node = root.children.get(key)
    if node is None:
        return []
    return list(node.children.values()) if isinstance(node.value, list) else [node]


def _grids(root: Node, context: Context) -> Iterator[tuple[Grid, Node]]:
    """Yield the grids that can be read, whatever is wrong with the rest of the file."""
    for node in _items(root, "grid"):
        with suppress(ValidationError):
            yield Grid.model_validate(node.value, context=context), node


def _cells(root: Node, context: Context) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs of all grids, and what is wrong with those grids that could be read."""
    cells: list[Pair] = []
    problems: list[Problem] = []
    total = len(_items(root, "pairs"))
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
    repo = _full_name(pair.repo, file.namespace)
    owner = file.namespace or repo.partition("/")[0]
    collection = pair.collection and _full_name(pair.collection, owner)
    return pair.model_copy(update={"repo": repo, "collection": collection})


def _full_name(name: str, namespace: object) -> str:
    return name if "/" in name or namespace is None else f"{namespace}/{name}"


class _Named(NamedTuple):
    """A repo's name, with its place; of a grid's cell also which one it is."""

    repo: str
    where: Location
    cell: str = ""

    def subject(self, name: str) -> str:
        return f"{quoted(name)}, {self.cell}," if self.cell else quoted(name)


def _named_pairs(root: Node) -> Iterator[_Named]:
    """Yield the repos of the file's pairs, also of those with other problems."""
    for pair in _items(root, "pairs"):
        node = pair.children.get("repo")
        repo = text_of(node.value) if node else None
        if node and isinstance(repo, str) and is_repo(repo):
            yield _Named(repo, node.where)


def _repo_problems(root: Node, cells: Iterable[Pair]) -> Iterator[Problem]:
    """Find repos without an owner and repos named twice, among the file's pairs and the cells."""
    owner = root.children.get("namespace")
    namespace = text_of(owner.value) if owner else None
    named = [*_named_pairs(root)]
    named += [_Named(cell.repo, cell.location("repo"), made_of(cell)) for cell in cells]
    if namespace is None:
        yield from first_at_each_place(_ownerless(named))
    yield from first_at_each_place(_repeated(named, namespace))


def _ownerless(named: Iterable[_Named]) -> Iterator[Problem]:
    for entry in named:
        if "/" not in entry.repo:
            advice = "begin 'repo' with owner/" if entry.cell else f"write owner/{entry.repo}"
            message = f"{entry.subject(entry.repo)} has no owner: {advice}, or set 'namespace'"
            yield Problem.at(entry.where, message)


def _repeated(named: Iterable[_Named], namespace: object) -> Iterator[Problem]:
    first: dict[str, _Named] = {}
    for entry in named:
        full_name = _full_name(entry.repo, namespace)
        # The Hub takes names that differ only in case for the same.
        other = first.setdefault(full_name.lower(), entry)
        if other is not entry:
            before = f"first {other.cell} on line" if other.cell else "first on line"
            twice = f"is published twice, {before} {other.where.line}"
            yield Problem.at(entry.where, f"{entry.subject(full_name)} {twice}")


class _SchemaWriter(GenerateJsonSchema):
    """Leaves out what only pydantic needs: null for a key that is not given, and made-up titles."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        written = super().default_schema(schema)
        return {key: value for key, value in written.items() if (key, value) != ("default", None)}

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of a manifest, for editors."""
    schema = File.model_json_schema(schema_generator=_SchemaWriter)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def write_schema(path: Path) -> None:
    """Write the JSON Schema to a file."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
