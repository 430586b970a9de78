"""The jobs of a GitHub Actions matrix: pairs distributed to shards of similar size."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ved.errors import ErrorCode, RequestError
from ved.planning.actions import Build, PlannedAction, is_pending
from ved.text import quoted

MAX_SHARDS = 256
"""GitHub's limit of jobs in a matrix."""


@dataclass(frozen=True)
class PairCost:
    """The cost of one pair for a job.

    Attributes:
        repo: the repo to publish to.
        sources: bytes to download, by "name@commit"; 0 for a local directory. A source has
            the same size wherever it occurs.
        output: bytes to write and upload.
    """

    repo: str
    sources: Mapping[str, int]
    output: int


@dataclass(frozen=True)
class Shard:
    """The pairs of one job of the matrix."""

    pairs: tuple[PairCost, ...]

    @property
    def size(self) -> int:
        """Bytes to download, each source once, and to upload."""
        sources = {name: size for pair in self.pairs for name, size in pair.sources.items()}
        return sum(sources.values()) + sum(pair.output for pair in self.pairs)


def pair_costs(actions: Iterable[PlannedAction]) -> list[PairCost]:
    """Return what the pending actions of a plan cost, in order."""
    return [
        PairCost(action.pair.repo, action.estimate.sources, action.estimate.output)
        if isinstance(action, Build)
        else PairCost(action.pair.repo, {}, 0)
        for action in actions
        if is_pending(action)
    ]


def distribute(pairs: Sequence[PairCost], count: int) -> list[Shard]:
    """Distribute pairs to at most ``count`` shards, none empty, so that the largest is small.

    Bisection, to 1 %, finds the lowest limit on a shard's size under which all pairs find a place;
    pairs that share a source stay together within that limit. This is a heuristic: the best
    distribution is NP-hard to find. If no pairs share a source, it is the longest-processing-time
    rule, whose largest shard is at most 4/3 of the best one (Graham, 1969).

    Shards come in the order of their first pairs, and pairs in the order given.

    Args:
        pairs: the pairs to distribute.
        count: what `check_shard_count` accepts.
    """
    check_shard_count(count)
    if not pairs:
        return []
    alone = [Shard((pair,)).size for pair in pairs]
    # No distribution has a largest shard below the one limit; every one fits under the other.
    impossible = max(*alone, -(-Shard(tuple(pairs)).size // count)) - 1
    possible = max(alone) + sum(alone) // count
    best = _pack(pairs, count, possible)
    assert best is not None
    while possible - impossible > max(1, possible // 100):
        limit = (possible + impossible) // 2
        found = _pack(pairs, count, limit)
        if found is None:
            impossible = limit
        else:
            possible = limit
            best = min(best, found, key=_largest)
    return best


def check_shard_count(count: int) -> None:
    """Check that a matrix can have a number of jobs.

    Raises:
        RequestError: it cannot.
    """
    if not 1 <= count <= MAX_SHARDS:
        raise RequestError(
            f"{count} shards are not possible.",
            f"Ask for 1 to {MAX_SHARDS}, which is GitHub's limit of jobs in a matrix.",
            code=ErrorCode.WRONG_INPUT,
        )


def _largest(shards: Sequence[Shard]) -> int:
    return max(shard.size for shard in shards)


class _OpenShard:
    """A shard while pairs are distributed."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.sources: set[str] = set()
        self.size = 0

    def cost(self, pair: PairCost) -> int:
        """Return the bytes that a pair adds: its output, and sources that no pair here shares."""
        cost = pair.output
        for name, size in pair.sources.items():
            if name not in self.sources:
                cost += size
        return cost

    def add(self, pair: PairCost, position: int) -> None:
        self.size += self.cost(pair)
        self.sources.update(pair.sources)
        self.positions.append(position)


def _pack(pairs: Sequence[PairCost], count: int, limit: int) -> list[Shard] | None:
    """Pack pairs into shards within the limit, largest pair first; None if one finds no place.

    Each pair goes where it adds the fewest bytes; among equals, to the smallest shard.
    """
    shards = [_OpenShard() for _ in range(count)]
    for position, pair in sorted(enumerate(pairs), key=lambda item: -Shard((item[1],)).size):
        fitting = [
            (cost, shard.size, number)
            for number, shard in enumerate(shards)
            if shard.size + (cost := shard.cost(pair)) <= limit
        ]
        if not fitting:
            return None
        *_, chosen = min(fitting)
        shards[chosen].add(pair, position)
    packed = sorted(sorted(shard.positions) for shard in shards if shard.positions)
    return [Shard(tuple(pairs[position] for position in positions)) for positions in packed]


def build_matrix(shards: Sequence[Shard]) -> dict[str, Any]:
    """Return the shards as ``strategy.matrix: ${{ fromJSON(...) }}`` takes them.

    GitHub refuses a matrix without jobs, so the job that uses it needs an ``if``.
    """
    return {
        "include": [
            {
                "index": number - 1,
                "shard": f"{number}/{len(shards)}",
                "repos": [pair.repo for pair in shard.pairs],
                "bytes": shard.size,
            }
            for number, shard in enumerate(shards, start=1)
        ]
    }


def parse_shard_count(text: str) -> int:
    """Return the number of shards that a user asks for.

    Raises:
        RequestError: it is not a whole number, or a matrix cannot have so many jobs.
    """
    if not re.fullmatch("[0-9]{1,9}", text):
        raise RequestError(
            f"{quoted(text)} is not a number of shards.",
            "Write it in digits.",
            code=ErrorCode.WRONG_INPUT,
        )
    count = int(text)
    check_shard_count(count)
    return count


class _Element(BaseModel):
    """One element of a matrix; a workflow may add keys of its own."""

    repos: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


def parse_shard(text: str) -> tuple[str, ...]:
    """Return the repos of one element of the matrix, given as ``${{ toJSON(matrix) }}`` writes it.

    Raises:
        RequestError: the text is not such an element.
    """
    try:
        return tuple(_Element.model_validate_json(text).repos)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise RequestError(
            f"The shard cannot be read: {where and f'{where}: '}{problem['msg']}.",
            "Give one element of the list `include` of a planned matrix. In a job of that matrix, "
            "it is ${{ toJSON(matrix) }}.",
            code=ErrorCode.WRONG_INPUT,
        ) from None
