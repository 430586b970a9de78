"""The grid of a manifest: its pairs, their places, and its limits."""

from itertools import product
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.manifests import places_of, problems_of
from ved.manifest import Location, Pair, SourceRef, TokenIds, loads

EXAMPLE = """\
namespace: my-org
grid:                                  # every encoder with every decoder
  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]
  decoders: [openai-community/gpt2, google-bert/bert-base-uncased]
  repo: "{encoder}-{decoder}"
  exclude: [{encoder: facebook/dinov2-base, decoder: openai-community/gpt2}]
"""

# Its cells are o/vit-gpt2, o/vit-bert, o/beit-gpt2 and o/beit-bert. Keys that a test adds start on
# line 5.
GRID = """\
namespace: o
grid:
  encoders: [a/vit, b/beit@v1]
  decoders: [c/gpt2, ./d/bert]
"""


def pairs_of(text: str) -> tuple[Pair, ...]:
    return loads(text.encode()).pairs


def repos_of(text: str) -> list[str]:
    return [pair.repo for pair in pairs_of(text)]


# Pairs


def test_grid_of_example_gives_all_cells_except_the_excluded() -> None:
    assert repos_of(EXAMPLE) == [
        "my-org/vit-base-patch16-224-in21k-gpt2",
        "my-org/vit-base-patch16-224-in21k-bert-base-uncased",
        "my-org/dinov2-base-bert-base-uncased",
    ]


def test_grid_gives_cells_encoder_by_encoder() -> None:
    text = """
grid:
  encoders: [a/vit@v1, {model: ./b/beit, config: c/c}]
  decoders: [d/gpt2, {model: e/bert, allow_pickle: true}]
  repo: o/{decoder}.{encoder}
"""
    manifest = loads(text.encode(), folder=Path("folder"))
    assert [(pair.repo, pair.encoder.model, pair.decoder.model) for pair in manifest.pairs] == [
        ("o/gpt2.vit", "a/vit", "d/gpt2"),
        ("o/bert.vit", "a/vit", "e/bert"),
        ("o/gpt2.beit", "./b/beit", "d/gpt2"),
        ("o/bert.beit", "./b/beit", "e/bert"),
    ]
    last = manifest.pairs[3]
    assert last.encoder.config is not None
    assert last.encoder.directory == Path("folder/b/beit")
    assert last.decoder == SourceRef(model="e/bert", allow_pickle=True)


def test_grids_come_after_pairs_in_order() -> None:
    assert repos_of("""
grid:
  - {encoders: [a/vit], decoders: [c/gpt2, c/bert], repo: "one-{decoder}"}
  - {encoders: [a/vit], decoders: [c/gpt2], repo: p/two}
pairs: [{repo: three, encoder: e, decoder: d}]
namespace: o
""") == ["o/three", "o/one-gpt2", "o/one-bert", "p/two"]


@pytest.mark.parametrize(
    ("template", "repo"),
    [
        ("{encoder}-{decoder}", "o/vit-gpt2"),
        ("p/{decoder}_{encoder}", "p/gpt2_vit"),
        ("{encoder}-{encoder}", "o/vit-vit"),
        ("fixed", "o/fixed"),
    ],
)
def test_grid_template_gives_repo_names(template: str, repo: str) -> None:
    text = "namespace: o\ngrid: {encoders: [a/vit@v1], decoders: [./b/gpt2/], repo: '%s'}"
    assert repos_of(text % template) == [repo]


def test_grid_override_wins_over_grid_and_grid_over_defaults() -> None:
    first, second, *others = pairs_of(f"""\
defaults: {{seed: 1, license: mit, tags: [default], private: true}}
{GRID}
  seed: 2
  license: other
  token_ids: {{pad: 3}}
  overrides: [{{encoder: a/vit, decoder: c/gpt2, seed: 0, token_ids: {{eos: 4}}}}]
""")
    for pair in (first, second, *others):
        assert (pair.license, pair.tags, pair.private) == ("other", ("default",), True)
    assert (first.seed, first.token_ids) == (0, TokenIds(eos=4))
    for pair in (second, *others):
        assert (pair.seed, pair.token_ids) == (2, TokenIds(pad=3))


def test_grid_later_overrides_win_key_by_key() -> None:
    pairs = pairs_of(f"""{GRID}
  overrides:
    - {{encoder: a/vit, decoder: c/gpt2, seed: 1, dtype: float32}}
    - {{decoder: c/gpt2, seed: 2, license: mit}}
    - {{encoder: a/vit, license: other}}
    - {{encoder: a/vit, seed: 3}}
    - {{decoder: c/gpt2, seed: 4}}
""")
    assert [(pair.repo, pair.seed, pair.license, pair.dtype) for pair in pairs] == [
        ("o/vit-gpt2", 4, "other", "float32"),
        ("o/vit-bert", 3, "other", "source"),
        ("o/beit-gpt2", 4, "mit", "source"),
        ("o/beit-bert", 0, None, "source"),
    ]


def test_grid_and_overrides_take_every_key_of_a_pair() -> None:
    keys: dict[str, object] = {
        "private": True,
        "license": "mit",
        "language": ["en"],
        "tags": ["t"],
        "seed": 5,
        "dtype": "float16",
        "weights": ["flax"],
        "check": "none",
        "collection": "me/Warm starts",
        "token_ids": {"eos": 1},
        "description": "text",
        "adopt": True,
        "overwrite": True,
    }
    assert keys.keys() == Pair.model_fields.keys() - {"repo", "encoder", "decoder"}
    grid = {"encoders": ["a/vit", "b/beit"], "decoders": ["d"], "repo": "o/{encoder}"}
    for_all = pairs_of(yaml.safe_dump({"grid": grid | keys}))
    for_some = pairs_of(
        yaml.safe_dump({"grid": grid | {"overrides": [keys | {"encoder": "a/vit"}]}})
    )
    for pair in (*for_all, for_some[0]):
        given = pair.model_dump(mode="json", exclude={"repo", "encoder", "decoder"})
        assert given == keys | {"token_ids": {"decoder_start": None, "pad": None, "eos": 1}}
    (_, untouched) = pairs_of(yaml.safe_dump({"grid": grid}))
    assert for_some[1].model_dump() == untouched.model_dump()


def test_grid_override_has_a_template_of_its_own() -> None:
    assert repos_of("""
namespace: o
grid:
  encoders: [a/vit@v1, a/vit@v2]
  decoders: [c/gpt2, c/bert]
  overrides:
    - {encoder: a/vit@v2, repo: "p/vit2-{decoder}"}
    - {encoder: a/vit@v1, decoder: c/bert, repo: special}
""") == ["o/vit-gpt2", "o/special", "p/vit2-gpt2", "p/vit2-bert"]


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ("{encoder: a/vit, decoder: c/gpt2}", ["vit-bert", "beit-gpt2", "beit-bert"]),
        ("{encoder: a/vit}", ["beit-gpt2", "beit-bert"]),
        ("{decoder: ./d/bert}", ["vit-gpt2", "beit-gpt2"]),
        ("{encoder: b/beit}", ["vit-gpt2", "vit-bert"]),
        ("{encoder: b/beit@v1}", ["vit-gpt2", "vit-bert"]),
        ("{encoder: {model: b/beit, revision: v1}}", ["vit-gpt2", "vit-bert"]),
        ("{encoder: a/vit}, {decoder: c/gpt2}", ["beit-bert"]),
    ],
)
def test_grid_exclude_selects_cells_that_match_all_names(entry: str, left: list[str]) -> None:
    assert repos_of(f"{GRID}  exclude: [{entry}]") == [f"o/{name}" for name in left]


def test_grid_exclude_compares_revision_if_given() -> None:
    text = "grid: {encoders: [a@v1, a@v2], decoders: [d], repo: o/r, exclude: [{encoder: a@v1}]}"
    (pair,) = pairs_of(text)
    assert pair.encoder.revision == "v2"


SOURCES = st.lists(st.sampled_from(["a/a", "b/b", "c/c", "./d", "a/e@v1"]), min_size=1, unique=True)


@given(SOURCES, SOURCES, st.sets(st.integers(1, 24)))
def test_grid_is_the_product_of_its_lists_without_excluded_cells(
    encoders: list[str], decoders: list[str], excluded: set[int]
) -> None:
    cells = [
        {"encoder": encoder, "decoder": decoder} for encoder, decoder in product(encoders, decoders)
    ]
    exclude = [cell for number, cell in enumerate(cells) if number in excluded]
    grid = {"encoders": encoders, "decoders": decoders, "exclude": exclude}
    pairs = pairs_of(yaml.safe_dump({"namespace": "o", "grid": grid}))
    left = [cell for number, cell in enumerate(cells) if number not in excluded]
    assert [(pair.encoder, pair.decoder) for pair in pairs] == [
        (SourceRef.model_validate(cell["encoder"]), SourceRef.model_validate(cell["decoder"]))
        for cell in left
    ]


# Places


def test_grid_pair_has_the_places_of_its_values() -> None:
    first, *_, last = pairs_of(
        dedent("""\
        namespace: o
        defaults: {license: mit}
        grid:
          encoders:
            - a/vit
            - b/beit
          decoders: [c/gpt2]
          repo: "{encoder}-{decoder}"
          seed: 1
          overrides:
            - {encoder: b/beit, seed: 2, repo: other}
        """)
    )
    assert first.where == first.location("repo") == Location("pairs.yaml", 8, 9)
    assert first.location("encoder") == Location("pairs.yaml", 5, 7)
    assert first.location("decoder") == Location("pairs.yaml", 7, 14)
    assert first.location("seed") == Location("pairs.yaml", 9, 9)
    assert first.location("license") == Location("pairs.yaml", 2, 21)
    assert first.location("tags") == first.where
    assert last.where == last.location("repo") == Location("pairs.yaml", 11, 40)
    assert last.location("encoder") == Location("pairs.yaml", 6, 7)
    assert last.location("seed") == Location("pairs.yaml", 11, 31)


def test_grid_pair_without_template_has_the_place_of_its_grid() -> None:
    grids = "- {encoders: [a], decoders: [b]}\n- {encoders: [c], decoders: [d]}"
    places = [pair.where for pair in pairs_of(f"namespace: o\ngrid:\n{grids}")]
    assert places == [Location("pairs.yaml", 3, 3), Location("pairs.yaml", 4, 3)]


# Mistakes elsewhere in the file


def test_grid_reports_its_mistakes_beside_those_of_others() -> None:
    text = """\
namespace: o
defaults: {seed: x}
pairs: [{repo: vit-gpt2, encoder: 3 4, decoder: d}]
grid:
  - encoders: [a/vit]
    decoders: [c/gpt2]
    exclude: [{decoder: c/gpt3}]
  - encoders: [a/vit]
    decoders: [c/gpt2]
    foo: 1
"""
    assert places_of(text) == [
        "2:18 wrong-type",
        "3:35 value-not-allowed",
        "5:5 duplicate-repo",
        "7:25 unknown-grid-source",
        "10:5 unknown-key",
    ]


# Limits


def listed(prefix: str, count: int) -> str:
    return "[" + ", ".join(f"{prefix}{number}" for number in range(count)) + "]"


def test_grid_of_a_million_cells_is_refused() -> None:
    text = f"grid: {{encoders: {listed('e', 1000)}, decoders: {listed('d', 1000)}, repo: o/r}}"
    (problem,) = problems_of(text)
    assert (problem.line, problem.column, problem.code) == (1, 7, "too-many-pairs")
    assert "1000000 pairs" in problem.message


def test_grid_and_pairs_are_limited_together() -> None:
    text = f"""\
pairs: [{{repo: o/r, encoder: e, decoder: d}}]
grid:
- {{encoders: {listed("e", 100)}, decoders: {listed("d", 99)}, repo: "o/{{encoder}}{{decoder}}"}}
- {{encoders: [e], decoders: %s, repo: "p/{{decoder}}"}}
"""
    assert len(pairs_of(text % listed("d", 99))) == 10_000
    assert places_of(text % listed("d", 100)) == ["4:3 too-many-pairs"]


def test_pairs_are_limited_without_a_grid() -> None:
    text = "pairs: [&a {repo: o/r, encoder: e, decoder: d}" + ", *a" * 10_000 + "]"
    first = problems_of(text)[0]
    assert (first.line, first.column, first.code) == (1, 8, "too-many-pairs")
    assert "10001" in first.message


def test_grid_suggests_names_for_the_first_wrong_names_only() -> None:
    entries = ", ".join(f"{{encoder: name{number}}}" for number in range(100))
    text = f"grid: {{encoders: [name], decoders: [d], repo: o/r, exclude: [{entries}]}}"
    problems = problems_of(text)
    assert len(problems) == 100
    assert {problem.code for problem in problems} == {"unknown-grid-source"}
    assert sum("'name'" in problem.message for problem in problems) == 10


def test_grid_truncates_long_names_in_messages() -> None:
    long = "./" + "x" * 300_000
    text = f"grid: {{encoders: [{long}], decoders: [d], exclude: [{{encoder: {long}y}}]}}"
    name, exclude = problems_of(text)
    assert (name.code, exclude.code) == ("value-not-allowed", "unknown-grid-source")
    assert max(len(name.message), len(exclude.message)) < 500
