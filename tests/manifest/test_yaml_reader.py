"""The YAML reader: scalars, aliases, places, and files from strangers."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.manifest import mistakes
from tests.manifest.mistakes import Mistake
from tests.support.manifests import load_one, one_pair, places_of, problems_of
from ved.manifest import ManifestError, Pair, SourceRef, TokenIds, loads, yaml_reader
from ved.manifest.grid_models import Grid
from ved.manifest.yaml_nodes import Scalar


@pytest.mark.parametrize("mistake", mistakes.YAML, ids=str)
def test_yaml_reader_stops_at_syntax_error(mistake: Mistake) -> None:
    mistakes.check(mistake)


def test_yaml_reader_refuses_alias_bomb() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (problem,) = problems_of("\n".join(lines))
    assert problem.code == "manifest-too-large"
    assert "100000" in problem.message


def test_yaml_reader_reports_duplicate_key_with_line_of_the_first() -> None:
    (problem,) = problems_of("pairs:\n- {repo: o/r, encoder: e, decoder: d, repo: o/s}")
    assert (problem.line, problem.column, problem.code) == (2, 39, "duplicate-key")
    assert "'repo'" in problem.message
    assert "line 2" in problem.message


@pytest.mark.parametrize(("written", "flag"), [("true", True), ("False", False), ("TRUE", True)])
def test_yaml_reader_reads_booleans_of_yaml_1_2(written: str, flag: bool) -> None:
    assert load_one(private=written).private is flag


@pytest.mark.parametrize(
    ("written", "seed"),
    [("0", 0), ("4294967295", 2**32 - 1), ("0x10", 16), ("0o17", 15), ("017", 17), ("!!int 5", 5)],
)
def test_yaml_reader_reads_integers_of_yaml_1_2(written: str, seed: int) -> None:
    assert load_one(seed=written).seed == seed


def test_yaml_reader_resolves_anchors_aliases_and_merge_keys() -> None:
    manifest = loads(b"""
pairs:
  - &first
    repo: o/x
    encoder: &vit {model: e/e, revision: main}
    decoder: d/d
    seed: 1
  - {repo: o/y, encoder: *vit, decoder: d/d}
  - <<: *first
    repo: o/z
  - <<: [{repo: o/w, seed: 2}, *first]
""")
    x, y, z, w = manifest.pairs
    assert x.encoder == y.encoder == z.encoder == w.encoder
    assert [(pair.repo, pair.seed) for pair in (y, z, w)] == [("o/y", 0), ("o/z", 1), ("o/w", 2)]
    assert z.where.line == 9
    assert z.location("decoder").line == 6


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + one_pair(),
        one_pair().replace(b"\n", b"\r\n"),
        b"%YAML 1.1\n---\n" + one_pair() + b"\n...\n",
    ],
    ids=["byte order mark", "CRLF", "directive and document markers"],
)
def test_yaml_reader_reads_files_of_every_editor(data: bytes) -> None:
    (pair,) = loads(data).pairs
    assert pair.model_dump() == load_one().model_dump()


def test_yaml_reader_counts_lines_and_columns_as_editors_do() -> None:
    # U+2028 ends no line, contrary to YAML 1.1; an emoji is one character.
    text = "# \u2028 \u0085\r\npairs:\r\n- {tags: [🤗], sed: 1, repo: o/r, encoder: e, decoder: d}"
    assert places_of(text) == ["3:15 unknown-key"]


# Files from strangers


def check_places_are_within(data: bytes) -> None:
    """Check that a file loads, or has sorted problems, each on one line and at a place in it."""
    try:
        loads(data)
    except ManifestError as error:
        problems = error.problems
    else:
        return
    lines = re.split(r"\r\n|\r|\n", data.decode(errors="replace"))
    assert problems
    assert list(problems) == sorted(set(problems))
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert str(problem).isprintable()


@given(st.binary(max_size=200))
def test_yaml_reader_accepts_any_bytes(data: bytes) -> None:
    check_places_are_within(data)


YAML_SIGNS = [
    *"{}[],:&*!|>'\"#%@?-\t\n\r \u2028\x85\ufeff\x00é🤗",
    "\n  ",
    "\n- ",
    "---\n",
    "...\n",
]
YAML_WORDS = ["pairs: ", "repo: ", "&a ", "*a", "<<: ", "!!int ", "1e3", "null", r'"\x41"', "%YAML"]


@given(st.lists(st.sampled_from(YAML_SIGNS + YAML_WORDS), max_size=40).map("".join))
def test_yaml_reader_accepts_any_text_like_yaml(text: str) -> None:
    check_places_are_within(text.encode(errors="replace"))


KEYS = sorted(
    {key for model in (Pair, Grid, SourceRef, TokenIds) for key in model.model_fields}
    | {"namespace", "defaults", "pairs", "grid", "decodr", "<<"}
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.sampled_from(["a/b", "name", "./d", "a/b@c", "mit", "en", "x y", ""])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
PAIRS = st.fixed_dictionaries({}, optional=dict.fromkeys(Pair.model_fields, VALUES))
SOURCES = st.lists(st.sampled_from(["a/b", "b", "./d", "a/b@c", "x y"]) | VALUES, max_size=3)
GRIDS = st.fixed_dictionaries(
    {"encoders": SOURCES, "decoders": SOURCES},
    optional={
        "repo": st.text("{}encodr-/", max_size=10),
        "exclude": st.lists(PAIRS, max_size=2),
        "overrides": st.lists(PAIRS, max_size=2),
    },
)


@given(
    st.fixed_dictionaries(
        {"pairs": st.lists(PAIRS | VALUES, max_size=3)},
        optional={"defaults": VALUES, "namespace": VALUES, "grid": GRIDS | st.lists(GRIDS)},
    )
)
def test_loads_accepts_any_values(values: object) -> None:
    check_places_are_within(yaml.safe_dump(values, allow_unicode=True).encode())


def check_parsers_agree(text: bytes) -> None:
    with_libyaml = yaml_reader.read_document(text, "pairs.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        assert with_libyaml == yaml_reader.read_document(text, "pairs.yaml")


# What YAML is made of, and what the two parsers are known to read differently.
FRAGMENTS = (
    *("a", "1", "- ", "-", "a: ", ": ", ":", "? ", "?", "[", "]", "{", "}", ", ", "'", '"', "\\"),
    *("\n", "\n  ", "\n- ", "\r\n", "\u2028", "\x85", " ", "\t", "#", " #", "|", ">", "|2-\n  "),
    *("&a ", "*a", "<<: *a", "!", "!!str ", "!a:!", "a!", "a?", "%", "@", "---\n", "...\n"),
    *("\ufeff", "é", "😀"),
)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join))
def test_yaml_reader_parsers_agree_about_fragments(text: str) -> None:
    check_parsers_agree(text.encode())


@pytest.mark.parametrize(
    "text",
    ["a\t", "|#", "!a:!", "[a?b]", "[a: ]", "{a, b: ,}", "\n---\n\ufeff", "a: |1\n b\n#", "!"],
)
def test_yaml_reader_parsers_agree_about_what_libyaml_reads_differently(text: str) -> None:
    check_parsers_agree(text.encode())


def test_yaml_reader_reads_usual_manifest_with_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "SafeLoader")  # the parser in Python
    text = b'# c\npairs:\n- {repo: "o/r", encoder: e@main}\n- description: |\n    # Yes > no!\n'
    root = yaml_reader.read_document(text, "pairs.yaml").root
    assert root is not None
    assert root.find(["pairs", 1, "description"]).value == Scalar("# Yes > no!\n", "str")
