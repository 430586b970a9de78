"""Token ids come from the manifest, the decoder's files or its tokenizer, and are checked."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AddedToken, AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from tests import checkpoints
from tests.checkpoints import bert, gpt2, roberta, vit
from tests.support.building import assemble_pair, edit_json, read_json, source
from tests.support.raising import raises
from ved.assembly.config_files import load_config
from ved.assembly.processing_files import TokenizerFiles
from ved.assembly.special_tokens import DecoderSettings, SpecialTokens, TokenId, TokenIds
from ved.assembly.token_search import resolve_special_tokens
from ved.assembly.tokenizer import prepare_tokenizer
from ved.errors import ErrorCode, VedError
from ved.manifest.settings import CheckpointSettings

pytestmark = pytest.mark.hub

ORIGIN = "org/decoder"


def decoder(
    family: str, directory: Path, *, generation: dict[str, Any] | None = None, **options: Any
) -> tuple[DecoderSettings, TokenizerFiles]:
    """Return settings and tokenizer of a family's sample checkpoint.

    Args:
        family: the family.
        directory: the directory to write the checkpoint to.
        generation: the content of generation_config.json, if there should be one.
        options: options of the sample.
    """
    checkpoints.DECODERS[family](directory, **options)
    path = directory / "generation_config.json"
    path.unlink(missing_ok=True)
    if generation is not None:
        path.write_text(json.dumps(generation))
    return read(directory)


def read(directory: Path) -> tuple[DecoderSettings, TokenizerFiles]:
    """Return settings and tokenizer of the decoder in a directory."""
    found = source("decoder", directory)
    resolved = found.resolved
    tokenizer = prepare_tokenizer(directory, resolved.config, resolved.family, ORIGIN)
    return DecoderSettings(resolved.config, resolved.generation, load_config(found)), tokenizer


def resolve(
    settings: DecoderSettings, tokenizer: TokenizerFiles, wanted: dict[str, int] | None = None
) -> SpecialTokens:
    return resolve_special_tokens(wanted or {}, settings, tokenizer, ORIGIN)


def refused(
    settings: DecoderSettings, tokenizer: TokenizerFiles, wanted: dict[str, int] | None = None
) -> list[str]:
    """Return the problems of token ids that are refused."""
    with pytest.raises(VedError) as caught:
        resolve(settings, tokenizer, wanted)
    assert caught.value.code == ErrorCode.TOKEN_IDS
    assert ORIGIN in caught.value.cause
    assert "token_ids: {decoder_start: ..., pad: ..., eos: ...}" in caught.value.remedy
    return caught.value.cause.split(";")


def ids(found: TokenIds) -> tuple[int, int, int]:
    return found.decoder_start.id, found.pad.id, found.eos.id


@pytest.mark.parametrize(
    ("family", "tokens", "origins"),
    [
        (
            "gpt2",
            ("<|endoftext|>",) * 3,
            ("bos_token_id of the decoder's config",)
            + ("eos_token_id of the decoder's config",) * 2,
        ),
        (
            "bert",
            ("[CLS]", "[PAD]", "[SEP]"),
            (
                "cls_token of the tokenizer",
                "pad_token_id of the decoder's config",
                "sep_token of the tokenizer",
            ),
        ),
        *(
            (
                family,
                (start, "<pad>", "</s>"),
                (
                    f"{name} of the decoder's config",
                    "pad_token_id of the decoder's config",
                    "eos_token_id of the decoder's config",
                ),
            )
            for family, start, name in (
                ("roberta", "<s>", "bos_token_id"),
                ("xlm-roberta", "<s>", "bos_token_id"),
                ("roberta-prelayernorm", "<s>", "bos_token_id"),
                ("bart", "</s>", "decoder_start_token_id"),
                ("trocr", "</s>", "decoder_start_token_id"),
                ("xglm", "</s>", "decoder_start_token_id"),
            )
        ),
        (
            "mbart",
            ("en_XX", "<pad>", "</s>"),
            (
                "the last token of each encoded text",
                "pad_token_id of the decoder's config",
                "eos_token_id of the decoder's config",
            ),
        ),
    ],
)
def test_token_ids_of_each_family_have_their_origins(
    family: str, tokens: tuple[str, ...], origins: tuple[str, ...], tmp_path: Path
) -> None:
    config, tokenizer = decoder(family, tmp_path)
    resolved = resolve(config, tokenizer)
    found = resolved.ids
    assert tuple(token["token"] for token in asdict(found).values()) == tokens
    assert tuple(token["origin"] for token in asdict(found).values()) == origins
    assert ids(found) == tuple(map(tokenizer.tokens.index, tokens))
    assert found.pad_is_eos == (family == "gpt2")
    assert not resolved.warnings


@pytest.mark.parametrize(
    ("settings", "config", "start"),
    [
        ({}, {}, "en_XX"),
        ({"src_lang": "ro_RO"}, {}, "ro_RO"),
        ({"src_lang": "ro_RO", "tokenizer_class": "MBart50Tokenizer"}, {}, "</s>"),
        ({}, {"decoder_start_token_id": 2}, "</s>"),
    ],
)
def test_mbart_starts_with_the_last_token_of_a_text(
    settings: dict[str, Any], config: dict[str, Any], start: str, tmp_path: Path
) -> None:
    checkpoints.mbart(tmp_path, tokenizer="slow", config={"vocab_size": 400, **config})
    edit_json(tmp_path / "tokenizer_config.json", **settings)
    found = resolve(*read(tmp_path))
    assert found.ids.decoder_start.token == start
    assert not found.warnings


@pytest.mark.parametrize("role", ["decoder_start", "pad", "eos"])
def test_token_ids_of_the_manifest_replace_single_ids(role: str, tmp_path: Path) -> None:
    settings, tokenizer = decoder("roberta", tmp_path)
    without = asdict(resolve(settings, tokenizer).ids)
    mask = tokenizer.token_ids["mask"]
    tokens = resolve(settings, tokenizer, {role: mask})
    expected = {"id": mask, "token": "<mask>", "origin": "the manifest"}
    assert asdict(tokens.ids) == without | {role: without[role] | expected}
    assert not tokens.warnings


@pytest.mark.parametrize("role", ["decoder_start", "pad", "eos"])
def test_ordinary_token_ids_of_the_manifest_are_warned_of(role: str, tmp_path: Path) -> None:
    settings, tokenizer = decoder("roberta", tmp_path)
    tokens = resolve(settings, tokenizer, {role: 5})
    assert asdict(tokens.ids)[role]["id"] == 5
    (warning,) = tokens.warnings
    assert f"{role} to 5" in warning


def test_token_ids_of_the_tokenizer_come_last(tmp_path: Path) -> None:
    settings, tokenizer = decoder("bert", tmp_path, config={"pad_token_id": None})
    tokens = resolve(settings, tokenizer)
    assert ids(tokens.ids) == tuple(tokenizer.token_ids[name] for name in ("cls", "pad", "sep"))
    assert (tokens.warnings, tokens.bos) == ((), None)


def test_token_ids_may_be_zero(tmp_path: Path) -> None:
    config = {"decoder_start_token_id": 3, "pad_token_id": 1}
    settings, tokenizer = decoder("roberta", tmp_path, config=config)
    assert ids(resolve(settings, tokenizer, {"decoder_start": 0}).ids) == (0, 1, 2)


@pytest.mark.parametrize(
    ("family", "lacking"),
    [
        ("gpt2", ("bos_token_id", "eos_token_id")),
        ("roberta", ("bos_token_id", "pad_token_id", "eos_token_id")),
        ("bart", ("bos_token_id", "eos_token_id", "decoder_start_token_id")),
    ],
)
def test_defaults_of_a_class_are_not_token_ids(
    family: str, lacking: tuple[str, ...], tmp_path: Path
) -> None:
    checkpoints.DECODERS[family](tmp_path)
    (tmp_path / "generation_config.json").unlink(missing_ok=True)
    config = {k: v for k, v in read_json(tmp_path / "config.json").items() if k not in lacking}
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings, tokenizer = read(tmp_path)
    tokens = resolve(settings, tokenizer)
    assert tokens.bos == tokenizer.token_ids["bos"]
    assert tokens.ids.eos.id == tokenizer.token_ids["eos"]
    assert tokens.ids.decoder_start.id == tokenizer.token_ids["bos"]
    for role in ("decoder_start", "eos"):
        assert asdict(tokens.ids)[role]["origin"].endswith("of the tokenizer")


# Contradictions


@pytest.mark.parametrize(
    ("family", "config", "expected"),
    [
        # GPT-2 with a tokenizer of its own: the ids of its config are ordinary words there.
        ("gpt2", {"bos_token_id": 100, "eos_token_id": 100}, (384, 384, 384)),
        ("gpt2", {"bos_token_id": 384, "eos_token_id": 7}, (384, 384, 384)),
        ("roberta", {"eos_token_id": 50}, (0, 1, 2)),
        ("roberta", {"pad_token_id": 3}, (0, 1, 2)),  # the unknown token: special, but not pad
        ("roberta", {"bos_token_id": 60, "pad_token_id": 61, "eos_token_id": 62}, (0, 1, 2)),
        ("bart", {"decoder_start_token_id": 40}, (0, 1, 2)),
        ("bert", {"pad_token_id": 70}, (2, 0, 3)),
        ("bert", {"bos_token_id": 71, "eos_token_id": 72}, (2, 0, 3)),
    ],
)
def test_tokens_that_the_tokenizer_names_replace_others_with_a_warning(
    family: str, config: dict[str, int], expected: tuple[int, ...], tmp_path: Path
) -> None:
    settings, tokenizer = decoder(family, tmp_path, config=config)
    tokens = resolve(settings, tokenizer)
    assert ids(tokens.ids) == expected
    for name, number in config.items():
        if number != tokenizer.token_ids.get("bos"):
            (warning,) = [each for each in tokens.warnings if f"{name} of the" in each]
            assert f" says {number} (" in warning
            assert "token_ids: {" in warning


def test_special_tokens_of_the_config_are_taken_if_the_tokenizer_names_none(
    tmp_path: Path,
) -> None:
    config = {"decoder_start_token_id": 1, "eos_token_id": 4}  # BERT's tokenizer names no bos, eos
    settings, tokenizer = decoder("bert", tmp_path, config=config)
    tokens = resolve(settings, tokenizer)
    assert ids(tokens.ids) == (1, 0, 4)
    assert not tokens.warnings


@pytest.mark.parametrize("role", ["pad", "eos", "bos"])
def test_ids_of_the_generation_config_follow_those_of_the_config(role: str, tmp_path: Path) -> None:
    name = f"{role}_token_id"
    mask = checkpoints_mask(tmp_path / "plain")
    stated = {name: mask}
    settings, tokenizer = decoder("roberta", tmp_path / "both", generation=stated)
    tokens = resolve(settings, tokenizer)
    assert ids(tokens.ids) == (0, 1, 2)
    (warning,) = tokens.warnings
    assert f"{name} of the decoder's generation config says {mask}" in warning

    # RoBERTa's config cannot lack the pad id, and BART has the same special tokens.
    config = {name: None, "decoder_start_token_id": None}
    settings, tokenizer = decoder("bart", tmp_path / "alone", config=config, generation=stated)
    nameless = replace(tokenizer, token_ids={"mask": mask}, settings=tokenizer.settings)
    tokens = resolve(settings, nameless)
    found = tokens.ids.decoder_start if role == "bos" else asdict_of(tokens.ids, role)
    assert (found.id, found.origin) == (mask, f"{name} of the decoder's generation config")


def checkpoints_mask(directory: Path) -> int:
    """Return the id of `<mask>` in the sample of RoBERTa."""
    return decoder("roberta", directory)[1].token_ids["mask"]


def asdict_of(found: TokenIds, role: str) -> TokenId:
    token = getattr(found, role)
    assert isinstance(token, TokenId)
    return token


@pytest.mark.parametrize(
    ("stated", "expected"), [([4, 2], 2), ([2, 4], 2), ([2], 2), ([40, 2], 2), ([5000, 2], 2)]
)
def test_token_ids_take_the_named_one_of_several_eos_tokens(
    stated: list[int], expected: int, tmp_path: Path
) -> None:
    settings, tokenizer = decoder("roberta", tmp_path, config={"eos_token_id": stated})
    tokens = resolve(settings, tokenizer)
    assert tokens.ids.eos.id == expected
    assert len(tokens.warnings) == (len(stated) > 1)


@pytest.mark.parametrize("has_row", [True, False])
def test_pad_token_of_the_tokenizer_comes_before_eos(has_row: bool, tmp_path: Path) -> None:
    size = {"vocab_size": 386} if has_row else {}
    gpt2(tmp_path, config=size)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(tmp_path)
    tokens = resolve(*read(tmp_path))
    assert tokens.ids.pad.id == (385 if has_row else 384)
    assert tokens.ids.pad.script == 384
    assert [ErrorCode.TOKEN_IDS for each in tokens.warnings if "385" in each] == (
        [] if has_row else [ErrorCode.TOKEN_IDS]
    )


def test_token_ids_have_what_the_script_takes(tmp_path: Path) -> None:
    settings, tokenizer = decoder("bert", tmp_path / "bert")
    found = resolve(settings, tokenizer).ids
    assert (found.decoder_start.script, found.pad.script, found.eos.script) == (None, 0, None)
    settings, tokenizer = decoder("gpt2", tmp_path / "gpt2", config={"eos_token_id": 9})
    found = resolve(settings, tokenizer).ids
    assert (found.decoder_start.script, found.pad.script, found.eos.script) == (384, 9, 9)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, 384),
        ({"bos_token_id": 50256}, None),
        ({"bos_token_id": 20}, None),
        ({"bos_token_id": "384"}, None),
    ],
)
def test_bos_is_a_special_token_or_absent(
    config: dict[str, Any], expected: int | None, tmp_path: Path
) -> None:
    gpt2(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    edit_json(tmp_path / "config.json", **config)
    settings, tokenizer = read(tmp_path)
    nameless = replace(tokenizer, token_ids={"eos": 384})
    tokens = resolve(settings, nameless, {"decoder_start": 384})
    assert tokens.bos == expected
    assert ["bos_token_id of the decoder's config" in each for each in tokens.warnings] == (
        [] if expected else [True]
    )


# Errors


def test_token_ids_error_names_every_problem(tmp_path: Path) -> None:
    settings, tokenizer = decoder(
        "gpt2", tmp_path, config={"vocab_size": 400, "eos_token_id": 5000}
    )
    problems = refused(settings, tokenizer, {"decoder_start": 390, "pad": 400})
    for problem, parts in zip(
        problems,
        (("decoder_start 390", "the manifest"), ("eos", "384"), ("pad 400", "the manifest")),
        strict=True,
    ):
        assert all(part in problem for part in parts)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"pad_token_id": 5000}, "pad 5000 (from pad_token_id of the decoder's config)"),
        ({"eos_token_id": -1}, "eos -1 (from eos_token_id of the decoder's config)"),
        ({"eos_token_id": 384.0}, "eos_token_id of the decoder's config is 384.0"),
        ({"pad_token_id": True}, "pad_token_id of the decoder's config is True"),
        ({"bos_token_id": "384"}, "bos_token_id of the decoder's config is '384'"),
        ({"pad_token_id": [384]}, "pad_token_id of the decoder's config is [384]"),
    ],
)
def test_token_ids_refuse_unusable_ids_of_the_config(
    config: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    gpt2(tmp_path)
    edit_json(tmp_path / "config.json", **config)
    settings, tokenizer = read(tmp_path)
    assert any(problem in each for each in refused(settings, tokenizer))


@pytest.mark.parametrize("number", [7, 100, 383])
def test_ordinary_tokens_are_refused_if_the_tokenizer_names_none(
    number: int, tmp_path: Path
) -> None:
    ids_in_config = {"bos_token_id": number, "eos_token_id": number, "pad_token_id": number}
    settings, tokenizer = decoder("gpt2", tmp_path, config=ids_in_config)
    nameless = replace(tokenizer, token_ids={})
    assert len(refused(settings, nameless)) == 3
    wanted = {"decoder_start": number, "pad": number, "eos": number}
    assert ids(resolve(settings, nameless, wanted).ids) == (number,) * 3


def test_token_ids_refuse_tokens_without_an_embedding(tmp_path: Path) -> None:
    settings, tokenizer = decoder("gpt2", tmp_path, extra_tokens=2)
    extra = tokenizer.tokens.index("<extra_0>")
    (problem,) = refused(settings, tokenizer, {"pad": extra})
    assert f"pad {extra} " in problem
    assert f"vocabulary of {extra}" in problem


# In the checkpoint


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("gpt2", {}),
        ("gpt2", {"decoder_start": 10, "pad": 11, "eos": 12}),
        ("bert", {}),
        ("bert", {"eos": 6}),
        ("bart", {"pad": 4}),
    ],
)
def test_token_ids_are_in_configs_and_tokenizer(
    family: str, wanted: dict[str, int], tmp_path: Path
) -> None:
    directory = checkpoints.DECODERS[family](tmp_path / "decoder")
    settings = CheckpointSettings(token_ids=wanted)
    checkpoint = assemble_pair(vit(tmp_path / "encoder"), directory, tmp_path / "out", settings)
    found = checkpoint.token_ids
    config = AutoConfig.from_pretrained(tmp_path / "out")
    for part in (config, config.decoder):
        assert (part.decoder_start_token_id, part.pad_token_id, part.eos_token_id) == ids(found)
    generation = read_json(tmp_path / "out" / "generation_config.json")
    assert {f"{role}_token_id": token["id"] for role, token in asdict(found).items()}.items() <= (
        generation.items()
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (tokenizer.pad_token, tokenizer.eos_token) == (found.pad.token, found.eos.token)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (found.pad.id, found.eos.id)
    assert {role: token["id"] for role, token in asdict(found).items() if role in wanted} == wanted


@pytest.mark.parametrize("family", ["trocr", "pegasus"])
def test_token_ids_of_the_manifest_replace_unusable_ones(family: str, tmp_path: Path) -> None:
    directory = checkpoints.DECODERS[family](tmp_path / "decoder")
    edit_json(directory / "config.json", pad_token_id=-1)
    (directory / "generation_config.json").unlink(missing_ok=True)
    encoder, settings = vit(tmp_path / "encoder"), CheckpointSettings(token_ids={"pad": 1})
    with raises(ErrorCode.TOKEN_IDS):
        assemble_pair(encoder, directory, tmp_path / "refused")
    checkpoint = assemble_pair(encoder, directory, tmp_path / "out", settings)
    assert checkpoint.token_ids.pad.id == 1


def test_pad_id_of_roberta_decoder_stays_that_of_its_positions(
    tmp_path: Path,
) -> None:
    pair = vit(tmp_path / "encoder"), roberta(tmp_path / "decoder")
    assemble_pair(*pair, tmp_path / "out", CheckpointSettings(token_ids={"pad": 7}))
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert (config.pad_token_id, config.decoder.pad_token_id) == (7, 1)
    assert read_json(tmp_path / "out" / "generation_config.json")["pad_token_id"] == 7
    assert AutoTokenizer.from_pretrained(tmp_path / "out").pad_token_id == 7


def test_tokenizer_pads_with_the_pad_id(tmp_path: Path) -> None:
    settings = CheckpointSettings(token_ids={"pad": 3})
    pair = vit(tmp_path / "encoder"), gpt2(tmp_path / "decoder")
    assemble_pair(*pair, tmp_path / "out", settings)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    short, _ = tokenizer(["a", "a longer text"], padding=True).input_ids
    assert short[-1] == 3


def test_unusable_token_ids_stop_assembly_before_files_are_written(tmp_path: Path) -> None:
    pair = vit(tmp_path / "encoder"), bert(tmp_path / "decoder")
    with pytest.raises(VedError) as caught:
        assemble_pair(*pair, tmp_path / "out", CheckpointSettings(token_ids={"pad": 10**6}))
    assert caught.value.code == ErrorCode.TOKEN_IDS
    assert not list((tmp_path / "out").iterdir())


TEXT = "a red  square, <s> </s> [CLS] [SEP] <|endoftext|> 1 + 2 = 3; is it blue?"


@pytest.mark.parametrize(
    ("family", "config"),
    [
        *((family, {}) for family in checkpoints.DECODERS),
        ("gpt2", {"bos_token_id": 100, "eos_token_id": 100}),
        ("roberta", {"pad_token_id": 60, "eos_token_id": 61}),
        ("bert", {"eos_token_id": 70}),
    ],
)
def test_published_tokenizer_treats_texts_as_that_of_the_source(
    family: str, config: dict[str, int], tmp_path: Path
) -> None:
    directory = checkpoints.DECODERS[family](tmp_path / "decoder", config=config)
    # The classes of transformers 5 do not always follow tokenizer.json, and this one does.
    before = PreTrainedTokenizerFast.from_pretrained(directory)
    assemble_pair(vit(tmp_path / "encoder"), directory, tmp_path / "out")
    after = AutoTokenizer.from_pretrained(tmp_path / "out")
    words = [
        before.decode([number])
        for number in range(0, len(before), 3)
        if number not in before.all_special_ids
    ]
    for text in (TEXT, " ".join(words), "".join(words), " ".join(before.all_special_tokens)):
        encoded = before(text).input_ids
        assert after(text).input_ids == encoded
        for skip in (True, False):
            assert after.decode(encoded, skip_special_tokens=skip) == before.decode(
                encoded, skip_special_tokens=skip
            )
    assert {*before.all_special_ids} == {*after.all_special_ids}


def test_published_tokenizer_keeps_an_own_pad_token(tmp_path: Path) -> None:
    directory = gpt2(tmp_path / "decoder", config={"vocab_size": 386})
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.add_special_tokens({"pad_token": AddedToken("[PAD]", special=True)})
    tokenizer.save_pretrained(directory)
    assemble_pair(vit(tmp_path / "encoder"), directory, tmp_path / "out")
    after = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (after.pad_token, after.pad_token_id) == ("[PAD]", 385)
    assert after("a [PAD] b").input_ids == tokenizer("a [PAD] b").input_ids
    assert read_json(tmp_path / "out" / "generation_config.json")["pad_token_id"] == 385
