"""Shards: the pairs to build, dealt out to the jobs of a GitHub Actions matrix."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ved.errors import ErrorCode, RequestError
from ved.text import quoted

MAX_SHARDS = 256
"""GitHub's limit of jobs in a matrix."""


@dataclass(frozen=True)
class PairCost:
    """One pair to build.

    Attributes:
        repo: what it is published as.
        sources: bytes to download, by "name@commit"; a local directory has none. A source has
            the same size wherever it occurs.
        output: bytes that it writes and uploads.
    """

    repo: str
    sources: Mapping[str, int]
    output: int


@dataclass(frozen=True)
class Shard:
    """Pairs that one job of the matrix builds."""

    jobs: tuple[PairCost, ...]

    @property
    def size(self) -> int:
        """Bytes to download, each source once, and to upload."""
        sources = {name: size for job in self.jobs for name, size in job.sources.items()}
        return sum(sources.values()) + sum(job.output for job in self.jobs)


def distribute(jobs: Sequence[PairCost], count: int) -> list[Shard]:
    """Deal jobs out to at most ``count`` shards, none empty, so that the largest is small.

    It seeks the lowest limit on a shard's size under which all jobs find a place (bisection, to
    1 %), and jobs that share a source stay together within that limit. A heuristic: the best deal
    is NP-hard to find. Where no jobs share a source, the largest shard is at most 4/3 of the best
    deal's, the bound of the longest-processing-time rule (Graham, 1969), which this then is.

    Shards come in the order of their first jobs, and jobs in the order given.

    Args:
        jobs: the pairs to build.
        count: what `check_shard_count` accepts.
    """
    assert 1 <= count <= MAX_SHARDS
    if not jobs:
        return []
    alone = [Shard((job,)).size for job in jobs]
    # No deal has a largest shard below the one; any way of packing has room under the other.
    impossible = max(*alone, -(-Shard(tuple(jobs)).size // count)) - 1
    possible = max(alone) + sum(alone) // count
    best = _pack(jobs, count, possible)
    assert best is not None
    while possible - impossible > max(1, possible // 100):
        limit = (possible + impossible) // 2
        found = _pack(jobs, count, limit)
        if found is None:
            impossible = limit
        else:
            possible = limit
            best = min(best, found, key=_largest)
    return best


def _largest(shards: Sequence[Shard]) -> int:
    return max(shard.size for shard in shards)


class _OpenShard:
    """A shard while jobs are dealt."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.sources: set[str] = set()
        self.size = 0

    def cost(self, job: PairCost) -> int:
        """Return the bytes that a job adds: its output, and the sources that are not here yet."""
        cost = job.output
        for name, size in job.sources.items():
            if name not in self.sources:
                cost += size
        return cost

    def add(self, job: PairCost, position: int) -> None:
        self.size += self.cost(job)
        self.sources.update(job.sources)
        self.positions.append(position)


def _pack(jobs: Sequence[PairCost], count: int, limit: int) -> list[Shard] | None:
    """Pack jobs into shards within the limit, largest job first; None if one finds no place.

    Each job goes where it adds the fewest bytes, and of several such shards to the emptiest.
    """
    shards = [_OpenShard() for _ in range(count)]
    for position, job in sorted(enumerate(jobs), key=lambda item: -Shard((item[1],)).size):
        fitting = [
            (cost, shard.size, number)
            for number, shard in enumerate(shards)
            if shard.size + (cost := shard.cost(job)) <= limit
        ]
        if not fitting:
            return None
        *_, chosen = min(fitting)
        shards[chosen].add(job, position)
    dealt = sorted(sorted(shard.positions) for shard in shards if shard.positions)
    return [Shard(tuple(jobs[position] for position in positions)) for positions in dealt]


def build_matrix(shards: Sequence[Shard]) -> dict[str, Any]:
    """Return the shards as ``strategy.matrix: ${{ fromJSON(...) }}`` takes them.

    GitHub refuses a matrix without jobs, so the job that uses it needs an ``if``.
    """
    return {
        "include": [
            {
                "shard": f"{number}/{len(shards)}",
                "repos": [job.repo for job in shard.jobs],
                "bytes": shard.size,
            }
            for number, shard in enumerate(shards, start=1)
        ]
    }


def check_shard_count(count: int) -> None:
    """Check that a matrix can have this many jobs.

    Callers check this before they make a plan, which takes many requests.

    Raises:
        RequestError: the count is less than 1 or above GitHub's limit.
    """
    if not 1 <= count <= MAX_SHARDS:
        raise RequestError(
            f"{count} shards are not possible.",
            f"Ask for 1 to {MAX_SHARDS}, which is GitHub's limit of jobs in a matrix.",
            code=ErrorCode.WRONG_INPUT,
        )


def parse_shard_count(text: str) -> int:
    """Return the number of shards that a user asks for.

    Raises:
        RequestError: the text is not a whole number, or a matrix cannot have this many jobs.
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
    """What `read` needs of an element; a workflow may add keys of its own to its matrix."""

    repos: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


def parse_shard(text: str) -> tuple[str, ...]:
    """Return the repos of one element of the matrix, given as ``${{ toJSON(matrix) }}`` writes it.

    Raises:
        RequestError: it is not such an element.
    """
    try:
        return tuple(_Element.model_validate_json(text).repos)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise RequestError(
            f"The shard cannot be read: {where and f'{where}: '}{problem['msg']}.",
            "Give it as ${{ toJSON(matrix) }}, in a job whose matrix is the one that was planned.",
            code=ErrorCode.WRONG_INPUT,
        ) from None
