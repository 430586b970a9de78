"""Token ids come from the manifest, the config or the tokenizer, in this order, and are checked."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoTokenizer

from tests import checkpoints
from tests.checkpoints import bert, gpt2, roberta, vit
from tests.support.building import assemble_pair, read_json, source
from ved.assembly.processing_files import TokenizerFiles
from ved.assembly.special_tokens import TokenIds, resolve_token_ids
from ved.assembly.tokenizer import prepare_tokenizer
from ved.errors import ErrorCode, VedError
from ved.manifest.settings import CheckpointSettings

pytestmark = pytest.mark.hub

ORIGIN = "org/decoder"


def decoder(family: str, directory: Path, **options: Any) -> tuple[Any, TokenizerFiles]:
    """Return config and tokenizer of a family's sample checkpoint."""
    checkpoints.DECODERS[family](directory, **options)
    resolved = source("decoder", directory).resolved
    tokenizer = prepare_tokenizer(directory, resolved.config, resolved.family, ORIGIN)
    return AutoConfig.from_pretrained(directory), tokenizer


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
            )
        ),
    ],
)
def test_token_ids_of_each_family_have_their_origins(
    family: str, tokens: tuple[str, ...], origins: tuple[str, ...], tmp_path: Path
) -> None:
    config, tokenizer = decoder(family, tmp_path)
    found = resolve_token_ids({}, config, tokenizer, ORIGIN)
    assert tuple(token["token"] for token in asdict(found).values()) == tokens
    assert tuple(token["origin"] for token in asdict(found).values()) == origins
    assert ids(found) == tuple(map(tokenizer.tokens.index, tokens))
    assert found.pad_is_eos == (family == "gpt2")


@pytest.mark.parametrize("role", ["decoder_start", "pad", "eos"])
def test_token_ids_of_the_manifest_replace_single_ids(role: str, tmp_path: Path) -> None:
    config, tokenizer = decoder("roberta", tmp_path)
    without = asdict(resolve_token_ids({}, config, tokenizer, ORIGIN))
    found = asdict(resolve_token_ids({role: 5}, config, tokenizer, ORIGIN))
    assert found == without | {
        role: {"id": 5, "token": tokenizer.token(5), "origin": "the manifest"}
    }


def test_token_ids_of_the_config_come_before_the_tokenizers(tmp_path: Path) -> None:
    config, tokenizer = decoder(
        "bert", tmp_path, config={"decoder_start_token_id": 7, "pad_token_id": 8, "eos_token_id": 9}
    )
    assert ids(resolve_token_ids({}, config, tokenizer, ORIGIN)) == (7, 8, 9)


def test_token_ids_of_the_tokenizer_come_last(tmp_path: Path) -> None:
    config, tokenizer = decoder("bert", tmp_path, config={"pad_token_id": None})
    expected = tuple(tokenizer.token_ids[name] for name in ("cls", "pad", "sep"))
    assert ids(resolve_token_ids({}, config, tokenizer, ORIGIN)) == expected


def test_token_ids_may_be_zero(tmp_path: Path) -> None:
    config, tokenizer = decoder(
        "roberta", tmp_path, config={"decoder_start_token_id": 3, "pad_token_id": 0}
    )
    assert ids(resolve_token_ids({"decoder_start": 0}, config, tokenizer, ORIGIN)) == (0, 0, 2)


def test_token_ids_take_the_first_of_several_eos_tokens(tmp_path: Path) -> None:
    config, tokenizer = decoder("roberta", tmp_path, config={"eos_token_id": [6, 2]})
    found = resolve_token_ids({}, config, tokenizer, ORIGIN)
    assert found.eos.id == 6


def test_token_ids_error_names_every_problem(tmp_path: Path) -> None:
    config, tokenizer = decoder("gpt2", tmp_path, config={"vocab_size": 400, "eos_token_id": None})
    wanted = {"decoder_start": 390, "pad": 400}
    with pytest.raises(VedError) as caught:
        resolve_token_ids(wanted, config, tokenizer, ORIGIN)
    assert caught.value.code == ErrorCode.TOKEN_IDS
    assert ORIGIN in caught.value.cause
    problems = caught.value.cause.split(";")
    for problem, parts in zip(
        problems,
        (("decoder_start 390", "the manifest"), ("pad 400", "the manifest"), ("eos",)),
        strict=True,
    ):
        assert all(part in problem for part in parts)
    assert "token_ids: {decoder_start: ..., pad: ..., eos: ...}" in caught.value.remedy


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"pad_token_id": 5000}, "pad 5000 (from pad_token_id of the decoder's config)"),
        ({"eos_token_id": -1}, "eos -1 (from eos_token_id of the decoder's config)"),
        ({"eos_token_id": []}, "eos"),
    ],
)
def test_token_ids_refuse_unusable_ids_of_the_config(
    config: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    changed, tokenizer = decoder("gpt2", tmp_path, config=config)
    with pytest.raises(VedError) as caught:
        resolve_token_ids({}, changed, tokenizer, ORIGIN)
    assert caught.value.code == ErrorCode.TOKEN_IDS
    assert problem in caught.value.cause


def test_token_ids_refuse_tokens_without_an_embedding(tmp_path: Path) -> None:
    config, tokenizer = decoder("gpt2", tmp_path, extra_tokens=2)
    extra = tokenizer.tokens.index("<extra_0>")
    with pytest.raises(VedError, match=f"pad {extra} .*vocabulary of {extra}") as caught:
        resolve_token_ids({"pad": extra}, config, tokenizer, ORIGIN)
    assert caught.value.code == ErrorCode.TOKEN_IDS


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
