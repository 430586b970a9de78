"""The repo names of a manifest: each with an owner, and each once."""

import pytest

from tests.support.manifests import places_of, problems_of


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (
            "pairs:\n- {repo: o/r, encoder: e, decoder: d}\n"
            "- {repo: O/R, encoder: e, decoder: 3 4}",
            ["3:10 duplicate-repo", "3:36 value-not-allowed"],
        ),
        (
            "namespace: o\n"
            "pairs: [&a {repo: r, encoder: e, decoder: d}, {<<: *a, repo: o/r}, {<<: *a, repo: s}]",
            ["2:62 duplicate-repo"],
        ),
        ("pairs: [&a {repo: o/r, encoder: e, decoder: d}, *a]", ["1:19 duplicate-repo"]),
    ],
    ids=["in another case, beside another mistake", "by merging", "by an alias"],
)
def test_repo_names_of_two_pairs_differ(text: str, places: list[str]) -> None:
    assert places_of(text) == places


def test_repo_names_of_pairs_and_all_grids_differ() -> None:
    text = """\
namespace: o
pairs:
  - {repo: O/VIT-gpt2, encoder: e, decoder: d}
grid:
  - encoders: [a/vit]
    decoders: [c/gpt2, c/bert]
  - encoders: [b/vit]
    decoders: [c/bert]
    repo: "{encoder}-{decoder}"
"""
    assert places_of(text) == ["5:5 duplicate-repo", "9:11 duplicate-repo"]
    first, second = problems_of(text)
    for part in ("'o/vit-gpt2'", "'a/vit' with 'c/gpt2'", "line 3"):
        assert part in first.message
    for part in ("'o/vit-bert'", "'b/vit' with 'c/bert'", "'a/vit' with 'c/bert'", "line 5"):
        assert part in second.message


def test_repo_names_of_different_owners_are_not_duplicates() -> None:
    text = "pairs: [{repo: a/r, encoder: e, decoder: d}, {repo: r, encoder: e, decoder: d}]"
    assert places_of(text) == ["1:53 repo-without-owner"]
