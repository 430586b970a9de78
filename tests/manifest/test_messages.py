"""Problems of a manifest: each mistake has one, at its place, with its code and its data."""

from textwrap import dedent

import pytest

from tests.manifest import mistakes
from tests.manifest.mistakes import Mistake
from tests.support.manifests import one_pair, places_of, problems_of


@pytest.mark.parametrize("mistake", mistakes.WHOLE_FILE, ids=str)
def test_messages_of_file_that_is_not_a_manifest(mistake: Mistake) -> None:
    mistakes.check(mistake)


@pytest.mark.parametrize("mistake", [*mistakes.PAIR_SHAPE, *mistakes.PAIR], ids=str)
def test_messages_of_pair(mistake: Mistake) -> None:
    mistakes.check(mistake)


@pytest.mark.parametrize("mistake", [*mistakes.GRID_SHAPE, *mistakes.GRID], ids=str)
def test_messages_of_grid(mistake: Mistake) -> None:
    mistakes.check(mistake)


def test_messages_have_the_wording_of_the_golden_file() -> None:
    written = mistakes.MESSAGES.read_text(encoding="utf-8")
    assert written == "".join(mistakes.messages()), "run `python -m tests.manifest.mistakes`"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("# {}\npairs: 1", "1:3"),
        ("namespace: a\r\npairs: [{{repo: {}, encoder: e, decoder: d}}]", "2:16"),
        ("{}: 1", "1:1"),
        ("pairs: [{{description: 'by ({})'", "1:28"),
    ],
)
def test_messages_report_a_token_without_repeating_it(text: str, place: str) -> None:
    token = "ghp_aBcDeFgHiJkLmNoPqRsT"
    (problem,) = problems_of(text.format(token))
    assert f"{problem.line}:{problem.column} {problem.code}" == f"{place} secret-in-manifest"
    assert token not in str(problem)


def test_messages_report_many_tokens_quickly() -> None:
    assert len(problems_of("hf_aBcDeFgHiJkLmNoPqR\n" * 40_000)) == 10


def test_messages_report_misspelled_key_only_once() -> None:
    (problem,) = problems_of("pairs:\n- {repo: o/r, encoder: e, decodr: d}")
    assert (problem.column, problem.code) == (27, "unknown-key")
    assert "'decoder'" in problem.message


def test_messages_report_each_missing_key() -> None:
    first, second = problems_of("pairs:\n- {repo: o/r}")
    assert {(each.line, each.column, each.code) for each in (first, second)} == {
        (2, 3, "missing-key")
    }
    assert "'decoder'" in first.message
    assert "'encoder'" in second.message


def test_messages_report_file_without_pairs_beside_other_mistakes() -> None:
    assert places_of("namespace: a b") == ["1:1 missing-key", "1:12 value-not-allowed"]


def test_messages_report_mistake_under_alias_once_at_its_anchor() -> None:
    text = "pairs: [&a {repo: o/r, encoder: e, decoder: d, sed: 1}, {<<: *a, repo: o/s}]"
    assert places_of(text) == ["1:48 unknown-key"]


def test_messages_report_mistakes_of_defaults_and_namespace() -> None:
    text = dedent("""\
        namespace: a/b
        defaults: {licence: mit, private: no, repo: x}
        pairs: [{repo: o/r, encoder: e, decoder: d}]
        """)
    namespace, spelling, flag, repo = problems_of(text)
    assert "'a/b'" in namespace.message
    assert "'license'" in spelling.message
    assert "'no'" in flag.message
    assert "private, license, language, tags, seed, dtype" in repo.message
    assert places_of(text) == [
        "1:12 value-not-allowed",
        "2:12 unknown-key",
        "2:35 wrong-type",
        "2:39 unknown-key",
    ]


def test_messages_report_ten_mistakes_in_order() -> None:
    text = dedent("""\
        namespace: my org
        defaults:
          private: yes
        pairs:
          - repo: vit gpt2
            encodr: google/vit
            decoder: openai/gpt2@
            seed: two
          - repo: my/model
            encoder: {model: google/vit, allow_pickle: maybe}
            decoder: openai/gpt2
            seed: 1
            seed: 2
          - repo: My/Model
            encoder: google/vit
            decoder: openai/gpt2
        gird: {}
        """)
    assert places_of(text) == [
        "1:12 value-not-allowed",
        "3:12 wrong-type",
        "5:11 value-not-allowed",
        "6:5 unknown-key",
        "7:14 value-not-allowed",
        "8:11 wrong-type",
        "10:48 wrong-type",
        "13:5 duplicate-key",
        "14:11 duplicate-repo",
        "17:1 unknown-key",
    ]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("repo", "x" * 5000, "value-not-allowed"),
        ("seed", "9" * 4000, "value-not-allowed"),
        ("seed", "9" * 5000, "wrong-type"),  # more digits than Python reads
    ],
)
def test_messages_truncate_long_values(key: str, value: str, code: str) -> None:
    (problem,) = problems_of(one_pair(**{key: value}))
    assert (problem.line, problem.column, problem.code) == (2, 9, code)
    assert f"'{value[:79]}…'" in problem.message
    assert len(problem.message) < 300


def test_problem_text_ends_with_the_link_of_its_code() -> None:
    (problem,) = problems_of("pairs: []")
    assert str(problem) == f"pairs.yaml:1:8: {problem.message}"
    assert problem.text == f"{problem.message} See {problem.code.url}"
