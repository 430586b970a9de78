"""Tokenizers and image processors whose settings name files, repos or code, or have no sense."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.support.action import Action, actions_of, annotations, only_commands, rows_of
from tests.support.building import edit_json, read_json, source
from tests.support.publishing import TOKEN, download, files_of, pair, publish
from ved.assembly import image_processor, tokenizer_settings
from ved.assembly.image_processor import prepare_image_processor
from ved.assembly.processing_files import write_image_processor, write_tokenizer
from ved.assembly.special_tokens import TokenId, TokenIds
from ved.assembly.tokenizer import prepare_tokenizer
from ved.assembly.trials import try_image_processor
from ved.errors import ErrorCode, VedError
from ved.localhub import LocalHub

SECRET = "hunter2-of-the-machine"

_opened: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open":
        _opened.append(str(arguments[0]))


sys.addaudithook(_hook)


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Lend out a list of the paths that Python code opens in the block."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test, with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a directory with a secret in each form that a class could read."""
    directory = tmp_path / "outside"
    directory.mkdir()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "<s>", "</s>", "<unk>", "<pad>"]
    tokens = [*special, SECRET]
    (directory / "vocab.txt").write_text("".join(f"{each}\n" for each in tokens))
    (directory / "vocab.json").write_text(json.dumps({each: n for n, each in enumerate(tokens)}))
    (directory / "merges.txt").write_text(f"#version: 0.2\n{SECRET[0]} {SECRET[1:]}\n")
    shutil.copyfile(directory / "vocab.json", directory / "added_tokens.json")
    (directory / "classes.json").write_text(json.dumps({"0": {"name": SECRET, "isthing": 1}}))
    whole = checkpoints.bert(directory / "bert")
    text = (whole / "tokenizer.json").read_text().replace('"woman"', f'"{SECRET}"')
    (directory / "tokenizer.json").write_text(text)
    return directory


def assert_short(error: VedError) -> None:
    assert error.code in (ErrorCode.PROCESSOR_NOT_USABLE, ErrorCode.SOURCE_TOO_LARGE)
    assert len(str(error)) < 2_000
    assert str(error).isprintable()


def published(directory: Path, target: Path) -> bytes | None:
    """Return all that is published of a decoder's tokenizer; None if it is refused."""
    try:
        resolved = source("decoder", directory).resolved
        files = prepare_tokenizer(directory, resolved.config, resolved.family, "a test")
    except VedError as error:
        assert_short(error)
        return None
    assert all(len(each) < 2_000 for each in files.notices)
    target.mkdir(exist_ok=True)
    token = TokenId(0, files.token(0) or "", "a test")
    write_tokenizer(files, TokenIds(token, token, token), directory, target)
    return b"".join(files_of(target).values())


# Settings of tokenizers that name files

NAMES = (
    *(
        "vocab_file",
        "merges_file",
        "tokenizer_file",
        "added_tokens_file",
        "special_tokens_map_file",
    ),
    *(
        "vocab",
        "merges",
        "source_spm",
        "target_spm",
        "target_vocab_file",
        "src_vocab_file",
        "sp_model",
    ),
    *("spm_file", "normalizer_file", "emoji_file", "entity_vocab_file", "bpe_codes", "gguf_file"),
    *("name_or_path", "init_inputs", "cache_dir", "subfolder", "fast_tokenizer_files", "from_slow"),
    *("tokenizer_config_file", "chat_template_file", "chat_template", "backend_tokenizer"),
    *(
        "__slow_tokenizer",
        "tokenizer_object",
        "jumanpp_kwargs",
        "sudachi_kwargs",
        "processor_class",
    ),
)
FILES = ("vocab.txt", "vocab.json", "tokenizer.json", "added_tokens.json")


def as_text(path: str) -> object:
    return path


def as_list(path: str) -> object:
    return [path]


def as_mapping(path: str) -> object:
    return {"model_file": path, "mecab_option": f"-r {path}", "default": path, "__type": path}


@pytest.mark.parametrize("form", [as_text, as_list, as_mapping])
@pytest.mark.parametrize("place", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize(
    ("family", "has_json"), [("bert", False), ("gpt2", True), ("xlm-roberta", False)]
)
def test_tokenizer_settings_that_name_files_are_not_followed(
    family: str,
    has_json: bool,
    place: str,
    form: Callable[[str], object],
    outside: Path,
    tmp_path: Path,
) -> None:
    directory = checkpoints.DECODERS[family](
        tmp_path / "source", tokenizer="fast" if has_json else "slow"
    )
    settings = read_json(directory / "tokenizer_config.json")
    settings.pop("added_tokens_decoder", None)  # with it, the other file is not read
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    before = read_json(directory / place)
    expected = published(directory, tmp_path / "expected")
    for number, name in enumerate(NAMES):
        path = str(outside / FILES[number % len(FILES)])
        (directory / place).write_text(json.dumps({**before, name: form(path)}))
        with opened_files() as opened:
            found = published(directory, tmp_path / "out")
        # A chat template that is one text is published, and no file is read.
        template = name == "chat_template" and form is as_text and place == "tokenizer_config.json"
        assert (found == expected) or template, name
        assert SECRET.encode() not in (found or b"")
        assert [each for each in opened if str(outside) in each] == [], name


NESTED: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "in an added token": lambda path: {
        "added_tokens_decoder": {"0": {"content": "[PAD]", "vocab_file": path, "special": True}}
    },
    "in a special token": lambda path: {"pad_token": {"content": "[PAD]", "tokenizer_file": path}},
    "in additional tokens": lambda path: {
        "additional_special_tokens": [{"content": "<x>", "vocab": path, "__type": path}]
    },
    "in extra tokens": lambda path: {
        "extra_special_tokens": {"vocab_file": "<x>", "auto_map": "<y>", "__class__": "<z>"}
    },
    "in kwargs": lambda path: {"kwargs": {"vocab_file": path}, "init_kwargs": {"vocab": path}},
    "in sentencepiece": lambda path: {"sp_model_kwargs": {"model_file": path}},
}


@pytest.mark.parametrize("name", NESTED)
def test_tokenizer_settings_that_name_files_inside_are_not_kept(
    name: str, outside: Path, tmp_path: Path
) -> None:
    directory = checkpoints.bert(tmp_path / "source", tokenizer="slow")
    path = str(outside / "vocab.txt")
    edit_json(directory / "tokenizer_config.json", **NESTED[name](path))
    with opened_files() as opened:
        found = published(directory, tmp_path / "out")
    assert found is not None
    assert SECRET.encode() not in found
    assert str(outside).encode() not in found
    assert [each for each in opened if str(outside) in each] == []


# Classes

CLASSES: tuple[object, ...] = (
    *("MarianTokenizer", "FSMTTokenizer", "M2M100Tokenizer", "WhisperTokenizer", "LukeTokenizer"),
    *("Speech2TextTokenizer", "XLMTokenizer", "TapexTokenizer", "RagTokenizer"),
    *("MBartTokenizer", "Wav2Vec2CTCTokenizer", "CanineTokenizer", "BertTokenizerFastFast"),
    *(
        "OurTokenizer",
        "AutoModel",
        "GPT2LMHeadModel",
        "Trainer",
        "__class__",
        "../bert",
        "a" * 10**6,
    ),
    *("\x1b]0;title\x07", "x\n::error::y", ["BertTokenizer", None], {"a": "b"}, 5, True),
)


@pytest.mark.parametrize("with_auto_map", [False, True])
@pytest.mark.parametrize("in_config", [False, True])
def test_tokenizer_of_a_class_outside_the_list_is_refused(
    in_config: bool, with_auto_map: bool, outside: Path, tmp_path: Path
) -> None:
    directory = checkpoints.bert(tmp_path / "source")
    paths = {name: str(outside / "vocab.json") for name in ("vocab", "source_spm", "target_spm")}
    more: dict[str, Any] = {**paths, "vocab_file": paths["vocab"]}
    if with_auto_map:
        more["auto_map"] = {"AutoTokenizer": ["code.OurTokenizer", "code.OurTokenizer"]}
        (directory / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    edit_json(directory / "tokenizer_config.json", **more)
    settings = read_json(directory / "tokenizer_config.json")
    for each in CLASSES:
        named = settings | {"tokenizer_class": None if in_config else each}
        (directory / "tokenizer_config.json").write_text(json.dumps(named))
        edit_json(directory / "config.json", tokenizer_class=each if in_config else None)
        with opened_files() as opened:
            assert published(directory, tmp_path / "out") is None, each
        assert [path for path in opened if str(outside) in path] == []
    assert not (tmp_path / "ran").exists()


def test_tokenizer_code_of_a_known_class_is_neither_run_nor_published(tmp_path: Path) -> None:
    directory = checkpoints.bert(tmp_path / "source")
    (directory / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for auto_map in ("code.X", ["code.X", "other/repo--code.X"], {"AutoTokenizer": ["code.X"]}):
        edit_json(directory / "tokenizer_config.json", auto_map=auto_map)
        found = published(directory, tmp_path / "out")
        assert found is not None
        assert b"code.X" not in b"".join(
            files_of(tmp_path / "out")[name]
            for name in ("tokenizer_config.json", "special_tokens_map.json")
        )
    assert not (tmp_path / "ran").exists()


# Values without sense

VALUES: tuple[object, ...] = (
    *(
        True,
        0,
        -1,
        10**30,
        10**400,
        1.5,
        "x",
        "",
        "left",
        [],
        {},
        [[]],
        {"a": {}},
        [{}],
        [5],
        ["a"],
    ),
    *({"content": 5}, {"content": "a", "special": "yes"}, {"content": "x" * 5_000}),
    *(
        "x" * 5_000,
        ["x" * 5_000],
        "\ud800",
        "\x00\x1b]0;\x07\u202e",
        {"-1": {"content": "a"}},
    ),
    *({"9" * 30: {"content": "a"}}, {"²": {"content": "a"}}, [*range(110_000)], {"0": "a"}),
)


@pytest.mark.parametrize("place", ["tokenizer_config.json", "special_tokens_map.json"])
def test_tokenizer_settings_of_any_type_are_bounded(place: str, tmp_path: Path) -> None:
    directory = checkpoints.bert(tmp_path / "source")
    before = read_json(directory / place)
    if place == "special_tokens_map.json":
        settings = read_json(directory / "tokenizer_config.json")
        settings.pop("added_tokens_decoder")
        (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    names = [*tokenizer_settings.SETTINGS, "chat_template", "tokenizer_class", "auto_map"]
    if place == "special_tokens_map.json":
        names = [name for name in names if name.endswith(("_token", "_tokens"))]
    refused = 0
    for name in names:
        for value in VALUES:
            (directory / place).write_text(json.dumps({**before, name: value}))
            found = published(directory, tmp_path / "out")
            refused += found is None
            assert found is None or len(found) < 100_000, name
    assert refused > 50


@pytest.mark.parametrize(
    "settings",
    [
        {"pad_token": "x" * 5_000_000},
        {"mask_token": {"content": "x" * 5_000_000}},
        {"additional_special_tokens": ["x" * 5_000_000]},
        {"extra_special_tokens": {"x" * 5_000_000: "x" * 5_000_000}},
        {"added_tokens_decoder": {"4": {"content": "x" * 5_000_000}}},
        {"tokenizer_class": "x" * 5_000_000},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_tokenizer_with_a_large_token_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    directory = checkpoints.bert(tmp_path / "source")
    edit_json(directory / "tokenizer_config.json", **settings)
    assert published(directory, tmp_path / "out") is None


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"x" * 5_000_000: 300}),
        json.dumps({f"<{number}>": number for number in range(200_000)}),
        json.dumps({"<x>": "five"}),
        json.dumps({"<x>": -1}),
        json.dumps({"<x>": 4_000_000_000}),
        json.dumps([1, 2]),
        "[" * 200_000,
        " " * 20_000_000,
        b"\xff\xfe".decode("latin-1"),
    ],
    ids=range(9),
)
def test_tokenizer_with_strange_added_tokens_is_refused(content: str, tmp_path: Path) -> None:
    directory = checkpoints.bert(tmp_path / "source", tokenizer="slow")
    settings = read_json(directory / "tokenizer_config.json")
    settings.pop("added_tokens_decoder")
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    (directory / "added_tokens.json").write_text(content, encoding="latin-1")
    assert published(directory, tmp_path / "out") is None


@pytest.mark.parametrize("has_json", [False, True])
@pytest.mark.parametrize(
    "vocabulary",
    [{"<|endoftext|>": 0, "a": 4_000_000_000}, {"<|endoftext|>": 0, "x" * 5_000_000: 1}],
)
def test_tokenizer_with_strange_vocabulary_is_refused(
    vocabulary: dict[str, int], has_json: bool, tmp_path: Path
) -> None:
    directory = checkpoints.gpt2(tmp_path / "source", tokenizer="fast" if has_json else "slow")
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    if has_json:
        content = read_json(directory / "tokenizer.json")
        content["model"] |= {"vocab": vocabulary, "merges": []}
        (directory / "tokenizer.json").write_text(json.dumps(content))
    assert published(directory, tmp_path / "out") is None


# Image processors


def published_image_processor(directory: Path, target: Path) -> bytes | None:
    """Return what is published of an encoder's image processor; None if it is refused."""
    try:
        resolved = source("encoder", directory).resolved
        files = prepare_image_processor(directory, resolved.config, resolved.family, "a test")
        files = try_image_processor(files, "a test")
    except VedError as error:
        assert_short(error)
        return None
    target.mkdir(exist_ok=True)
    write_image_processor(files, target)
    return b"".join(files_of(target).values())


IMAGE_NAMES = (
    *("class_info_file", "repo_path", "name_or_path", "config_file", "image_processor_file"),
    *("_processor_class", "processor_class", "metadata", "data_config", "model_args", "auto_map"),
    *("tokenizer_file", "feature_extractor", "image_processor", "custom_pipelines", "cache_dir"),
)


@pytest.mark.parametrize("form", [as_text, as_list, as_mapping])
@pytest.mark.parametrize("family", checkpoints.ENCODERS)
def test_image_processor_settings_that_name_files_are_not_kept(
    family: str, form: Callable[[str], object], outside: Path, tmp_path: Path
) -> None:
    directory = checkpoints.ENCODERS[family](tmp_path / "source")
    expected = published_image_processor(directory, tmp_path / "expected")
    path = directory / "preprocessor_config.json"
    before = read_json(path)
    for name in IMAGE_NAMES:
        path.write_text(json.dumps({**before, name: form(str(outside / "classes.json"))}))
        with opened_files() as opened:
            assert published_image_processor(directory, tmp_path / "out") == expected, name
        assert [each for each in opened if str(outside) in each] == []


IMAGE_CLASSES: tuple[object, ...] = (
    *("OneFormerImageProcessor", "OneFormerImageProcessorFast", "TimmWrapperImageProcessor"),
    *("Mask2FormerImageProcessor", "LayoutLMv2ImageProcessor", "SamImageProcessor", "ViTModel"),
    *("OurImageProcessor", "AutoImageProcessor", "a" * 10**6, "\x1b]0;\x07", ["x"], {"a": 1}, 5),
)


@pytest.mark.parametrize("key", ["image_processor_type", "feature_extractor_type", "config"])
def test_image_processor_of_a_class_outside_the_list_is_refused(
    key: str, outside: Path, tmp_path: Path
) -> None:
    directory = checkpoints.vit(tmp_path / "source")
    path = directory / "preprocessor_config.json"
    files = {"class_info_file": "classes.json", "repo_path": str(outside), "num_text": 1}
    for each in IMAGE_CLASSES:
        path.write_text(json.dumps({**files, **({} if key == "config" else {key: each})}))
        edit_json(directory / "config.json", image_processor_type=each if key == "config" else None)
        with opened_files() as opened:
            assert published_image_processor(directory, tmp_path / "out") is None, each
        assert [each for each in opened if str(outside) in each] == []


def test_image_processor_that_has_only_code_is_refused(tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "source")
    (directory / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    settings = {"auto_map": {"AutoImageProcessor": "code.OurImageProcessor"}}
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    assert published_image_processor(directory, tmp_path / "out") is None
    assert not (tmp_path / "ran").exists()


def test_image_processor_settings_of_any_type_are_bounded(tmp_path: Path) -> None:
    directory = checkpoints.dinov2(tmp_path / "source")
    path = directory / "preprocessor_config.json"
    before = read_json(path)
    sizes: tuple[object, ...] = (10**9, 0, {"height": 10**9, "width": 1}, {"shortest_edge": 10**9})
    refused = 0
    for name in image_processor.SETTINGS:
        for value in (*VALUES, *sizes):
            path.write_text(json.dumps({**before, name: value}))
            found = published_image_processor(directory, tmp_path / "out")
            refused += found is None
            assert found is None or len(found) < 10_000, name
    assert refused > 200


@pytest.mark.parametrize("content", ["[" * 200_000, " " * 20_000_000, '{"size": NaN}', "\x00"])
def test_image_processor_with_strange_content_is_refused(content: str, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "source")
    (directory / "preprocessor_config.json").write_text(content)
    assert published_image_processor(directory, tmp_path / "out") is None


# The whole action


def test_action_publishes_no_file_of_the_machine(
    action: Action, hub: LocalHub, outside: Path, tmp_path: Path
) -> None:
    decoders: dict[str, dict[str, Any]] = {
        "files": dict.fromkeys(("vocab_file", "tokenizer_file"), str(outside / "vocab.txt")),
        "class": {
            **{"tokenizer_class": "MarianTokenizer", "vocab": str(outside / "vocab.json")},
            **dict.fromkeys(("source_spm", "target_spm"), str(outside / "vocab.json")),
        },
        "code": {"auto_map": {"AutoTokenizer": ["other/repo--code.X", None]}},
        "tokens": {"additional_special_tokens": ["\x1b]0;title\x07", "::error::x\n::stop::"]},
        "japanese": {
            **{"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"},
            "mecab_kwargs": {"mecab_option": f"-r {outside / 'vocab.txt'}"},
        },
    }
    for name, settings in decoders.items():
        directory = checkpoints.bert(tmp_path / name, tokenizer="slow")
        edit_json(directory / "tokenizer_config.json", **settings)
        publish(hub, f"team/bert-{name}", directory)
    encoder = checkpoints.vit(tmp_path / "encoder")
    processor = {"image_processor_type": "OneFormerImageProcessor", "num_text": 1}
    remote = processor | {"repo_path": "team/vit", "class_info_file": "config.json"}
    local = processor | {"repo_path": str(outside), "class_info_file": "classes.json"}
    for name, settings in {"remote": remote, "local": local}.items():
        (encoder / "preprocessor_config.json").write_text(json.dumps(settings))
        publish(hub, f"team/vit-{name}", encoder)
    hub.requests.clear()

    run = action.run(
        [
            *(pair(f"owner/x-{name}", decoder=f"team/bert-{name}") for name in decoders),
            *(pair(f"owner/x-{name}", encoder=f"team/vit-{name}") for name in ("remote", "local")),
        ]
    )

    assert actions_of(run) == ["built", "refused", "built", "built", *["refused"] * 3]
    for row in rows_of(run):
        if row["action"] == "refused":
            assert row["codes"] == [ErrorCode.PROCESSOR_NOT_USABLE]
        else:
            files = download(hub, row["repo"], tmp_path / row["repo"])
            for name in files.keys() - {"model.safetensors", "flax_model.msgpack"}:
                assert SECRET.encode() not in files[name], name
                assert str(outside).encode() not in files[name], name
            config = json.loads(files["tokenizer_config.json"])
            assert not config.keys() & {"auto_map", "vocab_file", "tokenizer_file"}
    assert "\x1b]" not in run.log
    assert SECRET not in run.log + run.summary
    only_commands(run, "add-mask", "warning", "error", "notice")
    assert len([each for each in annotations(run) if each.name == "error"]) == 4
    asked = {exchange.path.split("?")[0] for exchange in hub.requests}
    assert [path for path in asked if "other/repo" in path or "class_info" in path] == []
