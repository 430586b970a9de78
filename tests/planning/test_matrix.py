"""Shards: every pair in one, none much larger than it has to be, shared sources together."""

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.errors import ErrorCode, RequestError
from ved.planning.matrix import (
    PairCost,
    Shard,
    build_matrix,
    check_shard_count,
    distribute,
    parse_shard,
    parse_shard_count,
)


def grid(encoders: int, decoders: int, seed: int, output: tuple[int, int]) -> list[PairCost]:
    """Return every encoder with every decoder, in random order, all of random sizes."""
    numbers = random.Random(seed)
    sizes = {f"encoder-{n}@c": numbers.randint(1, 100) for n in range(encoders)}
    sizes |= {f"decoder-{n}@c": numbers.randint(1, 100) for n in range(decoders)}
    pairs = [(f"encoder-{e}@c", f"decoder-{d}@c") for e in range(encoders) for d in range(decoders)]
    numbers.shuffle(pairs)
    return [
        PairCost("+".join(pair), {name: sizes[name] for name in pair}, numbers.randint(*output))
        for pair in pairs
    ]


@st.composite
def job_lists(draw: st.DrawFn) -> list[PairCost]:
    sizes = draw(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100), min_size=1))
    names = st.sets(st.sampled_from(sorted(sizes)), max_size=2)
    jobs = draw(st.lists(st.tuples(names, st.integers(0, 100)), max_size=30))
    return [
        PairCost(f"org/{number}", {name: sizes[name] for name in sorted(sources)}, output)
        for number, (sources, output) in enumerate(jobs)
    ]


def largest(shards: list[Shard]) -> int:
    return max(shard.size for shard in shards)


def every_deal(jobs: list[PairCost], count: int) -> Iterator[list[Shard]]:
    """Yield every way to deal jobs out to at most so many shards."""
    if not jobs:
        yield []
        return
    *others, job = jobs
    for shards in every_deal(others, count):
        for number, shard in enumerate(shards):
            yield [*shards[:number], Shard((*shard.pairs, job)), *shards[number + 1 :]]
        if len(shards) < count:
            yield [*shards, Shard((job,))]


def test_size_counts_a_shared_source_once() -> None:
    jobs = (PairCost("a", {"e": 10, "d": 5}, 100), PairCost("b", {"e": 10, "./local": 0}, 200))
    assert Shard(jobs).size == 10 + 5 + 100 + 200


@given(job_lists(), st.integers(1, 256))
def test_every_job_is_in_one_shard_and_no_shard_is_empty(jobs: list[PairCost], count: int) -> None:
    shards = distribute(jobs, count)
    repos = [job.repo for shard in shards for job in shard.pairs]
    assert sorted(repos) == sorted(job.repo for job in jobs)
    assert all(shard.pairs for shard in shards)
    assert len(shards) <= count


@given(job_lists(), st.integers(1, 10))
def test_order_is_that_of_the_jobs(jobs: list[PairCost], count: int) -> None:
    position = {job.repo: number for number, job in enumerate(jobs)}
    dealt = [[position[job.repo] for job in shard.pairs] for shard in distribute(jobs, count)]
    assert dealt == sorted(sorted(positions) for positions in dealt)


@pytest.mark.parametrize("output", [(1, 20), (100, 400)], ids=["sources weigh", "outputs weigh"])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_largest_shard_is_at_most_a_third_above_the_best(
    seed: int, count: int, output: tuple[int, int]
) -> None:
    jobs = grid(3, 3, seed, output)[:7]
    best = min(map(largest, every_deal(jobs, count)))
    assert largest(distribute(jobs, count)) <= best * 4 / 3


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60), st.integers(1, 20))
def test_without_shared_sources_the_longest_processing_time_rule_is_the_bound(
    outputs: list[int], count: int
) -> None:
    """The rule: each job, largest first, goes to the shard that is emptiest by then."""
    shards = [0] * count
    for output in sorted(outputs, reverse=True):
        shards[shards.index(min(shards))] += output
    assert largest(
        distribute([PairCost(str(n), {}, o) for n, o in enumerate(outputs)], count)
    ) <= max(shards)


@pytest.mark.parametrize(("encoders", "decoders", "count"), [(22, 22, 256), (10, 10, 7)])
def test_large_grid_is_near_what_no_deal_can_beat(encoders: int, decoders: int, count: int) -> None:
    jobs = grid(encoders, decoders, 0, (200, 400))
    bound = max(Shard(tuple(jobs)).size / count, largest([Shard((job,)) for job in jobs]))
    assert largest(distribute(jobs, count)) <= bound * 4 / 3


def test_jobs_that_share_sources_stay_together_where_it_costs_nothing() -> None:
    jobs = [
        PairCost(f"{source}{number}", {source: 100, "./local": 0}, 10)
        for number in range(4)
        for source in "abc"
    ]
    together = [[job.repo[0] for job in shard.pairs] for shard in distribute(jobs, 3)]
    assert together == [["a"] * 4, ["b"] * 4, ["c"] * 4]


def test_jobs_that_share_sources_are_parted_where_balance_asks_for_it() -> None:
    jobs = [PairCost(str(number), {"source": 1}, 100) for number in range(4)]
    assert [len(shard.pairs) for shard in distribute(jobs, 2)] == [2, 2]


def test_source_whose_size_is_told_differently_is_no_obstacle() -> None:
    jobs = [PairCost(str(size), {"source": size}, 1) for size in (5, 1000, 1)]
    assert sum(len(shard.pairs) for shard in distribute(jobs, 2)) == 3


@pytest.mark.parametrize(("jobs", "count"), [(3, 256), (3, 3), (3, 2), (1, 1), (0, 4)])
def test_there_are_no_more_shards_than_jobs(jobs: int, count: int) -> None:
    shards = distribute([PairCost(str(number), {}, 1) for number in range(jobs)], count)
    assert len(shards) == min(jobs, count)


@given(job_lists(), st.integers(1, 10))
def test_same_jobs_are_dealt_the_same_way(jobs: list[PairCost], count: int) -> None:
    turned = [
        PairCost(job.repo, dict(sorted(job.sources.items(), reverse=True)), job.output)
        for job in jobs
    ]
    assert build_matrix(distribute(turned, count)) == build_matrix(distribute(jobs, count))


@pytest.mark.parametrize("count", [-1, 0, 257])
def test_check_shard_count_refuses_what_github_does_not_take(count: int) -> None:
    with pytest.raises(RequestError) as caught:
        check_shard_count(count)
    assert caught.value.code == ErrorCode.WRONG_INPUT


@pytest.mark.parametrize(
    "text", ["", "three", "-1", "1.5", "٣", "1_0", "9" * 10, "0", "257", "9" * 9]
)
def test_parse_shard_count_refuses_other_text(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_shard_count(text)
    assert caught.value.code == ErrorCode.WRONG_INPUT


@pytest.mark.parametrize("count", [1, 12, 256])
def test_parse_shard_count_returns_the_number(count: int) -> None:
    assert parse_shard_count(str(count)) == count


def test_matrix_is_what_a_workflow_includes() -> None:
    shards = [
        Shard((PairCost("org/a", {"s": 1}, 10), PairCost("org/b", {"s": 1}, 20))),
        Shard((PairCost("org/c", {}, 5),)),
    ]
    assert build_matrix(shards) == {
        "include": [
            {"index": 0, "shard": "1/2", "repos": ["org/a", "org/b"], "bytes": 31},
            {"index": 1, "shard": "2/2", "repos": ["org/c"], "bytes": 5},
        ]
    }


def test_each_job_of_the_matrix_reads_its_own_repos() -> None:
    shards = distribute(grid(3, 3, 0, (1, 100)), 4)
    elements = json.loads(json.dumps(build_matrix(shards)))["include"]
    read_back = [parse_shard(json.dumps(element, indent=2)) for element in elements]
    assert read_back == [tuple(job.repo for job in shard.pairs) for shard in shards]


def test_workflow_may_add_keys_of_its_own() -> None:
    assert parse_shard('{"runner": "ubuntu-latest", "repos": ["org/a"]}') == ("org/a",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Invalid JSON"),
        ("org/a", "Invalid JSON"),
        ("[" * 10_000, "Invalid JSON"),
        ("\ud800", "unicode"),
        ('["org/a"]', "an object"),
        ("null", "an object"),
        ("{}", "repos: Field required"),
        ('{"repos": "org/a"}', "repos: .* list|repos: .* array"),
        ('{"repos": []}', "repos: .* at least 1 item"),
        ('{"repos": [1]}', "repos.0: .* string"),
        ('{"repos": [""]}', "repos.0: .* at least 1 character"),
    ],
)
def test_what_is_no_element_of_a_matrix_is_refused(text: str, problem: str) -> None:
    with pytest.raises(RequestError, match=f"shard cannot be read: .*{problem}") as caught:
        parse_shard(text)
    assert "${{ toJSON(matrix) }}" in caught.value.remedy
