"""The grid of a manifest: which pairs it comes to, and what is said of its mistakes."""

from itertools import product
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.manifests import problems_of, schema_accepts
from ved.manifest.loading import ManifestError, load, loads
from ved.manifest.models import Pair, SourceRef, TokenIds
from ved.manifest.yaml_nodes import Location, Problem

DESIGN_EXAMPLE = """\
namespace: my-org
grid:                                  # every encoder with every decoder
  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]
  decoders: [openai-community/gpt2, google-bert/bert-base-uncased]
  repo: "{encoder}-{decoder}"
  exclude: [{encoder: facebook/dinov2-base, decoder: openai-community/gpt2}]
"""

# Its cells are o/vit-gpt2, o/vit-bert, o/beit-gpt2, o/beit-bert; what a test adds starts on line 5.
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


# What it comes to


def test_the_example_of_the_design_gives_every_cell_but_the_excluded_one() -> None:
    assert repos_of(DESIGN_EXAMPLE) == [
        "my-org/vit-base-patch16-224-in21k-gpt2",
        "my-org/vit-base-patch16-224-in21k-bert-base-uncased",
        "my-org/dinov2-base-bert-base-uncased",
    ]


def test_cells_come_encoder_by_encoder_with_their_sources_as_given() -> None:
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


def test_grids_come_after_the_pairs_in_the_order_of_the_file() -> None:
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
def test_a_template_makes_the_name(template: str, repo: str) -> None:
    text = "namespace: o\ngrid: {encoders: [a/vit@v1], decoders: [./b/gpt2/], repo: '%s'}"
    assert repos_of(text % template) == [repo]


def test_an_override_wins_over_the_grid_and_the_grid_over_the_defaults() -> None:
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


def test_later_overrides_win_key_by_key() -> None:
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


def test_every_key_of_a_pair_can_be_given_for_all_cells_and_for_some() -> None:
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


def test_an_override_may_name_the_repos_by_a_template_of_its_own() -> None:
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
def test_an_entry_excludes_the_cells_that_have_all_it_names(entry: str, left: list[str]) -> None:
    assert repos_of(f"{GRID}  exclude: [{entry}]") == [f"o/{name}" for name in left]


def test_a_revision_is_compared_where_the_entry_gives_one() -> None:
    text = "grid: {encoders: [a@v1, a@v2], decoders: [d], repo: o/r, exclude: [{encoder: a@v1}]}"
    (pair,) = pairs_of(text)
    assert pair.encoder.revision == "v2"


SOURCES = st.lists(st.sampled_from(["a/a", "b/b", "c/c", "./d", "a/e@v1"]), min_size=1, unique=True)


@settings(derandomize=True, deadline=None)
@given(SOURCES, SOURCES, st.sets(st.integers(1, 24)))
def test_a_grid_is_the_product_of_its_lists_without_what_is_excluded(
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


def test_a_cell_leads_to_what_its_author_wrote() -> None:
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


def test_a_cell_without_a_template_leads_to_its_grid() -> None:
    grids = "- {encoders: [a], decoders: [b]}\n- {encoders: [c], decoders: [d]}"
    places = [pair.where for pair in pairs_of(f"namespace: o\ngrid:\n{grids}")]
    assert places == [Location("pairs.yaml", 3, 3), Location("pairs.yaml", 4, 3)]


# Mistakes


KEYS_OF_A_GRID = (
    "private, license, language, tags, seed, dtype, weights, check, collection, token_ids,"
    " description, adopt, overwrite, encoders, decoders, repo, exclude, overrides"
)
REPO_RULE = (
    "is not a repo name: use up to 96 letters, digits, '_' and, between them, single '-' and '.',"
    " as in 'owner/name', without '.git' at the end"
)

PLACEHOLDER_RULE = "is not a placeholder: write {encoder} or {decoder}"
SOURCE_NAME = "a repo id, a local directory or a mapping with the keys model, revision"


def a_grid(written: str) -> str:
    """A grid of one cell; what is written further stands on the fourth line, from column 3."""
    return f"grid:\n  encoders: [a/vit]\n  decoders: [d]\n  {written}"


# what is written and what is said of it; a JSON Schema can tell these
SHAPE_MISTAKES = [
    ("grid: 3", f"1:7: expected a mapping with the keys {KEYS_OF_A_GRID}; found 3"),
    ("grid:", f"1:6: expected a mapping with the keys {KEYS_OF_A_GRID}; found nothing"),
    ("grid: []", "1:7: expected at least one, found an empty list"),
    ("grid: [a]", f"1:8: expected a mapping with the keys {KEYS_OF_A_GRID}; found 'a'"),
    ("grid: {decoders: [d]}", "1:7: missing key 'encoders'"),
    ("grid: {encoders: [], decoders: [d]}", "1:18: expected at least one, found an empty list"),
    ("grid: {encoders: e, decoders: [d]}", "1:18: expected a list, found 'e'"),
    (
        "grid: {encoders: [e], decoder: [d]}",
        "1:23: unknown key 'decoder'; did you mean 'decoders'?",
    ),
    (a_grid("foo: 1"), f"4:3: unknown key 'foo'; the keys here are {KEYS_OF_A_GRID}"),
    (a_grid("seed: x"), "4:9: expected a whole number, found 'x'"),
    (a_grid("repo: 'o/{encodr}'"), f"4:9: '{{encodr}}' {PLACEHOLDER_RULE}"),
    (a_grid("repo: 'o/{encoder'"), f"4:9: '{{' {PLACEHOLDER_RULE}"),
    (a_grid("repo: 'o/encoder}'"), f"4:9: '}}' {PLACEHOLDER_RULE}"),
    (a_grid("repo: 'o/{encoder!r}'"), f"4:9: '{{encoder!r}}' {PLACEHOLDER_RULE}"),
    (a_grid("repo: 'o/{}'"), f"4:9: '{{}}' {PLACEHOLDER_RULE}"),
    (a_grid("repo: 'o/a {encoder}'"), f"4:9: 'o/a {{encoder}}' {REPO_RULE}"),
    (a_grid(f"repo: {'x' * 97}"), f"4:9: '{'x' * 79}…' {REPO_RULE}"),
    (a_grid("exclude: [{}]"), "4:13: missing key 'encoder' or 'decoder'"),
    (a_grid("exclude: [{encodr: e}]"), "4:14: unknown key 'encodr'; did you mean 'encoder'?"),
    (
        a_grid("exclude: [{encoder: a/vit, seed: 1}]"),
        "4:30: unknown key 'seed'; the keys here are encoder, decoder",
    ),
    (a_grid("exclude: [{encoder: }]"), f"4:22: expected {SOURCE_NAME}; found nothing"),
    (a_grid("overrides: [{seed: 1}]"), "4:15: missing key 'encoder' or 'decoder'"),
    (a_grid("overrides: [{encoder: a/vit, repo: '{'}]"), f"4:38: '{{' {PLACEHOLDER_RULE}"),
]
# those that a JSON Schema cannot tell
MISTAKES = [
    (
        "grid: {encoders: [e], decoders: [d]}",
        "1:7: 'e-d', for 'e' with 'd', has no owner: begin 'repo' with owner/, or set 'namespace'",
    ),
    (
        a_grid("repo: 'o/{encoder}--{decoder}'"),
        f"4:9: 'o/vit--d', for 'a/vit' with 'd', {REPO_RULE}",
    ),
    (
        a_grid(f"repo: 'o/{'x' * 91}-{{encoder}}-{{decoder}}'"),
        f"4:9: 'o/{'x' * 77}…', for 'a/vit' with 'd', {REPO_RULE}",
    ),
    (
        "grid: {encoders: ['./x', '.', '..'], decoders: [d], repo: 'o/{encoder}-{decoder}'}",
        f"1:59: 'o/-d', for '.' with 'd', {REPO_RULE} (and 1 more like it)",
    ),
    (
        "grid: {encoders: ['./{decoder}'], decoders: [d]}",
        f"1:7: '{{decoder}}-d', for './{{decoder}}' with 'd', {REPO_RULE}",
    ),
    (
        a_grid("repo: o/r\n  exclude: [{encoder: a/vti}]"),
        "5:23: 'a/vti' is not among the grid's encoders; did you mean 'a/vit'?",
    ),
    (
        a_grid("repo: o/r\n  overrides: [{decoder: a/vit}]"),
        "5:25: 'a/vit' is not among the grid's decoders; write it as it stands there",
    ),
    (
        "grid: {encoders: [a/vit@v1], decoders: [d], repo: o/r, exclude: [{encoder: a/vit@v2}]}",
        "1:76: 'a/vit@v2' is not among the grid's encoders; did you mean 'a/vit@v1'?",
    ),
    (
        "grid: {encoders: [e, f], decoders: [d], repo: o/r, exclude: [{encoder: e}],"
        " overrides: [{encoder: e, seed: 1}]}",
        "1:89: overrides nothing: all cells that it selects are excluded",
    ),
    (
        a_grid("repo: o/r\n  exclude: [{encoder: a/vit}]"),
        "5:12: excludes every cell of the grid",
    ),
    (
        "grid: {encoders: [a/x, b/x], decoders: [d], repo: 'o/{encoder}'}",
        "1:51: 'o/x', for 'b/x' with 'd', is published twice, first for 'a/x' with 'd' on line 1",
    ),
    (
        "grid: {encoders: [e], decoders: [a/x, b/y, c/z], repo: 'o/{encoder}'}",
        "1:56: 'o/e', for 'e' with 'b/y', is published twice, first for 'e' with 'a/x' on line 1"
        " (and 1 more like it)",
    ),
    (
        "grid: {encoders: [e], decoders: [x, X], repo: 'o/{decoder}'}",
        "1:47: 'o/X', for 'e' with 'X', is published twice, first for 'e' with 'x' on line 1",
    ),
]


@pytest.mark.parametrize(("text", "problem"), [*SHAPE_MISTAKES, *MISTAKES])
def test_each_mistake_has_one_message_at_its_place(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_repos_are_published_once_by_pairs_and_all_grids() -> None:
    assert problems_of("""\
namespace: o
pairs:
  - {repo: O/VIT-gpt2, encoder: e, decoder: d}
grid:
  - encoders: [a/vit]
    decoders: [c/gpt2, c/bert]
  - encoders: [b/vit]
    decoders: [c/bert]
    repo: "{encoder}-{decoder}"
""") == [
        "5:5: 'o/vit-gpt2', for 'a/vit' with 'c/gpt2', is published twice, first on line 3",
        "9:11: 'o/vit-bert', for 'b/vit' with 'c/bert', is published twice,"
        " first for 'a/vit' with 'c/bert' on line 5",
    ]


def test_mistakes_elsewhere_hide_none_of_a_grid() -> None:
    assert problems_of("""\
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
""") == [
        "2:18: expected a whole number, found 'x'",
        "3:35: '3 4' is not a repo id or a local directory: write owner/name,"
        " or a path that starts with ./, ../ or /",
        "5:5: 'o/vit-gpt2', for 'a/vit' with 'c/gpt2', is published twice, first on line 3",
        "7:25: 'c/gpt3' is not among the grid's decoders; did you mean 'c/gpt2'?",
        f"10:5: unknown key 'foo'; the keys here are {KEYS_OF_A_GRID}",
    ]


def test_a_file_without_pairs_says_so_beside_its_other_mistakes() -> None:
    assert problems_of("namespace: a b") == [
        "1:1: missing key 'pairs' or 'grid'",
        "1:12: 'a b' is not a user or organization: use letters, digits, '-', '_' and '.'",
    ]


def test_loading_a_file_checks_the_local_directories_of_its_grid(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text("grid: {encoders: [./here], decoders: [./there], repo: o/r}")
    (tmp_path / "here").mkdir()
    with pytest.raises(ManifestError) as caught:
        load(path)
    message = "'./there' is not a directory: paths start from the manifest's own folder"
    assert caught.value.problems == (Problem(str(path), 1, 39, message),)
    (tmp_path / "there").mkdir()
    (pair,) = load(path).pairs
    assert pair.decoder.directory == tmp_path / "there"


# Hostile sizes


def listed(prefix: str, count: int) -> str:
    return "[" + ", ".join(f"{prefix}{number}" for number in range(count)) + "]"


def test_a_grid_of_a_million_cells_is_refused() -> None:
    text = f"grid: {{encoders: {listed('e', 1000)}, decoders: {listed('d', 1000)}, repo: o/r}}"
    assert problems_of(text) == [
        "1:7: with this grid there are 1000000 pairs; at most 10000 may be"
    ]


def test_ten_thousand_pairs_are_the_most_in_all() -> None:
    text = f"""\
pairs: [{{repo: o/r, encoder: e, decoder: d}}]
grid:
- {{encoders: {listed("e", 100)}, decoders: {listed("d", 99)}, repo: "o/{{encoder}}{{decoder}}"}}
- {{encoders: [e], decoders: %s, repo: "p/{{decoder}}"}}
"""
    assert len(pairs_of(text % listed("d", 99))) == 10_000
    problem = "4:3: with this grid there are 10001 pairs; at most 10000 may be"
    assert problems_of(text % listed("d", 100)) == [problem]


def test_ten_thousand_pairs_are_the_most_without_a_grid_too() -> None:
    text = "pairs: [&a {repo: o/r, encoder: e, decoder: d}" + ", *a" * 10_000 + "]"
    assert problems_of(text)[0] == "1:8: expected at most 10000, found 10001"


def test_only_the_first_of_many_wrong_names_get_a_suggestion() -> None:
    entries = ", ".join(f"{{encoder: name{number}}}" for number in range(100))
    text = f"grid: {{encoders: [name], decoders: [d], repo: o/r, exclude: [{entries}]}}"
    problems = problems_of(text)
    assert len(problems) == 100
    assert sum("did you mean 'name'?" in problem for problem in problems) == 10


def test_names_as_long_as_the_file_are_refused_in_few_words() -> None:
    long = "./" + "x" * 300_000
    text = f"grid: {{encoders: [{long}], decoders: [d], exclude: [{{encoder: {long}y}}]}}"
    name_problem, exclude_problem = problems_of(text)
    assert len(name_problem) < 500
    assert exclude_problem.endswith("is not among the grid's encoders; write it as it stands there")


# The JSON Schema


@pytest.mark.parametrize(
    "text",
    [
        DESIGN_EXAMPLE,
        f"{GRID}  overrides: [{{encoder: b/beit, repo: 'p/{{decoder}}', token_ids: {{eos: 2}}}}]",
        "grid: [{encoders: [./a], decoders: [b], repo: o/r, tags: [x], language: en}]",
    ],
)
def test_the_schema_accepts_what_loads(text: str) -> None:
    assert pairs_of(text)
    assert schema_accepts(text.encode())


@pytest.mark.parametrize(("text", "problem"), SHAPE_MISTAKES)
def test_the_schema_refuses_mistakes_of_shape(text: str, problem: str) -> None:
    assert not schema_accepts(text.encode()), problem
