"""The manifest: what it accepts, and what it says of what it does not."""

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
import yaml
from dulwich.refs import Ref, check_ref_format
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.manifests import problems_of, schema_accepts
from ved.errors import RequestError
from ved.manifest.loading import ManifestError, load, loads
from ved.manifest.models import ConfigRef, Defaults, Grid, Pair, SourceRef, TokenIds
from ved.manifest.schema import json_schema
from ved.manifest.yaml_nodes import Location, Problem

SCHEMA = Path(__file__).parents[2] / "schema" / "pairs.schema.json"

# The same examples on every run, however slow the machine.
STEADY = settings(derandomize=True, deadline=None)

DESIGN_EXAMPLE = b"""\
# yaml-language-server: $schema=...
namespace: my-org                      # owner of repos named without one
defaults: {private: false, license: apache-2.0}
pairs:
  - repo: vit-gpt2                     # my-org/vit-gpt2
    encoder: google/vit-base-patch16-224-in21k
    decoder: openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e
  - repo: other-org/beit-roberta
    encoder: {model: microsoft/beit-base-patch16-224-pt22k-ft22k, revision: main, config: my-org/beit-config}
    decoder: ./checkpoints/roberta     # a local directory
    token_ids: {decoder_start: 0, pad: 1, eos: 2}
    seed: 0
    tags: [captioning]
"""  # noqa: E501


def a_pair(**keys: str) -> bytes:
    """A manifest of one pair; the keys given, their values in YAML, start on its second line."""
    written = keys | {"repo": "o/r", "encoder": "e/e", "decoder": "d/d"} | keys
    lines = [f"  {key}: {value}" for key, value in written.items()]
    return "\n".join(["pairs:", *lines]).replace("  ", "- ", 1).encode()


def the_pair(**keys: str) -> Pair:
    return loads(a_pair(**keys)).pairs[0]


# What is accepted


def test_the_example_of_the_design_loads() -> None:
    manifest = loads(DESIGN_EXAMPLE, folder=Path("project"))
    first, second = manifest.pairs
    assert manifest.name == "pairs.yaml"
    assert first.repo == "my-org/vit-gpt2"
    assert first.encoder == SourceRef(model="google/vit-base-patch16-224-in21k")
    assert first.encoder.directory is None
    assert first.decoder.model == "openai-community/gpt2"
    assert first.decoder.revision == "607a30d783dfa663caf39e06633721c8d4cfcd7e"
    assert (first.private, first.license) == (False, "apache-2.0")
    assert second.repo == "other-org/beit-roberta"
    assert second.encoder.revision == "main"
    assert second.encoder.config == ConfigRef(model="my-org/beit-config")
    assert second.decoder.directory == Path("project/checkpoints/roberta")
    assert second.token_ids == TokenIds(decoder_start=0, pad=1, eos=2)
    assert second.tags == ("captioning",)


def test_what_is_left_out_has_a_value_all_the_same() -> None:
    pair = the_pair()
    assert (pair.private, pair.license, pair.language, pair.tags) == (None, None, (), ())
    assert (pair.token_ids, pair.seed, pair.description) == (TokenIds(), 0, "")
    assert (pair.adopt, pair.overwrite) == (False, False)
    assert (pair.encoder.revision, pair.encoder.config, pair.encoder.allow_pickle) == (
        None,
        None,
        False,
    )


def test_a_pair_has_the_defaults_that_it_does_not_override() -> None:
    manifest = loads(b"""
namespace: o
defaults: {private: true, license: mit, language: en, tags: [a, b], seed: 7}
pairs:
  - {repo: x, encoder: e, decoder: d}
  - {repo: y, encoder: e, decoder: d, private: false, license: other, language: [], tags: [c], seed: 0}
""")  # noqa: E501
    x, y = manifest.pairs
    assert (x.private, x.license, x.language, x.tags, x.seed) == (
        True,
        "mit",
        ("en",),
        ("a", "b"),
        7,
    )
    assert (y.private, y.license, y.language, y.tags, y.seed) == (False, "other", (), ("c",), 0)


def test_a_pair_knows_its_place_and_that_of_its_keys() -> None:
    text = dedent("""\
        defaults:
          license: mit
          seed: 1
        pairs:
          - repo: o/r
            encoder: e/e
            decoder:
              model: d/d
            seed: 2
        """)
    (pair,) = loads(text.encode(), name="a/b.yaml").pairs
    assert pair.where == Location("a/b.yaml", 5, 5)
    assert pair.location("encoder") == Location("a/b.yaml", 6, 14)
    assert pair.location("decoder") == Location("a/b.yaml", 8, 7)
    assert pair.location("seed") == Location("a/b.yaml", 9, 11)
    assert pair.location("license") == Location("a/b.yaml", 2, 12)
    assert pair.location("tags") == pair.where
    assert str(pair.where) == "a/b.yaml:5:5"


@pytest.mark.parametrize(
    "commit", ["1e3", "0123456", "607e10", "0x1f", "2024-01-01", "1_000", "12"]
)
def test_a_revision_is_what_was_written_even_if_it_looks_like_a_number(commit: str) -> None:
    assert the_pair(decoder=f"{{model: d/d, revision: {commit}}}").decoder.revision == commit
    assert the_pair(decoder=f"d/d@{commit}").decoder.revision == commit


def test_other_text_is_what_was_written_too() -> None:
    pair = the_pair(
        tags="[1e3, 2024-01-01, true, off]", description="012", language="no", decoder="123"
    )
    assert pair.tags == ("1e3", "2024-01-01", "true", "off")
    assert pair.description == "012"
    assert pair.language == ("no",)
    assert pair.decoder.model == "123"


@pytest.mark.parametrize(("written", "flag"), [("true", True), ("False", False), ("TRUE", True)])
def test_booleans_are_those_of_yaml_1_2(written: str, flag: bool) -> None:
    assert the_pair(private=written).private is flag


@pytest.mark.parametrize(
    ("written", "seed"),
    [("0", 0), ("4294967295", 2**32 - 1), ("0x10", 16), ("0o17", 15), ("017", 17), ("!!int 5", 5)],
)
def test_whole_numbers_are_those_of_yaml_1_2(written: str, seed: int) -> None:
    assert the_pair(seed=written).seed == seed


@pytest.mark.parametrize(
    ("model", "directory"),
    [
        (".", "folder"),
        ("..", "folder/.."),
        ("./a@b c", "folder/a@b c"),
        ("../a", "folder/../a"),
        ("/a", "/a"),
    ],
)
def test_local_directories_are_relative_to_the_folder(model: str, directory: str) -> None:
    for reference in (model, f"{{model: {model}}}"):
        manifest = loads(a_pair(decoder=reference), folder=Path("folder"))
        assert manifest.pairs[0].decoder.directory == Path(directory)


def test_a_config_may_have_a_revision_or_be_local() -> None:
    encoder = the_pair(encoder="{model: e, config: c/c@v1.0, allow_pickle: true}").encoder
    assert encoder.config == ConfigRef(model="c/c", revision="v1.0")
    assert encoder.allow_pickle
    encoder = the_pair(encoder="{model: e, config: ./c}").encoder
    assert encoder.config is not None
    assert encoder.config.directory == Path("c")


def test_anchors_aliases_and_merge_keys_work() -> None:
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
        b"\xef\xbb\xbf" + a_pair(),
        a_pair().replace(b"\n", b"\r\n"),
        b"%YAML 1.1\n---\n" + a_pair() + b"\n...\n",
    ],
    ids=["byte order mark", "CRLF", "directive and document markers"],
)
def test_files_of_every_editor_load(data: bytes) -> None:
    (pair,) = loads(data).pairs
    assert pair.model_dump() == the_pair().model_dump()


# What is wrong with a file as a whole


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            b"",
            "1:1: expected a mapping with the keys namespace, defaults, pairs, grid; found nothing",
        ),
        (
            b"# a\n",
            "1:1: expected a mapping with the keys namespace, defaults, pairs, grid; found nothing",
        ),
        (
            b"- a",
            "1:1: expected a mapping with the keys namespace, defaults, pairs, grid; found a list",
        ),
        (
            b"\n a",
            "2:2: expected a mapping with the keys namespace, defaults, pairs, grid; found 'a'",
        ),
        (b"{}", "1:1: missing key 'pairs' or 'grid'"),
        (b"pairs: []", "1:8: expected at least one, found an empty list"),
        (b"pairs: {a: b}", "1:8: expected a list, found a mapping"),
        (b"pairs:", "1:7: expected a list, found nothing"),
        (b"pair: []", "1:1: unknown key 'pair'; did you mean 'pairs'?"),
        (b"a: [\n\n", "1:5: not valid YAML: expected the node content, but found '<stream end>'"),
        (b"a: b\n\tc: d", "2:1: not valid YAML: found character '\\t' that cannot start any token"),
        (b"a: b: c", "1:5: not valid YAML: mapping values are not allowed here"),
        (b"a: 1\n---\nb: 2", "2:1: a second document starts here: keep one document in the file"),
        (b"a: b\nc\x00d: e", "2:2: character U+0000 is not allowed in YAML"),
        (b"\xef\xbb\xbf\n# \xc3\xa9\xff", "2:4: byte 8 of the file is not UTF-8"),
        ("a: b".encode("utf-16"), "1:1: byte 0 of the file is not UTF-8"),
        (b'a: "\\e[31m"', "1:4: an escape stands for a character that is not allowed here"),
        (b'a: "\\uD800"', "1:4: an escape stands for a character that is not allowed here"),
        (b'a: "\\UFFFFFFFF"', "1:1: a number or an escape after this is out of range"),
        (b"%YAML 1." + b"9" * 5000, "1:1: a number or an escape after this is out of range"),
        (b"a: *b", "1:4: no anchor before alias '*b'"),
        (b"a: &b [*b]", "1:8: no anchor before alias '*b'"),
        (b"a: !!python/object/apply:os.system [ls]", "1:4: tag '!!python/object/apply:os.system'"),
        (b"a: !x y", "1:4: tag '!x' cannot be read here: leave it out"),
        (b"a: !!int y", "1:4: tag '!!int' cannot be read here: leave it out"),
        (b"a: !!map y", "1:4: tag '!!map' cannot be read here: leave it out"),
        (b"a: !!seq {}", "1:4: tag '!!seq' cannot be read here: leave it out"),
        (b"a: !!map []", "1:4: tag '!!map' cannot be read here: leave it out"),
        (b"[" * 100_000, "1:34: more than 32 levels of nesting"),
        (b"? " * 100_000, "1:67: more than 32 levels of nesting"),
        (b"#" * (2**20 + 1), "1:1: the file is larger than 1048576 bytes"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value.partition(": ")[2][:40],
)
def test_a_file_that_is_no_manifest_at_all_has_one_problem(data: bytes, problem: str) -> None:
    (found,) = problems_of(data)
    assert found.startswith(problem)


def test_an_alias_bomb_ends_as_a_message() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (problem,) = problems_of("\n".join(lines))
    assert re.fullmatch(r"\d+:\d+: more than 100000 values, with aliases expanded", problem)


def test_a_missing_file_and_a_directory_are_problems_at_their_start(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "no.yaml", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(ManifestError) as caught:
            load(path)
        (problem,) = caught.value.problems
        assert (problem.file, problem.line, problem.column) == (str(path), 1, 1)
        assert problem.message.startswith(f"the file cannot be read: {reason}")


# What is wrong inside


SOURCE = (
    "a repo id, a local directory or a mapping with the keys model, revision, config, allow_pickle"
)
PAIR_KEYS = ", ".join(Pair.model_fields)
REPO_RULE = (
    "is not a repo name: use up to 96 letters, digits, '_' and, between them, single '-' and '.',"
    " as in 'owner/name', without '.git' at the end"
)
MODEL_RULE = (
    "is not a repo id or a local directory: write owner/name,"
    " or a path that starts with ./, ../ or /"
)
REVISION_RULE = "is not a git revision: use a branch, a tag or a commit hash"
LICENSE_RULE = "is not a license id: use the Hub's, such as 'apache-2.0', 'mit' or 'other'"
LANGUAGE_RULE = "is not a language code: use ISO 639's, such as 'en' or 'no'"
TAG_RULE = "is not a tag: use words with single spaces between them, at most 100 characters"


# key, its value as written, column and message
SHAPE_MISTAKES = [
    ("repo", "vit gpt2", f"9: 'vit gpt2' {REPO_RULE}"),
    ("repo", "a/b/c", f"9: 'a/b/c' {REPO_RULE}"),
    ("repo", r'"a\nb"', rf"9: 'a\nb' {REPO_RULE}"),
    ("repo", "", "8: expected text, found nothing"),
    ("repo", "[a]", "9: expected text, found a list"),
    ("encoder", "null", f"12: expected {SOURCE}; found nothing"),
    ("encoder", "[a, b]", f"12: expected {SOURCE}; found a list"),
    ("encoder", "a b", f"12: 'a b' {MODEL_RULE}"),
    ("encoder", "a--b/c", f"12: 'a--b/c' {MODEL_RULE}"),
    ("encoder", "a/b@", f"12: '' {REVISION_RULE}"),
    ("encoder", "a/b@-x", f"12: '-x' {REVISION_RULE}"),
    ("encoder", "{model: a/b, revision: x..y}", f"35: 'x..y' {REVISION_RULE}"),
    ("encoder", "{model: a/b@c}", f"20: 'a/b@c' {MODEL_RULE}"),
    ("encoder", "{revision: main}", "12: missing key 'model'"),
    ("encoder", "{modell: a}", "13: unknown key 'modell'; did you mean 'model'?"),
    ("encoder", "{model: a, allow_pickle: 1}", "37: expected true or false, found 1"),
    ("encoder", "{model: a, config: b@ }", f"31: '' {REVISION_RULE}"),
    (
        "encoder",
        "{model: a, config: {model: b, config: c}}",
        "42: unknown key 'config'; the keys here are model, revision",
    ),
    ("token_ids", "{eos: two}", "20: expected a whole number, found 'two'"),
    ("token_ids", "{eos: -1}", "20: expected a whole number of at least 0, found -1"),
    ("token_ids", "{eos: 1.5}", "20: expected a whole number, found '1.5'"),
    ("token_ids", '{eos: "1"}', "20: expected a whole number, found '1'"),
    ("token_ids", "{eos: true}", "20: expected a whole number, found true"),
    ("token_ids", "{eos: }", "19: expected a whole number, found nothing"),
    ("token_ids", "{bos: 1}", "15: unknown key 'bos'; did you mean 'eos'?"),
    (
        "token_ids",
        "3",
        "14: expected a mapping with the keys decoder_start, pad, eos; found 3",
    ),
    (
        "seed",
        "4294967296",
        "9: expected a whole number below 4294967296, found 4294967296",
    ),
    ("seed", "-1", "9: expected a whole number of at least 0, found -1"),
    ("private", "yes", "12: expected true or false, found 'yes'"),
    ("private", "~", "12: expected true or false, found nothing"),
    ("adopt", "{}", "10: expected true or false, found a mapping"),
    ("overwrite", "1", "14: expected true or false, found 1"),
    ("weights", "pickle", "12: expected 'flax' or 'safetensors', found 'pickle'"),
    ("weights", "[]", "12: expected at least one, found an empty list"),
    ("tags", "a", "9: expected a list, found 'a'"),
    ("tags", "[a, [b]]", "13: expected text, found a list"),
    ("tags", "[' a']", f"10: ' a' {TAG_RULE}"),
    ("tags", r'["a\u2028b"]', rf"10: 'a\u2028b' {TAG_RULE}"),
    ("license", "Apache 2.0", f"12: 'Apache 2.0' {LICENSE_RULE}"),
    ("license", "", "11: expected text, found nothing"),
    ("language", "English", f"13: 'English' {LANGUAGE_RULE}"),
    ("language", "[en, false]", f"18: 'false' {LANGUAGE_RULE}"),
    ("language", "{en: fr}", "13: expected a list, found a mapping"),
    ("description", "[a]", "16: expected text, found a list"),
    ("decodr", "x", "3: unknown key 'decodr'; did you mean 'decoder'?"),
    (r'"a\nb"', "x", rf"3: unknown key 'a\nb'; the keys here are {PAIR_KEYS}"),
]
# those that a JSON Schema cannot tell
MISTAKES = [
    ("repo", "bare", "9: 'bare' has no owner: write owner/bare, or set 'namespace'"),
    (
        "encoder",
        "{model: ./a, revision: main}",
        "35: 'main' is out of place: a local directory has no revision",
    ),
    ("? {a: b}\n  ", "x", "5: expected a key, found a mapping"),
    ("<<", "x", "7: '<<' takes a mapping or a list of them, found 'x'"),
    ("<<", "[{seed: 1}, 3]", "19: '<<' takes a mapping or a list of them, found 3"),
]


@pytest.mark.parametrize(("key", "written", "problem"), [*SHAPE_MISTAKES, *MISTAKES])
def test_each_mistake_has_one_message_at_its_column(key: str, written: str, problem: str) -> None:
    (found,) = problems_of(a_pair(**{key: written}))
    assert found == f"2:{problem}"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "pairs:\n- {repo: o/r, encoder: e, decodr: d}",
            ["2:27: unknown key 'decodr'; did you mean 'decoder'?"],
        ),
        (
            "pairs:\n- {repo: o/r}",
            ["2:3: missing key 'decoder'", "2:3: missing key 'encoder'"],
        ),
        (
            "pairs:\n- {repo: o/r, encoder: e, decoder: d, repo: o/s}",
            ["2:39: key 'repo' is given twice, first on line 2"],
        ),
        (
            "pairs:\n- {repo: o/r, encoder: e, decoder: d}\n"
            "- {repo: O/R, encoder: e, decoder: 3 4}",
            ["3:10: 'O/R' is published twice, first on line 2", f"3:36: '3 4' {MODEL_RULE}"],
        ),
        (
            "namespace: o\n"
            "pairs: [&a {repo: r, encoder: e, decoder: d}, {<<: *a, repo: o/r}, {<<: *a, repo: s}]",
            ["2:62: 'o/r' is published twice, first on line 2"],
        ),
        (
            "pairs: [&a {repo: o/r, encoder: e, decoder: d}, *a]",
            ["1:19: 'o/r' is published twice, first on line 1"],
        ),
        (
            "pairs: [&a {repo: o/r, encoder: e, decoder: d, sed: 1}, {<<: *a, repo: o/s}]",
            ["1:48: unknown key 'sed'; did you mean 'seed'?"],
        ),
        (
            "namespace: a/b\npairs: [{repo: r, encoder: e, decoder: d}]",
            ["1:12: 'a/b' is not a user or organization: use letters, digits, '-', '_' and '.'"],
        ),
        (
            "defaults: {licence: mit, private: no, repo: x}\n"
            "pairs: [{repo: o/r, encoder: e, decoder: d}]",
            [
                "1:12: unknown key 'licence'; did you mean 'license'?",
                "1:35: expected true or false, found 'no'",
                f"1:39: unknown key 'repo'; the keys here are {', '.join(Defaults.model_fields)}",
            ],
        ),
    ],
    ids=[
        "misspelt",
        "missing",
        "key twice",
        "repo twice, in another case",
        "repo twice, by merging",
        "pair twice",
        "mistake under an alias",
        "namespace",
        "defaults",
    ],
)
def test_mistakes_are_found_across_keys_and_pairs(text: str, problems: list[str]) -> None:
    assert problems_of(text) == problems


def test_a_file_with_ten_mistakes_reports_all_ten_in_order() -> None:
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
    assert problems_of(text) == [
        "1:12: 'my org' is not a user or organization: use letters, digits, '-', '_' and '.'",
        "3:12: expected true or false, found 'yes'",
        f"5:11: 'vit gpt2' {REPO_RULE}",
        "6:5: unknown key 'encodr'; did you mean 'encoder'?",
        f"7:14: '' {REVISION_RULE}",
        "8:11: expected a whole number, found 'two'",
        "10:48: expected true or false, found 'maybe'",
        "13:5: key 'seed' is given twice, first on line 12",
        "14:11: 'My/Model' is published twice, first on line 9",
        "17:1: unknown key 'gird'; did you mean 'grid'?",
    ]


def test_a_long_value_is_shortened_in_its_message() -> None:
    (problem,) = problems_of(a_pair(repo="x" * 5000))
    assert problem == f"2:9: '{'x' * 79}…' {REPO_RULE}"
    (problem,) = problems_of(a_pair(seed="9" * 4000))
    assert problem == f"2:9: expected a whole number below 4294967296, found '{'9' * 79}…'"
    # More digits than Python reads.
    (problem,) = problems_of(a_pair(seed="9" * 5000))
    assert problem == f"2:9: expected a whole number, found '{'9' * 79}…'"


def test_lines_and_columns_are_those_of_an_editor() -> None:
    # U+2028 ends no line, whatever YAML 1.1 thought; an emoji is one character.
    text = "# \u2028 \u0085\r\npairs:\r\n- {tags: [🤗], sed: 1, repo: o/r, encoder: e, decoder: d}"
    assert problems_of(text) == ["3:15: unknown key 'sed'; did you mean 'seed'?"]


def test_a_manifest_error_is_a_wrong_request_that_says_all_its_problems() -> None:
    with pytest.raises(RequestError) as caught:
        loads(b"pairs: []\nmore: 1", name="x/pairs.yaml")
    assert str(caught.value) == (
        "x/pairs.yaml:1:8: expected at least one, found an empty list\n"
        "x/pairs.yaml:2:1: unknown key 'more'; the keys here are namespace, defaults, pairs, grid"
    )


def test_loading_a_file_checks_its_local_directories(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_bytes(
        a_pair(
            encoder="./here", decoder=f"{{model: ../{tmp_path.name}/gone, config: ./{'n' * 500}}}"
        )
    )
    (tmp_path / "here").mkdir()
    with pytest.raises(ManifestError) as caught:
        load(path)
    rule = "is not a directory: paths start from the manifest's own folder"
    gone = f"../{tmp_path.name}/gone"
    assert caught.value.problems == (
        Problem(str(path), 3, 20, f"'{gone}' {rule}"),
        Problem(str(path), 3, 30 + len(gone), f"'./{'n' * 77}…' {rule}"),
    )
    path.write_bytes(a_pair(encoder="./here"))
    manifest = load(path)
    assert manifest.name == str(path)
    assert manifest.pairs[0].encoder.directory == tmp_path / "here"


# The rules for ids


def accepts(**keys: object) -> bool:
    try:
        loads(a_pair(**{key: json.dumps(value) for key, value in keys.items()}))
    except ManifestError:
        return False
    return True


@STEADY
@given(st.text("aZ0_-./g it", max_size=12) | st.from_regex(r"[\w.-]{95,98}", fullmatch=True))
@example("a.git")
@example("o/" + "n" * 96)
@example("a\n")
def test_repo_ids_are_those_of_the_hub_client(text: str) -> None:
    try:
        validate_repo_id(text)
        # The client's own rule lets letters of all scripts and one line break at the end pass.
        right = text.isascii() and not text.endswith("\n")
    except HFValidationError:
        right = False
    repo = text if "/" in text else f"o/{text}"
    if "/" in text:
        assert accepts(repo=repo) == right
    if not text.startswith(("./", "../", "/")) and text not in (".", ".."):
        assert accepts(encoder={"model": text}) == right


@STEADY
@given(st.text("aZ0_-./+@{~^:?*[\\ \x7f\n", min_size=1, max_size=8) | st.text(max_size=8))
@example("a.lock")
@example("a.lock/b")
@example("a/.b")
@example("a//b")
def test_every_accepted_revision_is_a_name_that_git_accepts(text: str) -> None:
    if accepts(decoder=f"d/d@{text}"):
        assert check_ref_format(Ref(f"refs/heads/{text}".encode()))
        assert not text.startswith("-")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/12", "fp16", "a" * 40, "x_y-z+1"])
def test_usual_revisions_are_accepted(revision: str) -> None:
    assert accepts(decoder=f"d/d@{revision}")


# Whatever the file holds


def check_that_all_problems_are_within(data: bytes) -> None:
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


@STEADY
@given(st.binary(max_size=200))
def test_any_bytes_give_a_manifest_or_problems(data: bytes) -> None:
    check_that_all_problems_are_within(data)


YAML_SIGNS = [
    *"{}[],:&*!|>'\"#%@?-\t\n\r \u2028\x85\ufeff\x00é🤗",
    "\n  ",
    "\n- ",
    "---\n",
    "...\n",
]
YAML_WORDS = ["pairs: ", "repo: ", "&a ", "*a", "<<: ", "!!int ", "1e3", "null", r'"\x41"', "%YAML"]


@STEADY
@given(st.lists(st.sampled_from(YAML_SIGNS + YAML_WORDS), max_size=40).map("".join))
def test_any_text_like_yaml_gives_a_manifest_or_problems(text: str) -> None:
    check_that_all_problems_are_within(text.encode(errors="replace"))


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


@STEADY
@given(
    st.fixed_dictionaries(
        {"pairs": st.lists(PAIRS | VALUES, max_size=3)},
        optional={"defaults": VALUES, "namespace": VALUES, "grid": GRIDS | st.lists(GRIDS)},
    )
)
def test_any_values_give_a_manifest_or_problems(values: object) -> None:
    check_that_all_problems_are_within(yaml.safe_dump(values, allow_unicode=True).encode())


# The JSON Schema


def test_the_schema_file_is_that_of_the_types() -> None:
    written = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert written == json_schema(), "run `make schema` to write schema/pairs.schema.json again"


def test_the_schema_is_one_and_describes_every_key() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    definitions = schema["$defs"]
    forms = [form for each in definitions.values() for form in [each, *each.get("anyOf", [])]]
    described = {}
    for form in [schema, *forms]:
        for key, value in form.get("properties", {}).items():
            target = definitions.get(value.get("$ref", "").rpartition("/")[2], value)
            described[key] = value.get("description") or target["description"]
    assert described.keys() == set(KEYS) - {"decodr", "<<"}
    assert all(description.endswith(".") for description in described.values())


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"encoder": "{model: ./a b, config: c@v1, allow_pickle: true}", "decoder": "../d"},
        {"encoder": "{model: a.b/c_d, revision: refs/pr/1, config: {model: c, revision: v1}}"},
        {"token_ids": "{decoder_start: 0, eos: 50256}", "seed": "4294967295", "adopt": "true"},
        {"language": "no", "license": "cc-by-4.0", "tags": "[image captioning, arxiv:1706.03762]"},
        {"language": "[en, zh-Hant, multilingual]", "tags": "[]", "description": '"two\\nlines"'},
    ],
)
def test_the_schema_accepts_what_loads(keys: dict[str, str]) -> None:
    assert loads(a_pair(**keys))
    assert schema_accepts(a_pair(**keys))


def test_the_schema_accepts_the_example_of_the_design() -> None:
    assert schema_accepts(DESIGN_EXAMPLE)


@pytest.mark.parametrize(("key", "written", "problem"), SHAPE_MISTAKES)
def test_the_schema_refuses_mistakes_of_shape(key: str, written: str, problem: str) -> None:
    assert not schema_accepts(a_pair(**{key: written})), problem


@pytest.mark.parametrize("text", [b"", b"- a", b"pairs: []", b"pairs:", b"namespace: a", b"[]"])
def test_the_schema_refuses_what_is_no_manifest_at_all(text: bytes) -> None:
    assert not schema_accepts(text)


def test_importing_the_manifest_imports_nothing_heavy() -> None:
    program = "import sys, ved.manifest; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"jax", "flax", "numpy", "transformers", "huggingface_hub"}
    assert heavy.isdisjoint(run.stdout.split())
