"""The model card: the Hub accepts it, and it is true; `test_snippets` runs its code."""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it.token import Token
from safetensors import safe_open
from transformers import GPT2TokenizerFast

import ved
from tests import checkpoints
from tests.support.building import edit_json
from tests.support.heads import decoder_with_head
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
from ved.families import papers
from ved.families import table as families
from ved.families.overview import overview
from ved.localhub import LocalHub
from ved.publishing import repos
from ved.record import BuildRecord, RecordedLedger, RecordedSnapshot, build_record, picture
from ved.record.card import card_digest, render_card
from ved.sources.metadata import SourceMetadata
from ved.sources.snapshot import Snapshot
from ved.tensors.names import DIFFERS, SAME

DECODERS = ("gpt2", "bert", "roberta", "bart")
# The headers of a card's tables.
SOURCES = ("part", "family", "source")
INITIALIZED = ("parameters", "reason")
TOKEN_IDS = ("role", "id", "token", "origin of the id")
SCRIPT_IDS = ("role", "id in this checkpoint", "id by the script")
LEFT_OUT = ("part", "settings")
RUNS = ("model class and task", "works", "remark")
PIPELINES = ("yes", "no")  # `image-to-text` in transformers 4 and 5
SIZES = ("", "encoder", "decoder")
LICENSES = ("", "license")
UNUSED = ("tensors", "reason")
GPL = {"license": "gpl-3.0"}
PAD_IS_EOS = "Pad and eos are the same token."
NO_LICENSE = "The publisher states no license."


@dataclass(frozen=True)
class Card:
    """A card as the Hub serves it, with the record and the config of its checkpoint."""

    text: str
    record: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def metadata(self) -> dict[str, Any]:
        return metadata_of(self.text)


def metadata_of(text: str) -> dict[str, Any]:
    metadata: dict[str, Any] = ModelCard(text).data.to_dict()  # type: ignore[no-untyped-call]
    return metadata


def card_of(hub: LocalHub, entry: Mapping[str, Any], folder: Path) -> Card:
    """Publish a pair and return its card; the folder is for local sources and downloads."""
    result = build_pair(hub, entry, folder=folder)
    assert result.action == "built", result.reason
    files = download(hub, result.pair.repo, folder)
    record, config = (json.loads(files[name]) for name in ("ved.json", "config.json"))
    return Card(files["README.md"].decode(), record, config)


def record_of(card: Card) -> BuildRecord:
    return build_record.parse_record(json.dumps(card.record).encode(), "here")


def rendered(card: Card, **keys: Any) -> str:
    """Return the card of the same checkpoint with other keys in the manifest's entry."""
    (entry,) = manifest({**card.record["pair"], **keys}).pairs
    return render_card(record_of(card).model_copy(update={"pair": entry}))


def stated_licenses(text: str) -> list[str]:
    """Return the licenses of encoder, decoder and checkpoint by the card."""
    return [value for _, value in tables(text)[LICENSES]]


def num_parameters_of(ledger: Mapping[str, Any], directory: Path) -> int:
    """Return how many numbers the copied tensors of a ledger hold in a source."""
    with safe_open(directory / "model.safetensors", "numpy") as file:
        tensors = [copied["tensor"] for copied in ledger["copied"].values()]
        return sum(math.prod(file.get_slice(name).get_shape()) for name in tensors)


@pytest.fixture(scope="module")
def cards(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Card]:
    """Publish team/vit with each sample decoder once; no test changes the repos."""
    folder = tmp_path_factory.mktemp("cards")
    entries = {name: pair(f"owner/card-{name}", decoder=f"team/{name}") for name in DECODERS}
    return {name: card_of(module_hub, entry, folder) for name, entry in entries.items()}


# Metadata


def test_card_metadata_is_complete_and_accepted_by_the_hub(hub: LocalHub, tmp_path: Path) -> None:
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
    assert checks == [200]  # for the plan
    info = client(hub).model_info("owner/card-of-all")
    assert info.pipeline_tag == "image-to-text"
    assert {"license:apache-2.0", "base_model:team/vit", "no"} <= set(info.tags or ())


def test_card_metadata_is_in_the_listing_of_a_namespace(
    cards: dict[str, Card], hub: LocalHub
) -> None:
    listed = repos.list_repos("owner", client(hub))
    for name, card in cards.items():
        found = listed[f"owner/card-{name}"]
        assert (found.fingerprint, found.card_digest) == (
            card.record["fingerprint"],
            card.record["card_digest"],
        )
    assert len({found.fingerprint for found in listed.values()}) >= len(DECODERS)


def test_card_license_is_never_guessed(cards: dict[str, Card]) -> None:
    assert "license" not in cards["gpt2"].metadata
    assert NO_LICENSE in cards["gpt2"].text
    # Also if both sources have the same license.
    assert "license" not in cards["bert"].metadata
    assert stated_licenses(cards["bert"].text) == ["apache-2.0", "apache-2.0", "not stated"]


def test_card_license_is_that_of_the_manifest(cards: dict[str, Card]) -> None:
    text = rendered(cards["gpt2"], license="mit")
    assert metadata_of(text)["license"] == "mit"
    assert NO_LICENSE not in text


def test_card_language_is_that_of_the_sources_or_the_manifest(cards: dict[str, Card]) -> None:
    # The encoder states no language.
    assert cards["gpt2"].metadata["language"] == ["en"]
    assert metadata_of(rendered(cards["gpt2"], language="no"))["language"] == ["no"]


def test_card_of_local_directories_names_no_base_model(
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
    assert ["decoder", "gpt2", "local directory gpt2"] in tables(card.text)[SOURCES]
    unknown = "unknown, because it is a local directory"
    assert stated_licenses(card.text) == [unknown, unknown, "not stated"]


# Text


@pytest.mark.parametrize("decoder", DECODERS)
def test_card_says_that_the_checkpoint_is_not_trained(decoder: str, cards: dict[str, Card]) -> None:
    assert "**warm-started, not trained**" in cards[decoder].text
    assert "**Do not use it** without fine-tuning" in cards[decoder].text
    # BART has cross-attention of its own.
    is_random = "cross-attention between them is randomly initialized" in cards[decoder].text
    assert is_random == (decoder != "bart")


@pytest.mark.parametrize("decoder", DECODERS)
def test_card_names_sources_at_their_commits(
    decoder: str, cards: dict[str, Card], hub: LocalHub
) -> None:
    commits = {name: heads(hub)[f"team/{name}"] for name in ("vit", decoder)}
    assert tables(cards[decoder].text)[SOURCES] == [
        ["encoder", "vit", f"team/vit at commit {commits['vit'][:7]}"],
        ["decoder", decoder, f"team/{decoder} at commit {commits[decoder][:7]}"],
    ]
    links = {token.attrGet("href") for token in markdown(cards[decoder].text)}
    for name, commit in commits.items():
        assert f"{hub.endpoint}/team/{name}/tree/{commit}" in links


def test_card_names_the_repo_of_a_config(hub: LocalHub, tmp_path: Path) -> None:
    commit = publish(hub, "team/card-config", checkpoints.vit(tmp_path / "config"))
    encoder = {"model": "team/vit", "config": "team/card-config"}
    card = card_of(hub, pair("owner/card-of-config", encoder=encoder), tmp_path)
    rows = tables(card.text)[SOURCES]
    assert ["encoder's config", "vit", f"team/card-config at commit {commit[:7]}"] in rows


def starts(path: str) -> set[str]:
    """Return a parameter's groups, layers counted as one."""
    parts = ["*" if part.isdigit() else part for part in path.split("/")]
    return {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}


@pytest.mark.parametrize("decoder", ["gpt2", "bert", "roberta"])
def test_card_lists_initialized_parameters_of_the_record(
    decoder: str, cards: dict[str, Card]
) -> None:
    card = cards[decoder]
    groups = dict(tables(card.text)[INITIALIZED])
    ledger = card.record["ledger"]["decoder"]
    for path, reason in ledger["initialized"].items():
        (group,) = starts(f"decoder/{path}") & groups.keys()
        assert groups[group] == reason
    for path in ledger["copied"]:
        assert not starts(f"decoder/{path}") & groups.keys()
    assert set(groups.values()) == set(ledger["initialized"].values()) == {"cross-attention"}


def test_card_without_initialized_parameters_has_no_table_of_them(cards: dict[str, Card]) -> None:
    assert not cards["bart"].record["ledger"]["decoder"]["initialized"]
    assert INITIALIZED not in tables(cards["bart"].text)
    assert "every parameter comes from a source" in cards["bart"].text


def test_card_lists_projection_and_missing_pooler(hub: LocalHub, tmp_path: Path) -> None:
    checkpoints.vit(tmp_path / "wide", hidden_size=48, without=("pooler.",))
    card = card_of(hub, pair("owner/card-of-wide", encoder="./wide", seed=11), tmp_path)
    assert tables(card.text)[INITIALIZED] == [
        ["encoder/pooler", "absent from the source"],
        ["decoder/transformer/h/*/crossattention", "cross-attention"],
        ["decoder/transformer/h/*/ln_cross_attn", "cross-attention"],
        ["enc_to_dec_proj", "projection"],
    ]
    assert "with seed 11" in card.text
    assert "They need training, except those of the encoder" in card.text


@pytest.mark.parametrize("decoder", DECODERS)
def test_card_lists_token_ids_of_the_record(decoder: str, cards: dict[str, Card]) -> None:
    recorded = cards[decoder].record["token_ids"]
    assert tables(cards[decoder].text)[TOKEN_IDS] == [
        [shown, str(recorded[role]["id"]), recorded[role]["token"], recorded[role]["origin"]]
        for shown, role in (("decoder start", "decoder_start"), ("pad", "pad"), ("eos", "eos"))
    ]


def test_card_lists_ids_that_the_script_takes_otherwise(cards: dict[str, Card]) -> None:
    for decoder in ("gpt2", "roberta", "bart"):
        assert SCRIPT_IDS not in tables(cards[decoder].text)
    assert tables(cards["bert"].text)[SCRIPT_IDS] == [
        ["decoder start", "2", "none"],
        ["eos", "3", "none"],
    ]


def test_card_lists_settings_that_are_left_out(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.bart(tmp_path / "decoder")
    edit_json(directory / "config.json", min_length=56, num_beams=4)
    edit_json(directory / "generation_config.json", max_new_tokens=5)
    card = card_of(hub, pair("owner/card-of-bart", decoder="./decoder"), tmp_path)
    (row,) = tables(card.text)[LEFT_OUT]
    names = ["forced_eos_token_id", "max_new_tokens", "min_length", "num_beams"]
    assert row == ["decoder", ", ".join(names)]
    assert card.record["sources"]["decoder"]["left_out"] == names
    assert "generation_config.json" in card.record["sources"]["decoder"]["files"]


def test_card_has_no_empty_table_of_settings(cards: dict[str, Card]) -> None:
    assert LEFT_OUT not in tables(cards["gpt2"].text)
    assert "Settings left out" not in cards["gpt2"].text


def test_card_warns_if_and_only_if_pad_is_eos(cards: dict[str, Card]) -> None:
    for decoder, card in cards.items():
        ids = card.record["token_ids"]
        assert (ids["pad"]["id"] == ids["eos"]["id"]) == (decoder == "gpt2")
        assert (PAD_IS_EOS in card.text) == (decoder == "gpt2")
    record = record_of(cards["gpt2"])
    pad = record.token_ids["pad"].model_copy(update={"id": 1})
    other = record.model_copy(update={"token_ids": {**record.token_ids, "pad": pad}})
    assert PAD_IS_EOS not in render_card(other)


@pytest.mark.parametrize("decoder", DECODERS)
def test_card_tells_which_classes_work_with_the_family(
    decoder: str, cards: dict[str, Card]
) -> None:
    rows = tables(cards[decoder].text)[RUNS]
    fails = decoder in ("bert", "roberta")
    works = ["yes", "no" if fails else "yes", "yes", "yes", "yes", *PIPELINES]
    assert [each for _, each, _ in rows] == works
    forward, generate, fixed, *_ = (remark for _, _, remark in rows)
    family = families.DECODERS[decoder]
    assert family.flax_differs.replace("`", "") in forward
    assert bool(forward) == (decoder == "roberta")
    assert family.generate_fails.replace("`", "") in generate
    assert bool(fixed) == fails
    # The code uses the class that works.
    assert cards[decoder].text.count("from ved.modeling import") == 2


@pytest.mark.parametrize(
    ("weights", "works", "blocks"),
    [
        ("flax", ["yes", "yes", "yes", "no", "no", "no", "no"], 2),
        ("safetensors", [*["yes"] * 5, *PIPELINES], 4),
    ],
)
def test_card_has_pytorch_code_if_there_are_pytorch_weights(
    weights: str, works: list[str], blocks: int, hub: LocalHub, tmp_path: Path
) -> None:
    card = card_of(hub, pair(f"owner/card-of-{weights}", weights=weights), tmp_path)
    assert [each for _, each, _ in tables(card.text)[RUNS]] == works
    fences = [token for token in markdown(card.text) if token.type == "fence"]
    assert len([token for token in fences if token.info == "python"]) == blocks
    assert ("PyTorch cannot read it" in card.text) == (weights == "flax")
    # Only the weight file that exists.
    assert ("flax_model.msgpack" in card.text) == (weights == "flax")
    assert ("`model.safetensors` (" in card.text) == (weights == "safetensors")


@pytest.mark.parametrize("decoder", DECODERS)
def test_card_sizes_are_those_of_config_and_weights(
    decoder: str, cards: dict[str, Card], sources: dict[str, Path]
) -> None:
    card = cards[decoder]
    sizes = {label: values for label, *values in tables(card.text)[SIZES]}
    vocab_size = card.config["decoder"]["vocab_size"]
    assert sizes["layers"] == sizes["attention heads"] == ["2", "2"]
    assert sizes["image size in pixels"] == ["16 \u00d7 16", ""]
    assert sizes["vocabulary size"] == ["", f"{vocab_size:,}"]
    ledger = card.record["ledger"]
    copied = [
        num_parameters_of(ledger[role], sources[name])
        for role, name in (("encoder", "vit"), ("decoder", decoder))
    ]
    assert sizes["copied parameters"] == [f"{number:,}" for number in copied]
    initialized = card.record["num_parameters"] - sum(copied)
    assert sizes["randomly initialized parameters"] == ["0", f"{initialized:,}"]
    assert f"{card.record['num_parameters']:,} parameters." in card.text


@pytest.mark.parametrize(("tie", "head"), [(True, "the token embeddings"), (False, "of its own")])
def test_card_tells_whose_weights_the_head_has(
    tie: bool, head: str, hub: LocalHub, tmp_path: Path
) -> None:
    # A head of BERT has two biases in PyTorch, which the check of the published files knows.
    decoder_with_head("bert", tmp_path / "decoder", tie_word_embeddings=tie)
    card = card_of(hub, pair("owner/card-of-head", decoder="./decoder"), tmp_path)
    sizes = {label: values for label, *values in tables(card.text)[SIZES]}
    assert sizes["language-model head"][1].endswith(head)
    reasons = [row[1] for row in tables(card.text)[UNUSED]]
    assert (DIFFERS in reasons) == ("Tied tensors that differ" in card.text) == tie
    assert (DIFFERS in card.record["ledger"]["decoder"]["unused"].values()) == tie
    assert SAME in reasons  # the bias


def test_card_counts_layers_of_the_part_that_is_used(hub: LocalHub, tmp_path: Path) -> None:
    checkpoints.bart(tmp_path / "decoder", config={"encoder_layers": 1, "decoder_layers": 3})
    card = card_of(hub, pair("owner/card-of-layers", decoder="./decoder"), tmp_path)
    assert ["layers", "2", "3"] in tables(card.text)[SIZES]


@pytest.mark.parametrize(
    ("dtype", "decoder_dtype", "expected"),
    [("source", "float16", ["float32", "float16"]), ("bfloat16", "float32", ["bfloat16"] * 2)],
)
def test_card_dtypes_are_those_of_the_weights(
    dtype: str, decoder_dtype: Any, expected: list[str], hub: LocalHub, tmp_path: Path
) -> None:
    checkpoints.gpt2(tmp_path / "decoder", dtype=decoder_dtype)
    entry = pair(f"owner/card-in-{dtype}", decoder="./decoder", dtype=dtype)
    card = card_of(hub, entry, tmp_path)
    assert ["dtype", *expected] in tables(card.text)[SIZES]


# Terms


def test_card_warns_of_gated_sources(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    publish(hub, "team/card-gated", sources["gpt2"])
    entry = pair("owner/card-of-gated", decoder="team/card-gated")
    assert "is gated" not in card_of(hub, entry, tmp_path).text

    conditions: dict[Any, str] = {"auto": "accept its authors' terms", "manual": "are admitted"}
    for gated, condition in conditions.items():
        client(hub).update_repo_settings("team/card-gated", gated=gated)
        # No byte of the weights depends on it, so only the card is published again.
        assert build_pair(hub, entry).action == "card-only"
        text = download(hub, "owner/card-of-gated", tmp_path)["README.md"].decode()
        (warning,) = [line for line in text.splitlines() if "is gated" in line]
        assert "`team/card-gated`" in warning
        assert condition in warning


def test_card_warns_of_licenses_that_contradict_the_manifest(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/card-gpl", checkpoints.gpt2(tmp_path / "gpl", license="gpl-3.0"))
    entry = pair("owner/card-of-gpl", decoder="team/card-gpl")
    for keys, contradicts in (({}, True), ({"license": "mit"}, True), (GPL, False)):
        result = build_pair(hub, entry | keys)
        text = download(hub, "owner/card-of-gpl", tmp_path)["README.md"].decode()
        warnings = [line for line in text.splitlines() if line.startswith("**Warning:**")]
        assert any("`team/card-gpl`" in line and "gpl-3.0" in line for line in warnings) == (
            contradicts
        )
        assert bool(warnings) == contradicts
        assert result.action == ("card-only" if keys else "built")


def assert_inert(tokens: Sequence[Token]) -> None:
    """Check that Markdown has no HTML, and no image but the card's own."""
    assert not {token.type for token in tokens} & {"html_block", "html_inline"}
    images = [token.attrGet("src") for token in tokens if token.type == "image"]
    assert images == [picture.FILE_NAME]


def test_card_begins_with_the_description(cards: dict[str, Card]) -> None:
    description = "One sentence.\n\n---\n\n{{ pair.seed }} {% raw %}\n"
    text = rendered(cards["gpt2"], description=description)
    assert f"# card-gpt2\n\n{description}" in text
    assert metadata_of(text)["base_model"] == ["team/vit", "team/gpt2"]


def test_card_shows_a_hostile_token_as_text(hub: LocalHub, tmp_path: Path) -> None:
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
    assert_inert(tokens)
    assert not [token for token in tokens if token.attrs and "example.org" in str(token.attrs)]
    assert "## Use" in card.text.splitlines()
    assert "## Verify" in card.text.splitlines()


# Text from outside


HOSTILE = (
    "`|\n\n# x\n\n| x | <img src=x onerror=alert(1)> [a](https://example.org) ``` \u202e "
    r"$$\href{https://example.org}{x}$$ \\(x\\)"
)


def structure_of(text: str) -> list[str]:
    """Return the types of a card's Markdown tokens."""
    return [token.type for token in markdown(text.split("---", 2)[2])]


def test_card_shows_hostile_names_of_a_record_as_text(cards: dict[str, Card]) -> None:
    """Anybody with write access may have changed a record on the Hub."""
    honest = record_of(cards["gpt2"])
    part = honest.ledger["decoder"]
    (copied, *_), (reason, *_) = part.copied.values(), part.initialized.values()

    def with_names(name: str) -> str:
        local = RecordedSnapshot(name=name)
        source = honest.sources["encoder"]
        update: dict[str, Any] = {"name": name, "commit": None, "config": local}
        ledger = RecordedLedger(
            summary=part.summary,
            copied={name: copied.model_copy(update={"file": name, "tensor": name})},
            initialized={name: reason},
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
    assert structure_of(text) == structure_of(with_names("harmless"))
    tokens = markdown(text)
    assert_inert(tokens)
    assert not [token for token in tokens if token.attrs and "example.org" in str(token.attrs)]
    assert text.count("onerror") > 5
    # The Hub replaces formulas before it reads Markdown.
    assert "$$" not in text
    assert r"\\(" not in text


# What readers do next


def test_card_installs_the_release_that_built_the_checkpoint(cards: dict[str, Card]) -> None:
    record = record_of(cards["gpt2"])
    other = record.model_copy(update={"versions": {**record.versions, "ved": "7.8.9rc1"}})
    without = {name: version for name, version in record.versions.items() if name != "ved"}
    for version, described in (
        ("7.8.9rc1", other),
        (ved.__version__, record),
        (ved.__version__, record.model_copy(update={"versions": without})),
    ):
        text = render_card(described)
        assert {*re.findall(r"github\.com/ved-action/ved@(.*?)\"", text)} == {f"v{version}"}
        assert f"/ved/tree/v{version}/ved/modeling" in text
        assert f"version = {{{version}}}" in text


def test_card_links_to_pages_of_the_site(cards: dict[str, Card]) -> None:
    links = {token.attrGet("href") for token in markdown(cards["gpt2"].text)}
    site = "https://ved-action.github.io/ved/"
    pages = {str(link).removeprefix(site) for link in links if str(link).startswith(site)}
    assert pages == {"fine-tuning/"}
    for page in pages:
        assert (Path(__file__).parents[2] / f"docs/{page.removesuffix('/')}.md").exists()


def test_card_cites_the_papers_of_both_families(cards: dict[str, Card]) -> None:
    links = [token.attrGet("href") for token in markdown(cards["bert"].text)]
    for family in ("vit", "bert"):
        assert papers.PAPERS[family] in links


def test_papers_are_known_of_every_family() -> None:
    assert papers.PAPERS.keys() == {each.family for each in overview()}


# Renewed cards


ENTRY = {"seed": 5, "token_ids": {"pad": 1}, "weights": ["flax", "safetensors"]}
CARD_KEYS = {
    **{"description": "Says *more*.", "license": "mit", "language": "en", "tags": ["new"]},
    **{"encoder": "team/vit@main", "weights": ["safetensors", "flax"]},
}


def test_renewed_card_is_that_of_a_whole_build(hub: LocalHub, tmp_path: Path) -> None:
    first = build_pair(hub, pair("owner/card-to-renew", **ENTRY))
    entry = pair("owner/card-to-renew") | ENTRY | CARD_KEYS
    hub.requests.clear()

    renewed = build_pair(hub, entry)

    assert (first.action, renewed.action) == ("built", "card-only")
    assert renewed.fingerprint == first.fingerprint
    assert asked_for(hub, "team/vit") | asked_for(hub, "team/gpt2") == set()
    served = download(hub, "owner/card-to-renew", tmp_path)
    built = files_of(build_locally(hub, entry, tmp_path / "built"))
    assert served == {**built, ".gitattributes": served[".gitattributes"]}
    latest, *_ = client(hub).list_repo_commits("owner/card-to-renew")
    assert (latest.commit_id, latest.title) == (renewed.commit, "Publish model card written by VED")
    assert build_pair(hub, entry).action == "skipped"


def digest_of(*, endpoint: str = "http://127.0.0.1", metadata: object = None, **keys: Any) -> str:
    (entry,) = manifest(pair(**{"repo": "owner/x", **keys})).pairs
    encoder = Snapshot("team/vit", "0" * 40, {}, None)
    decoder = Snapshot(
        "team/gpt2", "0" * 40, {}, None, SourceMetadata.model_validate(metadata or {})
    )
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
        {"metadata": {"license": "mit"}},
        {"metadata": {"gated": "auto"}},
        {"metadata": {"language": ["en"]}},
        {"metadata": {"tags": ["a"]}},
    ],
)
def test_card_digest_depends_on_the_content_of_the_card(keys: dict[str, Any]) -> None:
    assert digest_of(**keys) != digest_of()


@pytest.mark.parametrize(
    "keys",
    [
        {"seed": 1, "dtype": "float32", "weights": "flax", "token_ids": {"pad": 7}},
        {"encoder": "team/other", "decoder": "team/bart"},
        {"private": True, "adopt": True, "overwrite": True},
    ],
)
def test_card_digest_ignores_what_the_fingerprint_decides(keys: dict[str, Any]) -> None:
    assert digest_of(**keys) == digest_of()
