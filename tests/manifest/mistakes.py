"""Mistakes in manifests, each with its place, its code and the data that its message contains.

messages.txt has the wording of their messages. `python -m tests.manifest.mistakes` writes it again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.manifests import one_pair, problems_of

MESSAGES = Path(__file__).with_name("messages.txt")


@dataclass(frozen=True)
class Mistake:
    """A manifest with one mistake.

    Attributes:
        text: the manifest.
        place: `line:column` of the problem.
        code: the code of the problem.
        data: parts of its message that are not prose: values, keys, numbers.
    """

    text: bytes = field(repr=False)
    place: str
    code: str
    data: tuple[str, ...] = ()

    def __str__(self) -> str:
        start = self.text.decode(errors="replace")[:48]
        return start.encode("unicode_escape").decode().removeprefix(r"pairs:\n- ")


def _in_file(text: bytes | str, place: str, code: str, *data: str) -> Mistake:
    return Mistake(text if isinstance(text, bytes) else text.encode(), place, code, data)


def _in_pair(key: str, value: str, column: int, code: str, *data: str) -> Mistake:
    """Return a mistake in the first key of a pair."""
    return Mistake(one_pair(**{key: value}), f"2:{column}", code, data)


def a_grid(written: str) -> str:
    """Return a grid of one cell, with further keys on line 4, from column 3."""
    return f"grid:\n  encoders: [a/vit]\n  decoders: [d]\n  {written}"


FILE_KEYS = ("namespace", "defaults", "pairs", "grid", "mapping")

_ONE = "pairs: [{repo: o/r, encoder: e, decoder: d}]"

# Files that are not a mapping with pairs
WHOLE_FILE = [
    _in_file("", "1:1", "wrong-type", *FILE_KEYS, "nothing"),
    _in_file("# a\n", "1:1", "wrong-type", *FILE_KEYS, "nothing"),
    _in_file("- a", "1:1", "wrong-type", *FILE_KEYS, "a list"),
    _in_file("\n a", "2:2", "wrong-type", *FILE_KEYS, "'a'"),
    _in_file("{}", "1:1", "missing-key", "'pairs'", "'grid'"),
    _in_file("pairs: []", "1:8", "value-not-allowed"),
    _in_file("pairs: {a: b}", "1:8", "wrong-type", "a list", "a mapping", "each pair", "'- '"),
    _in_file("pairs:\n  -repo: o/r\n", "2:3", "wrong-type", "a list", "space", "'-'"),
    _in_file("pairs: o/r", "1:8", "wrong-type", "a list", "'o/r'"),
    _in_file("pairs:\n- repo:o/r", "2:3", "wrong-type", "space", "':'"),
    _in_file(
        "pairs: [{repo: o/r, encoder: e, decoder: d}]\nrepo: o/x",
        "2:1",
        "unknown-key",
        "'repo'",
        "'pairs'",
    ),
    _in_file("pairs:", "1:7", "wrong-type", "nothing"),
    _in_file("pair: []", "1:1", "unknown-key", "'pair'", "'pairs'"),
    _in_file("models: []", "1:1", "unknown-key", "'pairs'"),
    _in_file(f"{_ONE}\nvisibility: private", "2:1", "unknown-key", "'private: true'", "'defaults'"),
    _in_file(f"{_ONE}\norganization: me", "2:1", "unknown-key", "'namespace'"),
    _in_file(f"{_ONE}\norganizaton: me", "2:1", "unknown-key", "'namespace'"),
    _in_file("pairs: [{target: o/r, encoder: e, decoder: d}]", "1:10", "unknown-key", "'repo'"),
    _in_file(
        "pairs: [{repo: o/r, encoder_model_name_or_path: e, decoder: d}]",
        "1:21",
        "unknown-key",
        "'encoder'",
    ),
    _in_file(
        "pairs: [{repo: o/r, encoder: e, decoder: d, decoder_start_token_id: 0}]",
        "1:45",
        "unknown-key",
        "'token_ids'",
    ),
    _in_file(f"{_ONE}\ndefaults: {{keywords: [a]}}", "2:12", "unknown-key", "'tags'"),
    _in_file(f"{_ONE[:-2]}, force: true}}]", "1:45", "unknown-key", "'overwrite'"),
    _in_file("pairs: [{repo: o/r, vision: e, decoder: d}]", "1:21", "unknown-key", "'encoder'"),
    _in_file("pairs: [{repo: o/r, encoder: e, text: d}]", "1:33", "unknown-key", "'decoder'"),
]

# Files with the usual mistakes of people who write YAML by hand
SYNTAX = [
    _in_file("pairs:\n- a: b\n\tc: d", "3:1", "yaml-syntax", "tab", "spaces"),
    _in_file("pairs:\n- a: b\n  \tc: d", "3:3", "yaml-syntax", "tab", "spaces"),
    _in_file("a:\tb", "1:3", "yaml-syntax", "tab", "spaces"),
    _in_file("pairs:\n- a: b\n    c: d", "3:5", "yaml-syntax", "indentation", "column"),
    _in_file("pairs:\n  - a: b\n   c: d", "3:4", "yaml-syntax", "indentation", "column"),
    _in_file("pairs:\n- a: b\n  - c: d", "3:3", "yaml-syntax", "indentation", "'-'"),
    _in_file("-\na: b", "2:1", "yaml-syntax", "indentation", "column"),
    _in_file("pairs:\n-a: b\n c: d", "2:1", "yaml-syntax", "space", "'-'"),
    _in_file("pairs:\n- a:b\n  c: d", "2:4", "yaml-syntax", "space", "':'"),
    _in_file("pairs:\n- a: b\n  c:d\n\n  e: f", "3:4", "yaml-syntax", "space", "':'"),
    _in_file("pairs:\n- a: b\n  c:d", "3:4", "yaml-syntax", "space", "':'"),
    _in_file("a:b\n\nc: d", "1:2", "yaml-syntax", "space", "':'"),
    _in_file("a\nb: c", "1:1", "yaml-syntax", "':'"),
    _in_file('a: "b\nc: d\n', "1:4", "yaml-syntax", "quote"),
    _in_file("a: 'b\nc: d\n", "1:4", "yaml-syntax", "quote"),
    _in_file("a: 'it's b'", "1:8", "yaml-syntax", "'it''s'"),
    _in_file('a: "b\nc: "d"', "2:5", "yaml-syntax", "quot"),
    _in_file("a: [b, c\nd: e", "1:4", "yaml-syntax", "'['", "line 2"),
    _in_file("a: {b: c", "1:4", "yaml-syntax", "'{'"),
    _in_file("a: {b: c d: e}", "1:11", "yaml-syntax", "','", "'}'"),
    _in_file("a: [b}", "1:6", "yaml-syntax", "','", "']'", "'}'"),
    _in_file("a: [b]]", "1:7", "yaml-syntax", "']'"),
    _in_file("[]\n]", "2:1", "yaml-syntax", "']'"),
    _in_file("a: {b}-{c}", "1:7", "yaml-syntax", "'{'", "quotes"),
    _in_file("a: ]b", "1:4", "yaml-syntax", "']'", "quotes"),
    _in_file("a: [b: , , c]", "1:10", "yaml-syntax", "','"),
    *(_in_file(f"a: {each}b", "1:4", "yaml-syntax", f"'{each}'", "quotes") for each in "%@`"),
    _in_file("a: **b** c", "1:4", "yaml-syntax", "'*'", "quotes"),
    _in_file("a: & b", "1:4", "yaml-syntax", "'&'", "quotes"),
    _in_file("a: - b", "1:4", "yaml-syntax", "'- '", "quotes"),
    _in_file("a: ? b", "1:4", "yaml-syntax", "'? '", "quotes"),
    _in_file("a: b: c: d", "1:5", "yaml-syntax", "': '", "quotes"),
    _in_file("a: |b\n  c", "1:5", "yaml-syntax", "'|'", "next line"),
    _in_file("a: &b &c d", "1:7", "yaml-syntax", "anchor"),
    _in_file(r'a: "C:\path"', "1:8", "yaml-syntax", "\\\\", "single quotes"),
    _in_file("%FOO\na: b", "2:1", "yaml-syntax", "'%'"),
    _in_file("a: !<b c", "1:7", "yaml-syntax", "'!'", "quotes"),
    _in_file("a: b\n...\nc", "3:1", "yaml-syntax", "ended"),
]

# Files that are not YAML, or use more of it than a manifest may
YAML = [
    _in_file("a: [\n\n", "1:5", "yaml-syntax", "'['"),
    _in_file("a: b\n\tc: d", "2:1", "yaml-syntax", "tab", "spaces"),
    _in_file("a: b: c", "1:5", "yaml-syntax", "': '", "quotes"),
    _in_file("pairs:\n- a: b\n c: d", "3:2", "yaml-syntax", "indentation"),
    _in_file("a: b\nc\nd: e", "2:1", "yaml-syntax", "':'"),
    *SYNTAX,
    _in_file("a: 1\n---\nb: 2", "2:1", "yaml-syntax", "second document"),
    _in_file("a: b\nc\x00d: e", "2:2", "yaml-syntax", "U+0000"),
    _in_file(b"\xef\xbb\xbf\n# \xc3\xa9\xff", "2:4", "yaml-syntax", "byte 8 ", "UTF-8"),
    _in_file("a: b".encode("utf-16"), "1:1", "yaml-syntax", "byte 0 ", "UTF-8"),
    _in_file(r'a: "\e[31m"', "1:4", "yaml-syntax", "escape"),
    _in_file(r'a: "\uD800"', "1:4", "yaml-syntax", "escape"),
    _in_file(r'a: "\UFFFFFFFF"', "1:1", "yaml-syntax", "escape"),
    _in_file("%YAML 1." + "9" * 5000, "1:1", "yaml-syntax", "number"),
    _in_file("a: *b", "1:4", "yaml-syntax", "'*b'"),
    _in_file("a: &b [*b]", "1:8", "yaml-syntax", "'*b'"),
    _in_file(
        "a: !!python/object/apply:os.system [ls]",
        "1:4",
        "yaml-syntax",
        "'!!python/object/apply:os.system'",
    ),
    _in_file("a: !x y", "1:4", "yaml-syntax", "'!x'"),
    _in_file("a: !!int y", "1:4", "yaml-syntax", "'!!int'"),
    _in_file("a: !!map y", "1:4", "yaml-syntax", "'!!map'"),
    _in_file("a: !!seq {}", "1:4", "yaml-syntax", "'!!seq'"),
    _in_file("a: !!map []", "1:4", "yaml-syntax", "'!!map'"),
    _in_file("[" * 100_000, "1:34", "manifest-too-large", "32"),
    _in_file("? " * 100_000, "1:67", "manifest-too-large", "32"),
    _in_file("#" * (2**20 + 1), "1:1", "manifest-too-large", "1 MiB"),
]

# In the first key of a pair. The JSON Schema refuses these, too.
PAIR_SHAPE = [
    _in_pair("repo", "vit gpt2", 9, "value-not-allowed", "'vit gpt2'", "owner/name", "96"),
    _in_pair("repo", "a/b/c", 9, "value-not-allowed", "'a/b/c'"),
    _in_pair("repo", r'"a\nb"', 9, "value-not-allowed", r"'a\nb'"),
    _in_pair("repo", "", 8, "wrong-type", "nothing"),
    _in_pair("repo", "[a]", 9, "wrong-type", "a list"),
    _in_pair(
        "encoder",
        "null",
        12,
        "wrong-type",
        *("repo id", "local directory", "mapping", "model", "revision", "config", "allow_pickle"),
        *("weights_from", "nothing"),
    ),
    _in_pair("encoder", "[a, b]", 12, "wrong-type", "a list"),
    _in_pair("encoder", "a b", 12, "value-not-allowed", "'a b'", "owner/name", "./"),
    _in_pair("encoder", "a--b/c", 12, "value-not-allowed", "'a--b/c'"),
    _in_pair("encoder", "a/b@", 12, "value-not-allowed", "''", "git revision"),
    _in_pair("encoder", "a/b@-x", 12, "value-not-allowed", "'-x'"),
    _in_pair("encoder", "{model: a/b, revision: x..y}", 35, "value-not-allowed", "'x..y'"),
    _in_pair("encoder", "{model: a/b@c}", 20, "value-not-allowed", "'a/b@c'"),
    _in_pair("encoder", "{revision: main}", 12, "missing-key", "'model'"),
    _in_pair("encoder", "{modell: a}", 13, "unknown-key", "'modell'", "'model'"),
    _in_pair("encoder", "{model: a, allow_pickle: 1}", 37, "wrong-type", "true or false", "1"),
    _in_pair(
        "encoder",
        "{model: a, weights_from: pickle}",
        37,
        "value-not-allowed",
        *("'pickle'", "flax", "safetensors"),
    ),
    _in_pair("encoder", "{model: a, weights_from: [flax]}", 37, "value-not-allowed", "a list"),
    _in_pair("encoder", "{model: a, config: b@ }", 31, "value-not-allowed", "''"),
    _in_pair(
        "encoder",
        "{model: a, config: {model: b, config: c}}",
        42,
        "unknown-key",
        *("'config'", "model, revision"),
    ),
    _in_pair("token_ids", "{eos: two}", 20, "wrong-type", "'two'"),
    _in_pair("token_ids", "{eos: -1}", 20, "value-not-allowed", "0", "-1"),
    _in_pair("token_ids", "{eos: 1.5}", 20, "wrong-type", "'1.5'"),
    _in_pair("token_ids", '{eos: "1"}', 20, "wrong-type", "'1'"),
    _in_pair("token_ids", "{eos: true}", 20, "wrong-type", "true"),
    _in_pair("token_ids", "{eos: }", 19, "wrong-type", "nothing"),
    _in_pair("token_ids", "{bos: 1}", 15, "unknown-key", "'bos'", "'decoder_start'"),
    _in_pair("token_ids", "3", 14, "wrong-type", "decoder_start, pad, eos", "3"),
    _in_pair("seed", "4294967296", 9, "value-not-allowed", "below 4294967296"),
    _in_pair("seed", "-1", 9, "value-not-allowed", "at least 0", "-1"),
    _in_pair("private", "yes", 12, "wrong-type", "true or false", "'yes'"),
    _in_pair("private", "~", 12, "wrong-type", "nothing"),
    _in_pair("adopt", "{}", 10, "wrong-type", "a mapping"),
    _in_pair("overwrite", "1", 14, "wrong-type", "1"),
    _in_pair("weights", "pickle", 12, "value-not-allowed", "'flax'", "'safetensors'", "'pickle'"),
    _in_pair("weights", "[]", 12, "value-not-allowed"),
    _in_pair("tags", "a", 9, "wrong-type", "a list", "'a'", "[a]"),
    _in_pair("eos", "3", 3, "unknown-key", "'eos'", "'token_ids'"),
    _in_pair("tags", "[a, [b]]", 13, "wrong-type", "text", "a list"),
    _in_pair("tags", "[' a']", 10, "value-not-allowed", "' a'", "100"),
    _in_pair("tags", r'["a\u2028b"]', 10, "value-not-allowed", r"'a\u2028b'"),
    _in_pair("license", "Apache 2.0", 12, "value-not-allowed", "'Apache 2.0'", "'apache-2.0'"),
    _in_pair("license", "", 11, "wrong-type", "nothing"),
    _in_pair("language", "german", 13, "value-not-allowed", "'german'", "'de'"),
    _in_pair("language", "pt-BR", 13, "value-not-allowed", "'pt-BR'", "'pt'"),
    _in_pair("license", "appache-2.0", 12, "value-not-allowed", "'appache-2.0'", "'apache-2.0'"),
    _in_pair("license", "CC BY 4.0", 12, "value-not-allowed", "'cc-by-4.0'"),
    _in_pair("language", "English", 13, "value-not-allowed", "'English'", "'en'"),
    _in_pair("language", "[en, false]", 18, "value-not-allowed", "'false'"),
    _in_pair("language", "{en: fr}", 13, "wrong-type", "a list", "a mapping"),
    _in_pair("description", "[a]", 16, "wrong-type", "text", "a list"),
    _in_pair("collection", "a  b", 15, "value-not-allowed", "'a  b'", "owner/title", "60"),
    _in_pair("visibility", "private", 3, "unknown-key", "'private: true'"),
    _in_pair("visiblity", "private", 3, "unknown-key", "'private: true'"),
    _in_pair("public", "true", 3, "unknown-key", "'private: false'"),
    _in_pair("visibility", "internal", 3, "unknown-key", "'private'"),
    _in_pair("public", "no", 3, "unknown-key", "'private: true'"),
    _in_pair("encoder_revision", "v1", 3, "unknown-key", "encoder: {model: ..., revision: ...}"),
    _in_pair("name", "x", 3, "unknown-key", "private, license", "repo, encoder"),
    _in_pair("owner", "x", 3, "unknown-key", "'namespace' beside 'pairs'"),
    _in_pair("encoder", "{name: a}", 13, "unknown-key", "'model'"),
    _in_pair("encoder", "{model: a, branch: b}", 23, "unknown-key", "'revision'"),
    _in_pair("encoder", "{model: a, dtype: float32}", 23, "unknown-key", "beside 'encoder'"),
    _in_pair("decodr", "x", 3, "unknown-key", "'decodr'", "'decoder'"),
    _in_pair(r'"a\nb"', "x", 3, "unknown-key", r"'a\nb'", "private, license", "repo, encoder"),
]

_GPT2 = "openai-community/gpt2"
_PAGE = f"https://huggingface.co/{_GPT2}"

# In the first key of a pair. A JSON Schema cannot find these.
PAIR = [
    *(
        _in_pair("encoder", f"'{pasted}'", 12, "value-not-allowed", f"write {written}")
        for pasted, written in {
            _PAGE: _GPT2,
            f"{_PAGE}/": _GPT2,
            f"{_PAGE}/tree/main": _GPT2,
            f"{_PAGE}/tree/v1": f"{_GPT2}@v1",
            f"{_PAGE}/blob/abc/config.json?download=true": f"{_GPT2}@abc",
            f"{_PAGE}.git": _GPT2,
            f"{_PAGE}@v1": f"{_GPT2}@v1",
            f"http://hf.co/{_GPT2}#usage": _GPT2,
            f"www.huggingface.co/{_GPT2}": _GPT2,
            "https://huggingface.co/gpt2": "gpt2",
            "hf.co/gpt2": "gpt2",
            f"git@hf.co:{_GPT2}.git": _GPT2,
            f"git+ssh://git@hf.co/{_GPT2}": _GPT2,
            f"https://me:secret@huggingface.co/{_GPT2}": _GPT2,
            f"hf://{_GPT2}@v1/config.json": f"{_GPT2}@v1",
            f"{_GPT2}/tree/main": _GPT2,
        }.items()
    ),
    _in_pair(
        "encoder", "https://huggingface.co/datasets/mnist", 12, "value-not-allowed", "dataset"
    ),
    _in_pair("encoder", "https://hf.co/spaces/a/b", 12, "value-not-allowed", "space"),
    _in_pair("encoder", "a/vit/", 12, "value-not-allowed", "a/vit,", "./a/vit"),
    _in_pair("encoder", "https://github.com/a/b", 12, "value-not-allowed", "this Hub"),
    _in_pair("encoder", f"{{model: a, config: '{_PAGE}'}}", 31, "value-not-allowed", _GPT2),
    _in_pair("repo", f"{_PAGE}/tree/v1", 9, "value-not-allowed", f"write {_GPT2}"),
    _in_pair("collection", "https://hf.co/collections/a/b-1", 15, "value-not-allowed", "a/title"),
    _in_file(
        "namespace: https://huggingface.co/me/x\n" + one_pair().decode(),
        "1:12",
        "value-not-allowed",
        "write me",
    ),
    _in_pair("encoder", "hf_aBcDeFgHiJkLmNoPqR", 12, "secret-in-manifest"),
    _in_pair("repo", "bare", 9, "repo-without-owner", "'bare'", "owner/bare", "'namespace'"),
    _in_pair("encoder", "{model: ./a, revision: main}", 35, "value-not-allowed", "'main'"),
    _in_pair("? {a: b}\n  ", "x", 5, "wrong-type", "a mapping"),
    _in_pair("<<", "x", 7, "wrong-type", "'<<'", "'x'"),
    _in_pair("<<", "[{seed: 1}, 3]", 19, "wrong-type", "'<<'", "3"),
]

GRID_KEYS = (
    "private, license, language, tags, seed, dtype, weights, check, collection, token_ids,"
    " description, adopt, overwrite, encoders, decoders, repo, exclude, overrides"
)
PLACEHOLDERS = ("{encoder}", "{decoder}")

# In a grid. The JSON Schema refuses these, too.
GRID_SHAPE = [
    _in_file("grid: 3", "1:7", "wrong-type", GRID_KEYS, "3"),
    _in_file("grid:", "1:6", "wrong-type", GRID_KEYS, "nothing"),
    _in_file("grid: []", "1:7", "value-not-allowed"),
    _in_file("grid: [a]", "1:8", "wrong-type", GRID_KEYS, "'a'"),
    _in_file("grid: {decoders: [d]}", "1:7", "missing-key", "'encoders'"),
    _in_file("grid: {encoders: [], decoders: [d]}", "1:18", "value-not-allowed"),
    _in_file("grid: {encoders: e, decoders: [d]}", "1:18", "wrong-type", "a list", "'e'"),
    _in_file(
        "grid: {encoders: [e], decoder: [d]}", "1:23", "unknown-key", "'decoder'", "'decoders'"
    ),
    _in_file(a_grid("foo: 1"), "4:3", "unknown-key", "'foo'", GRID_KEYS),
    _in_file(a_grid("seed: x"), "4:9", "wrong-type", "'x'"),
    _in_file(a_grid("repo: 'o/{encodr}'"), "4:9", "value-not-allowed", "'{encodr}'", *PLACEHOLDERS),
    _in_file(a_grid("repo: 'o/{encoder'"), "4:9", "value-not-allowed", "'{'", *PLACEHOLDERS),
    _in_file(a_grid("repo: 'o/encoder}'"), "4:9", "value-not-allowed", "'}'", *PLACEHOLDERS),
    _in_file(a_grid("repo: 'o/{encoder!r}'"), "4:9", "value-not-allowed", "'{encoder!r}'"),
    _in_file(a_grid("repo: 'o/{}'"), "4:9", "value-not-allowed", "'{}'"),
    _in_file(a_grid("repo: 'o/a {encoder}'"), "4:9", "value-not-allowed", "'o/a {encoder}'"),
    _in_file(a_grid(f"repo: {'x' * 97}"), "4:9", "value-not-allowed", f"'{'x' * 79}…'"),
    _in_file(a_grid("exclude: [{}]"), "4:13", "missing-key", "'encoder'", "'decoder'"),
    _in_file(a_grid("exclude: [{encodr: e}]"), "4:14", "unknown-key", "'encodr'", "'encoder'"),
    _in_file(
        a_grid("exclude: [{encoder: a/vit, seed: 1}]"),
        "4:30",
        "unknown-key",
        *("'seed'", "encoder, decoder"),
    ),
    _in_file(
        a_grid("exclude: [{encoder: }]"), "4:22", "wrong-type", "repo id", "model, revision; "
    ),
    _in_file(a_grid("overrides: [{seed: 1}]"), "4:15", "missing-key", "'encoder'", "'decoder'"),
    _in_file(
        a_grid("overrides: [{encoder: a/vit, repo: '{'}]"), "4:38", "value-not-allowed", "'{'"
    ),
]

# In a grid. A JSON Schema cannot find these.
GRID = [
    _in_file(
        "grid: {encoders: [e], decoders: [d]}",
        "1:7",
        "repo-without-owner",
        *("'e-d'", "'e' with 'd'", "owner/", "'namespace'"),
    ),
    _in_file(
        a_grid("repo: 'o/{encoder}--{decoder}'"),
        "4:9",
        "value-not-allowed",
        *("'o/vit--d'", "'a/vit' with 'd'"),
    ),
    _in_file(
        a_grid(f"repo: 'o/{'x' * 91}-{{encoder}}-{{decoder}}'"),
        "4:9",
        "value-not-allowed",
        *(f"'o/{'x' * 77}…'", "'a/vit' with 'd'"),
    ),
    _in_file(
        "grid: {encoders: ['./x', '.', '..'], decoders: [d], repo: 'o/{encoder}-{decoder}'}",
        "1:59",
        "value-not-allowed",
        *("'o/-d'", "'.' with 'd'", "1 more"),
    ),
    _in_file(
        "grid: {encoders: ['./{decoder}'], decoders: [d]}",
        "1:7",
        "value-not-allowed",
        *("'{decoder}-d'", "'./{decoder}' with 'd'"),
    ),
    _in_file(
        a_grid("repo: o/r\n  exclude: [{encoder: a/vti}]"),
        "5:23",
        "unknown-grid-source",
        *("'a/vti'", "encoders", "'a/vit'"),
    ),
    _in_file(
        a_grid("repo: o/r\n  overrides: [{decoder: a/vit}]"),
        "5:25",
        "unknown-grid-source",
        *("'a/vit'", "decoders"),
    ),
    _in_file(
        "grid: {encoders: [a/vit@v1], decoders: [d], repo: o/r, exclude: [{encoder: a/vit@v2}]}",
        "1:76",
        "unknown-grid-source",
        *("'a/vit@v2'", "encoders", "'a/vit@v1'"),
    ),
    _in_file(
        "grid: {encoders: [e, f], decoders: [d], repo: o/r, exclude: [{encoder: e}],"
        " overrides: [{encoder: e, seed: 1}]}",
        "1:89",
        "useless-grid-entry",
    ),
    _in_file(
        a_grid("repo: o/r\n  exclude: [{encoder: a/vit}]"),
        "5:12",
        "useless-grid-entry",
    ),
    _in_file(
        "grid: {encoders: [a/x, b/x], decoders: [d], repo: 'o/{encoder}'}",
        "1:51",
        "duplicate-repo",
        *("'o/x'", "'b/x' with 'd'", "'a/x' with 'd'", "line 1"),
    ),
    _in_file(
        "grid: {encoders: [e], decoders: [a/x, b/y, c/z], repo: 'o/{encoder}'}",
        "1:56",
        "duplicate-repo",
        *("'o/e'", "'e' with 'b/y'", "'e' with 'a/x'", "line 1", "1 more"),
    ),
    _in_file(
        "grid: {encoders: [e], decoders: [x, X], repo: 'o/{decoder}'}",
        "1:47",
        "duplicate-repo",
        *("'o/X'", "'e' with 'X'", "'e' with 'x'", "line 1"),
    ),
]

ALL = [*WHOLE_FILE, *YAML, *PAIR_SHAPE, *PAIR, *GRID_SHAPE, *GRID]


def check(mistake: Mistake) -> None:
    """Check that a mistake has one problem, at its place, with its code and its data."""
    (problem,) = problems_of(mistake.text)
    assert (f"{problem.line}:{problem.column}", problem.code) == (mistake.place, mistake.code)
    assert [part for part in mistake.data if part not in problem.message] == []


def messages() -> Iterator[str]:
    """Yield the distinct messages of all mistakes, with their codes, in order."""
    problems = [problem for mistake in ALL for problem in problems_of(mistake.text)]
    yield from dict.fromkeys(f"{problem.code}: {problem.message}\n" for problem in problems)


if __name__ == "__main__":
    MESSAGES.write_text("".join(messages()), encoding="utf-8")
