"""Check the repo names of a manifest: each has an owner, and no two pairs have the same name."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ved.errors import ErrorCode
from ved.manifest.fields import is_repo_id, text_of
from ved.manifest.grid import describe_cell
from ved.manifest.pair_models import Pair
from ved.manifest.problems import Location, Problem, keep_first_at_each_place
from ved.manifest.yaml_nodes import Node, items_of
from ved.text import quoted


def qualify(name: str, namespace: object) -> str:
    """Return a name with its owner: its own, or else the namespace if there is one."""
    return name if "/" in name or namespace is None else f"{namespace}/{name}"


class _NamedRepo(NamedTuple):
    """The name of a repo to publish to.

    Attributes:
        name: the name, with or without owner.
        where: the place of the value that names it.
        cell: for a grid's pair, its sources; empty for others.
    """

    name: str
    where: Location
    cell: str = ""

    def subject(self, name: str) -> str:
        """Return the subject of a message."""
        return f"{quoted(name)}, {self.cell}," if self.cell else quoted(name)


def repo_problems(root: Node, grid_pairs: Iterable[Pair]) -> Iterator[Problem]:
    """Yield the repos without an owner, and the repos that several pairs name.

    Args:
        root: the parsed file. Its pairs are checked even if they have other mistakes.
        grid_pairs: the pairs of its grids.
    """
    owner = root.children.get("namespace")
    namespace = text_of(owner.value) if owner else None
    repos = [
        *_repos_of_pairs(root),
        *(_NamedRepo(pair.repo, pair.location("repo"), describe_cell(pair)) for pair in grid_pairs),
    ]
    if namespace is None:
        yield from keep_first_at_each_place(_without_owner(repos))
    yield from keep_first_at_each_place(_duplicates(repos, namespace))


def _repos_of_pairs(root: Node) -> Iterator[_NamedRepo]:
    for pair in items_of(root, "pairs"):
        node = pair.children.get("repo")
        name = text_of(node.value) if node else None
        if node and isinstance(name, str) and is_repo_id(name):
            yield _NamedRepo(name, node.where)


def _without_owner(repos: Iterable[_NamedRepo]) -> Iterator[Problem]:
    for repo in repos:
        if "/" not in repo.name:
            advice = "begin 'repo' with owner/" if repo.cell else f"write owner/{repo.name}"
            message = f"{repo.subject(repo.name)} has no owner: {advice}, or set 'namespace'"
            yield Problem.at(repo.where, message, ErrorCode.REPO_WITHOUT_OWNER)


def _duplicates(repos: Iterable[_NamedRepo], namespace: object) -> Iterator[Problem]:
    first: dict[str, _NamedRepo] = {}
    for repo in repos:
        full_name = qualify(repo.name, namespace)
        # On the Hub, names that differ only in case are the same.
        other = first.setdefault(full_name.lower(), repo)
        if other is not repo:
            before = f"first {other.cell} on line" if other.cell else "first on line"
            message = f"{repo.subject(full_name)} is published twice, {before} {other.where.line}"
            yield Problem.at(repo.where, message, ErrorCode.DUPLICATE_REPO)
