"""Check the repo names of a manifest: each has an owner, and each is published once."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ved.manifest.fields import is_repo, text_of
from ved.manifest.grid import made_of
from ved.manifest.messages import first_at_each_place
from ved.manifest.models import Pair
from ved.manifest.yaml_nodes import Location, Node, Problem, items_of
from ved.text import quoted


def qualified_name(name: str, namespace: object) -> str:
    """Return a repo's name with its owner, where the manifest names one."""
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
    for pair in items_of(root, "pairs"):
        node = pair.children.get("repo")
        repo = text_of(node.value) if node else None
        if node and isinstance(repo, str) and is_repo(repo):
            yield _Named(repo, node.where)


def repo_problems(root: Node, cells: Iterable[Pair]) -> Iterator[Problem]:
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
        full_name = qualified_name(entry.repo, namespace)
        # The Hub takes names that differ only in case for the same.
        other = first.setdefault(full_name.lower(), entry)
        if other is not entry:
            before = f"first {other.cell} on line" if other.cell else "first on line"
            twice = f"is published twice, {before} {other.where.line}"
            yield Problem.at(entry.where, f"{entry.subject(full_name)} {twice}")
