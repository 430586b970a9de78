"""The model card: the Hub takes it, and what it says is so; `test_snippets` runs its code."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from safetensors import safe_open
from transformers import GPT2TokenizerFast

from tests import checkpoints
from tests.support.publishing import (
    asked_for,
    build_locally,
    build_pair,
    client,
    download,
    files_of,
    heads,
    manifest,
    markdown,
    pair,
    publish,
    tables,
)
from ved.localhub import LocalHub
from ved.publishing import repos
from ved.record import build_record
from ved.record.build_record import RecordedLedger, RecordedSnapshot
from ved.record.card import card_digest, render_card
from ved.sources.metadata import SourceMetadata
from ved.sources.snapshot import Snapshot

DECODERS = ("gpt2", "bert", "roberta", "bart")
SOURCES = ("part", "family", "source")
FRESH = ("parameters", "why fresh")
TOKEN_IDS = ("role", "id", "token", "from")
RUNS = ("what", "works", "remark")
SIZES = ("", "encoder", "decoder")
LICENCES = ("", "states")
GPL = {"license": "gpl-3.0"}
PAD_IS_EOS = "Pad and eos are the same token."


@dataclass(frozen=True)
class Card:
    """A card as the Hub serves it, with what is beside it."""

    text: str
    record: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = ModelCard(self.text).data.to_dict()  # type: ignore[no-untyped-call]
        return metadata


def card_of(hub: LocalHub, entry: Mapping[str, Any], folder: Path) -> Card:
    """Publish a pair, and return its card; a folder is for local sources, and for downloads."""
    result = build_pair(hub, entry, folder=folder)
    assert result.action == "built", result.reason
    files = download(hub, result.pair.repo, folder)
    record, config = (json.loads(files[name]) for name in ("ved.json", "config.json"))
    return Card(files["README.md"].decode(), record, config)


def stated(card: Card) -> list[str]:
    """Return the licences that a card says encoder, decoder and checkpoint to state."""
    return [licence for _, licence in tables(card.text)[LICENCES]]


def parameters_of(ledger: Mapping[str, Any], directory: Path) -> int:
    """Return how many numbers the tensors hold that a ledger says were copied."""
    with safe_open(directory / "model.safetensors", "numpy") as file:
        tensors = [copied["tensor"] for copied in ledger["copied"].values()]
        return sum(math.prod(file.get_slice(name).get_shape()) for name in tensors)


@pytest.fixture(scope="module")
def cards(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Card]:
    """Publish team/vit with each sample decoder."""
    folder = tmp_path_factory.mktemp("cards")
    entries = {name: pair(f"owner/card-{name}", decoder=f"team/{name}") for name in DECODERS}
    return {name: card_of(module_hub, entry, folder) for name, entry in entries.items()}


# Metadata


def test_metadata_is_complete_and_the_hub_takes_it(hub: LocalHub, tmp_path: Path) -> None:
    keys = {"license": "apache-2.0", "language": ["en", "no"], "tags": ["captioning", "ved"]}
    card = card_of(hub, pair("owner/card-of-all", **keys), tmp_path)

    assert card.metadata == {
        "base_model": ["team/vit", "team/gpt2"],
        "library_name": "transformers",
        "pipeline_tag": "image-to-text",
        "license": "apache-2.0",
        "language": ["en", "no"],
        "tags": ["vision-encoder-decoder", "warm-start", "ved", "captioning"],
        "ved": {name: card.record[name] for name in ("fingerprint", "card_digest")},
    }
    checks = [exchange.status for exchange in hub.requests if "validate-yaml" in exchange.path]
    # Once in the plan, once with the commit.
    assert checks == [200, 200]
    info = client(hub).model_info("owner/card-of-all")
    assert info.pipeline_tag == "image-to-text"
    assert {"license:apache-2.0", "base_model:team/vit", "no"} <= set(info.tags or ())


def test_one_listing_tells_the_state_of_every_card(cards: dict[str, Card], hub: LocalHub) -> None:
    listed = repos.list_repos("owner", client(hub))
    for name, card in cards.items():
        found = listed[f"owner/card-{name}"]
        assert (found.fingerprint, found.card_digest) == (
            card.record["fingerprint"],
            card.record["card_digest"],
        )
    assert len({found.fingerprint for found in listed.values()}) >= len(DECODERS)


def test_no_licence_is_stated_that_the_manifest_does_not_state(cards: dict[str, Card]) -> None:
    assert "license" not in cards["gpt2"].metadata
    assert "No licence is stated here." in cards["gpt2"].text
    # Not even the one that both sources have.
    assert "license" not in cards["bert"].metadata
    assert stated(cards["bert"]) == ["apache-2.0", "apache-2.0", "no licence"]


def test_a_language_that_the_sources_agree_on_is_carried_over(
    cards: dict[str, Card], hub: LocalHub, tmp_path: Path
) -> None:
    # The encoder says nothing of languages.
    assert cards["gpt2"].metadata["language"] == ["en"]
    card = card_of(hub, pair("owner/card-in-norwegian", language="no"), tmp_path)
    assert card.metadata["language"] == ["no"]


def test_a_license_that_is_given_is_stated(hub: LocalHub, tmp_path: Path) -> None:
    card = card_of(hub, pair("owner/card-with-license", license="mit"), tmp_path)
    assert card.metadata["license"] == "mit"
    assert "No licence is stated here." not in card.text


def test_local_directories_are_no_base_models(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(sources["vit"], tmp_path / "a|`<b>`")
    entry = pair("owner/card-of-directories", encoder="./a|`<b>`")
    card = card_of(hub, entry, tmp_path)
    assert card.metadata["base_model"] == ["team/gpt2"]
    assert ["encoder", "vit", "local directory ./a|`<b>`"] in tables(card.text)[SOURCES]

    both = {"encoder": "./a|`<b>`", "decoder": str(sources["gpt2"])}
    card = card_of(hub, pair("owner/card-of-directories", **both), tmp_path)
    assert not card.metadata.keys() & {"base_model", "language", "license"}
    nothing = "nothing that VED reads: it is a local directory"
    assert stated(card) == [nothing, nothing, "no licence"]
    assert "for attribution at most" not in card.text


# Text


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_card_says_that_it_is_not_trained(decoder: str, cards: dict[str, Card]) -> None:
    assert "**warm-started, not trained**" in cards[decoder].text
    assert "does nothing useful before it is fine-tuned" in cards[decoder].text


@pytest.mark.parametrize("decoder", DECODERS)
def test_sources_are_named_at_their_commits(
    decoder: str, cards: dict[str, Card], hub: LocalHub
) -> None:
    commits = {name: heads(hub)[f"team/{name}"] for name in ("vit", decoder)}
    assert tables(cards[decoder].text)[SOURCES] == [
        ["encoder", "vit", f"team/vit at commit {commits['vit']}"],
        ["decoder", decoder, f"team/{decoder} at commit {commits[decoder]}"],
    ]
    links = {token.attrGet("href") for token in markdown(cards[decoder].text)}
    for name, commit in commits.items():
        assert f"{hub.endpoint}/team/{name}/tree/{commit}" in links


def test_a_config_of_another_repo_is_named(hub: LocalHub, tmp_path: Path) -> None:
    commit = publish(hub, "team/card-config", checkpoints.vit(tmp_path / "config"))
    encoder = {"model": "team/vit", "config": "team/card-config"}
    card = card_of(hub, pair("owner/card-of-config", encoder=encoder), tmp_path)
    rows = tables(card.text)[SOURCES]
    assert ["encoder's config", "vit", f"team/card-config at commit {commit}"] in rows


def starts(path: str) -> set[str]:
    """Return a parameter's groups, layers counted as one."""
    parts = ["*" if part.isdigit() else part for part in path.split("/")]
    return {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}


@pytest.mark.parametrize("decoder", ["gpt2", "bert", "roberta"])
def test_fresh_parameters_are_those_of_the_record(decoder: str, cards: dict[str, Card]) -> None:
    card = cards[decoder]
    groups = dict(tables(card.text)[FRESH])
    ledger = card.record["ledger"]["decoder"]
    for path, reason in ledger["initialized"].items():
        (group,) = starts(f"decoder/{path}") & groups.keys()
        assert groups[group] == reason
    for path in ledger["copied"]:
        assert not starts(f"decoder/{path}") & groups.keys()
    assert set(groups.values()) == set(ledger["initialized"].values()) == {"cross-attention"}


def test_without_fresh_parameters_the_card_says_so(cards: dict[str, Card]) -> None:
    assert "None: every parameter is a source's" in cards["bart"].text
    assert not cards["bart"].record["ledger"]["decoder"]["initialized"]


def test_a_projection_and_a_missing_pooler_are_fresh(hub: LocalHub, tmp_path: Path) -> None:
    checkpoints.vit(tmp_path / "wide", hidden_size=48, without=("pooler.",))
    card = card_of(hub, pair("owner/card-of-wide", encoder="./wide", seed=11), tmp_path)
    assert tables(card.text)[FRESH] == [
        ["encoder/pooler", "absent from the source"],
        ["decoder/transformer/h/*/crossattention", "cross-attention"],
        ["decoder/transformer/h/*/ln_cross_attn", "cross-attention"],
        ["enc_to_dec_proj", "projection"],
    ]
    assert "with seed 11" in card.text


@pytest.mark.parametrize("decoder", DECODERS)
def test_token_ids_are_those_of_the_record(decoder: str, cards: dict[str, Card]) -> None:
    recorded = cards[decoder].record["token_ids"]
    assert tables(cards[decoder].text)[TOKEN_IDS] == [
        [shown, str(recorded[role]["id"]), recorded[role]["token"], recorded[role]["origin"]]
        for shown, role in (("decoder start", "decoder_start"), ("pad", "pad"), ("eos", "eos"))
    ]


@pytest.mark.parametrize("decoder", DECODERS)
def test_that_pad_is_eos_is_said_exactly_where_it_is_so(
    decoder: str, cards: dict[str, Card]
) -> None:
    ids = cards[decoder].record["token_ids"]
    assert (ids["pad"]["id"] == ids["eos"]["id"]) == (decoder == "gpt2")
    assert (PAD_IS_EOS in cards[decoder].text) == (decoder == "gpt2")


def test_a_pad_token_of_its_own_takes_the_warning_away(hub: LocalHub, tmp_path: Path) -> None:
    card = card_of(hub, pair("owner/card-with-pad", token_ids={"pad": 1}), tmp_path)
    assert PAD_IS_EOS not in card.text


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_runs_where_is_what_is_known_of_the_family(
    decoder: str, cards: dict[str, Card]
) -> None:
    rows = tables(cards[decoder].text)[RUNS]
    fails = decoder in ("bert", "roberta")
    assert [works for _, works, _ in rows] == ["yes", "no" if fails else "yes", "yes", "yes", "yes"]
    forward, generate, mended, *_ = (remark for _, _, remark in rows)
    assert ("positions are counted from 0" in forward) == (decoder == "roberta")
    assert ("for token type ids" in generate) == fails
    assert ("it mends the above" in mended) == fails
    # With the class that works, at the snippet and at the loop.
    assert cards[decoder].text.count("from ved.modeling import") == (2 if fails else 0)


@pytest.mark.parametrize(
    ("weights", "works", "blocks"),
    [("flax", ["yes", "yes", "yes", "no", "no"], 2), ("safetensors", ["yes"] * 5, 4)],
)
def test_pytorch_is_spoken_of_where_it_has_weights(
    weights: str, works: list[str], blocks: int, hub: LocalHub, tmp_path: Path
) -> None:
    card = card_of(hub, pair(f"owner/card-of-{weights}", weights=weights), tmp_path)
    assert [each for _, each, _ in tables(card.text)[RUNS]] == works
    fences = [token for token in markdown(card.text) if token.type == "fence"]
    assert len([token for token in fences if token.info == "python"]) == blocks
    assert ("PyTorch does not read it" in card.text) == (weights == "flax")
    # The file that is there, and no other.
    assert ("flax_model.msgpack" in card.text) == (weights == "flax")
    assert ("`model.safetensors`, " in card.text) == (weights == "safetensors")


@pytest.mark.parametrize("decoder", DECODERS)
def test_sizes_are_those_of_the_config_and_of_the_weights(
    decoder: str, cards: dict[str, Card], sources: dict[str, Path]
) -> None:
    card = cards[decoder]
    sizes = {label: values for label, *values in tables(card.text)[SIZES]}
    vocabulary = card.config["decoder"]["vocab_size"]
    assert sizes["layers"] == sizes["attention heads"] == ["2", "2"]
    assert (sizes["image size, in pixels"], sizes["vocabulary"][1]) == (
        ["16 x 16", ""],
        f"{vocabulary}",
    )
    ledger = card.record["ledger"]
    copied = [
        parameters_of(ledger[role], sources[name])
        for role, name in (("encoder", "vit"), ("decoder", decoder))
    ]
    assert sizes["copied parameters"] == [f"{number:,}" for number in copied]
    fresh = card.record["parameters"] - sum(copied)
    assert sizes["fresh parameters"] == ["0", f"{fresh:,}"]
    assert f"{card.record['parameters']:,} parameters." in card.text


def test_layers_of_a_bart_are_those_of_its_decoder(hub: LocalHub, tmp_path: Path) -> None:
    checkpoints.bart(tmp_path / "decoder", config={"encoder_layers": 1, "decoder_layers": 3})
    card = card_of(hub, pair("owner/card-of-layers", decoder="./decoder"), tmp_path)
    assert ["layers", "2", "3"] in tables(card.text)[SIZES]


@pytest.mark.parametrize(
    ("dtype", "decoder_dtype", "shown"),
    [("source", "float16", ["float32", "float16"]), ("bfloat16", "float32", ["bfloat16"] * 2)],
)
def test_dtypes_are_those_that_the_weights_have(
    dtype: str, decoder_dtype: Any, shown: list[str], hub: LocalHub, tmp_path: Path
) -> None:
    checkpoints.gpt2(tmp_path / "decoder", dtype=decoder_dtype)
    entry = pair(f"owner/card-in-{dtype}", decoder="./decoder", dtype=dtype)
    card = card_of(hub, entry, tmp_path)
    assert ["dtype", *shown] in tables(card.text)[SIZES]


# Terms


def test_a_gated_source_is_named_and_warned_of(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    publish(hub, "team/card-gated", sources["gpt2"])
    entry = pair("owner/card-of-gated", decoder="team/card-gated")
    assert "is gated" not in card_of(hub, entry, tmp_path).text

    kinds: dict[Any, str] = {"auto": "accept its authors' terms", "manual": "are admitted"}
    for gated, who in kinds.items():
        client(hub).update_repo_settings("team/card-gated", gated=gated)
        # No byte of the weights depends on it, so the card alone is new.
        assert build_pair(hub, entry).action == "card-only"
        text = download(hub, "owner/card-of-gated", tmp_path)["README.md"].decode()
        assert f"**`team/card-gated` is gated:** its files go only to those who {who}" in text

    (warning,) = build_pair(hub, {**entry, "seed": 1}).warnings
    assert "may break the terms" in warning
    assert not build_pair(hub, {**entry, "seed": 2, "private": True}).warnings


def test_licences_that_may_not_go_together_are_a_warning_on_the_card(
    hub: LocalHub, tmp_path: Path
) -> None:
    publish(hub, "team/card-gpl", checkpoints.gpt2(tmp_path / "gpl", license="gpl-3.0"))
    entry = pair("owner/card-of-gpl", decoder="team/card-gpl")
    for keys, stands_against in (({}, True), ({"license": "mit"}, True), (GPL, False)):
        result = build_pair(hub, entry | keys)
        text = download(hub, "owner/card-of-gpl", tmp_path)["README.md"].decode()
        assert ("**Warning:** `team/card-gpl` is under gpl-3.0" in text) == stands_against
        assert ("and the checkpoint states the same" in text) != stands_against
        assert result.action == ("card-only" if keys else "built")


def test_a_record_of_an_older_version_gives_a_card_without_what_it_does_not_tell(
    cards: dict[str, Card],
) -> None:
    old = json.loads(json.dumps(cards["bert"].record))
    for source in old["sources"].values():
        del source["architecture"], source["metadata"]
    for ledger in old["ledger"].values():
        del ledger["contents"]
    text = render_card(build_record.parse_record(json.dumps(old).encode(), "old"))
    assert SIZES not in tables(text)
    assert f"{old['parameters']:,} parameters." in text
    # What it is stored in is not known, so nothing is taken for granted.
    assert ".float()" in text


def test_the_description_comes_first(hub: LocalHub, tmp_path: Path) -> None:
    description = "One sentence.\n\n---\n\n{{ pair.seed }} {% raw %}\n"
    card = card_of(hub, pair("owner/card-with-words", description=description), tmp_path)
    assert f"# card-with-words\n\n{description}" in card.text
    assert card.metadata["base_model"] == ["team/vit", "team/gpt2"]


def test_a_hostile_token_stays_in_its_cell(hub: LocalHub, tmp_path: Path) -> None:
    token = "`|\n| x | <img src=x onerror=alert(1)> [a](https://example.org) ``` \u202e"
    directory = checkpoints.gpt2(
        tmp_path / "decoder", config={"vocab_size": 386, "pad_token_id": 385}
    )
    tokenizer = GPT2TokenizerFast.from_pretrained(directory)
    assert tokenizer.add_special_tokens({"pad_token": token}) == 1
    tokenizer.save_pretrained(directory)

    card = card_of(hub, pair("owner/card-of-a-hostile", decoder="./decoder"), tmp_path)

    shown = token.replace("\n", r"\n").replace("\u202e", r"\u202e")
    assert ["pad", "385", shown, "pad_token_id of the decoder's config"] in tables(card.text)[
        TOKEN_IDS
    ]
    assert card.record["token_ids"]["pad"]["token"] == token
    tokens = markdown(card.text)
    assert not {token.type for token in tokens} & {"html_block", "html_inline", "image"}
    assert not [token for token in tokens if token.attrs and "example.org" in str(token.attrs)]
    assert "## Use" in card.text.splitlines()
    assert "## Verify" in card.text.splitlines()


# What comes from elsewhere


HOSTILE = "`|\n\n# x\n\n| x | <img src=x onerror=alert(1)> [a](https://example.org) ``` \u202e"


def without_words(text: str) -> list[str]:
    """Return a card's structure: the kinds of its tokens, without the text in them."""
    return [token.type for token in markdown(text.split("---", 2)[2])]


def test_what_strangers_named_is_shown_and_not_obeyed(cards: dict[str, Card]) -> None:
    """A record comes back from the Hub, where somebody else may have written it."""
    honest = build_record.parse_record(json.dumps(cards["gpt2"].record).encode(), "here")
    part = honest.ledger["decoder"]
    (copied, *_), (fresh, *_) = part.copied.values(), part.initialized.values()

    def with_names(name: str) -> str:
        local = RecordedSnapshot(name=name)
        source = honest.sources["encoder"]
        update: dict[str, Any] = {"name": name, "commit": None, "config": local}
        ledger = RecordedLedger(
            copied={name: copied.model_copy(update={"file": name, "tensor": name})},
            initialized={name: fresh},
            unused={name: "a buffer"},
        )
        token_ids = {
            role: found.model_copy(update={"token": name})
            for role, found in honest.token_ids.items()
        }
        strange = honest.model_copy(
            update={
                "sources": {**honest.sources, "encoder": source.model_copy(update=update)},
                "ledger": {"encoder": ledger, "decoder": ledger},
                "token_ids": token_ids,
            }
        )
        return render_card(build_record.parse_record(strange.encoded(), "there"))

    text = with_names(HOSTILE)
    assert without_words(text) == without_words(with_names("harmless"))
    tokens = markdown(text)
    assert not {token.type for token in tokens} & {"html_block", "html_inline", "image"}
    assert not [token for token in tokens if token.attrs and "example.org" in str(token.attrs)]
    assert text.count("onerror") > 5


# Other words about the same checkpoint


ENTRY = {"seed": 5, "token_ids": {"pad": 1}, "weights": ["flax", "safetensors"]}
WORDS = {
    **{"description": "Says *more*.", "license": "mit", "language": "en", "tags": ["new"]},
    **{"encoder": "team/vit@main", "weights": ["safetensors", "flax"]},
}


def test_a_new_card_is_byte_for_byte_that_of_a_whole_build(hub: LocalHub, tmp_path: Path) -> None:
    first = build_pair(hub, pair("owner/card-to-renew", **ENTRY))
    entry = pair("owner/card-to-renew") | ENTRY | WORDS
    hub.requests.clear()

    renewed = build_pair(hub, entry)

    assert (first.action, renewed.action) == ("built", "card-only")
    assert renewed.reason == "Only what the model card says has changed."
    assert renewed.fingerprint == first.fingerprint
    assert asked_for(hub, "team/vit") | asked_for(hub, "team/gpt2") == set()
    served = download(hub, "owner/card-to-renew", tmp_path)
    built = files_of(build_locally(hub, entry, tmp_path / "built"))
    assert served == {**built, ".gitattributes": served[".gitattributes"]}
    latest, *_ = client(hub).list_repo_commits("owner/card-to-renew")
    assert (latest.commit_id, latest.title) == (renewed.commit, "Publish model card written by VED")
    assert build_pair(hub, entry).action == "skipped"


def words_of(*, endpoint: str = "http://127.0.0.1", said: object = None, **keys: Any) -> str:
    (entry,) = manifest(pair(**{"repo": "owner/x", **keys})).pairs
    encoder = Snapshot("team/vit", "0" * 40, {}, None)
    decoder = Snapshot("team/gpt2", "0" * 40, {}, None, SourceMetadata.model_validate(said or {}))
    return card_digest(entry, [encoder, decoder], endpoint)


@pytest.mark.parametrize(
    "keys",
    [
        {"repo": "owner/y"},
        {"description": "Words."},
        {"license": "mit"},
        {"language": "en"},
        {"tags": ["a"]},
        {"endpoint": "https://hub.example.org"},
        {"said": {"license": "mit"}},
        {"said": {"gated": "auto"}},
        {"said": {"language": ["en"]}},
        {"said": {"tags": ["a"]}},
    ],
)
def test_all_that_a_card_says_by_itself_is_in_the_digest_of_its_words(keys: dict[str, Any]) -> None:
    assert words_of(**keys) != words_of()


@pytest.mark.parametrize(
    "keys",
    [
        {"seed": 1, "dtype": "float32", "weights": "flax", "token_ids": {"pad": 7}},
        {"encoder": "team/other", "decoder": "team/bart"},
        {"private": True, "adopt": True, "overwrite": True},
    ],
)
def test_nothing_else_is_in_the_digest_of_its_words(keys: dict[str, Any]) -> None:
    assert words_of(**keys) == words_of()
