"""Every trap of real sources is found by headers alone, and what is no trap is not."""

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests import checkpoints
from tests.support.building import assemble_pair, edit_json
from tests.support.publishing import (
    build_pair,
    client,
    header_size,
    heads,
    manifest,
    pair,
    publish,
    sent,
)
from ved.commands import RunOptions
from ved.commands import plan as make_report
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.hub.access import HubAccess
from ved.localhub import LocalHub
from ved.machine import memory
from ved.planning.actions import Build, PlannedAction
from ved.planning.findings import Finding, Level
from ved.planning.plan import make_plan
from ved.sizes import format_size

Expected: TypeAlias = tuple[Level, str, str]
"""Level, key, and what the message has in it."""

Write: TypeAlias = Callable[[Path], Path]

NUMBERS = count(1)


def _wide(write: Callable[..., Path], **options: Any) -> Write:
    """Make samples so wide that their weights are many times their headers."""
    return partial(write, hidden_size=64, **options)


vit = partial(_wide, checkpoints.vit)
beit = partial(_wide, checkpoints.beit)
dinov2 = partial(_wide, checkpoints.dinov2)
gpt2 = partial(_wide, checkpoints.gpt2)
bert = partial(_wide, checkpoints.bert)
roberta = partial(_wide, checkpoints.roberta)
xlm_roberta = partial(_wide, checkpoints.xlm_roberta)
roberta_prelayernorm = partial(_wide, checkpoints.roberta_prelayernorm)
bart = partial(_wide, checkpoints.bart)


def configured(write: Write, **settings: Any) -> Write:
    """Let the config say something else than the weights were made for."""

    def written(directory: Path) -> Path:
        edit_json(write(directory) / "config.json", **settings)
        return directory

    return written


def lacking(write: Write, *patterns: str) -> Write:
    """Leave files out."""

    def written(directory: Path) -> Path:
        write(directory)
        for path in [path for pattern in patterns for path in directory.glob(pattern)]:
            path.unlink()
        return directory

    return written


TOKENIZER = ("tokenizer*.json", "vocab.*", "merges.txt", "special_tokens_map.json")

PAD_IS_EOS: Expected = ("notice", "token_ids", "Pad and eos are both 384: training has to mask")


@dataclass(frozen=True)
class Case:
    """A source, and what is to be found of it beside a good one in the other role."""

    role: Role
    write: Write
    findings: Sequence[Expected] = ()
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        return any(level == "error" for level, _, _ in self.findings)


def encoder(write: Write, *findings: Expected, **keys: Any) -> Case:
    return Case("encoder", write, findings, keys)


def decoder(write: Write, *findings: Expected, **keys: Any) -> Case:
    return Case("decoder", write, findings, keys)


CASES = {
    # As they are in their real repositories.
    "vit": encoder(vit()),
    "beit": encoder(beit()),
    "dinov2": encoder(
        dinov2(),
        (
            "notice",
            "encoder",
            "makes images of 16 x 16, and the encoder's config says 32 x 32: position embeddings "
            "are interpolated.",
        ),
    ),
    "gpt2": decoder(gpt2(), PAD_IS_EOS),
    "bert": decoder(bert()),
    "roberta": decoder(roberta()),
    "xlm-roberta": decoder(xlm_roberta()),
    "roberta-prelayernorm": decoder(roberta_prelayernorm()),
    "bart": decoder(bart()),
    # Names.
    "gpt2 with a prefix, and buffers": decoder(gpt2(prefix=True), PAD_IS_EOS),
    "dinov2 with a prefix and a head": encoder(
        dinov2(prefix=True, processor_size=32),
    ),
    "beit without a prefix and a head": encoder(beit(prefix=False)),
    "bart without a prefix": decoder(bart(prefix=False)),
    "vit with a prefix, a head, and no pooler": encoder(
        vit(prefix=True),
        ("warning", "encoder", "The encoder has no pooler, which is drawn at random instead."),
    ),
    "bert without a language-model head": decoder(
        bert(prefix=False),
        ("warning", "decoder", "The decoder has no cls, which is drawn at random instead."),
    ),
    "bert without a transform": decoder(
        bert(without=("cls.predictions.transform",)),
        ("warning", "decoder", "The decoder has no cls/predictions/transform, which is drawn"),
    ),
    "roberta without a language-model head": decoder(
        roberta(prefix=False),
        ("warning", "decoder", "The decoder has no lm_head"),
    ),
    "bert with modern names": decoder(
        bert(rename={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"})
    ),
    "names that match nothing": encoder(
        vit(rename={"encoder.layer.": "blocks."}),
        ("error", "encoder", "lacks 32 tensors of the encoder, which would be random: encoder."),
    ),
    "a tensor that nobody knows": encoder(
        vit(rename={"pooler.dense": "poolhouse.dense"}),
        ("warning", "encoder", "The encoder has no pooler"),
        ("warning", "encoder", "Tensors of the encoder are not used"),
    ),
    "a layer that is missing": decoder(
        gpt2(without=("h.1.",)),
        ("error", "decoder", "lacks 12 tensors of the decoder, which would be random: "),
        PAD_IS_EOS,
    ),
    # Tied weights.
    "gpt2 under its head's name": decoder(gpt2(tied="head"), PAD_IS_EOS),
    "gpt2 under both names": decoder(gpt2(tied="both"), PAD_IS_EOS),
    "bert under its head's name": decoder(bert(tied="head")),
    "bert under both names": decoder(bert(tied="both")),
    "roberta under its head's name": decoder(roberta(tied="head")),
    "roberta under both names": decoder(roberta(tied="both")),
    "bart under its head's name": decoder(bart(tied="head")),
    "bart under all names": decoder(bart(tied="both")),
    # Files and dtypes.
    "shards": encoder(vit(layout="sharded")),
    "shards of a decoder": decoder(bart(layout="sharded")),
    "a shard that is missing": encoder(
        lacking(vit(layout="sharded"), "model-00002*"),
        (
            "error",
            "encoder",
            "lists shards that are not there: 'model-00002-of-00002.safetensors'.",
        ),
    ),
    "float16": encoder(vit(dtype="float16")),
    "bfloat16": decoder(bert(dtype="bfloat16")),
    "pickled weights only": encoder(
        vit(layout="pickle"),
        (
            "error",
            "encoder",
            "has pickled weights only (pytorch_model.bin), and a pickle is a program.",
        ),
    ),
    "pickled weights that are allowed": encoder(vit(layout="pickle"), allow_pickle=True),
    "no weights": encoder(
        lacking(vit(), "*.safetensors"),
        ("error", "encoder", "has no weights that VED can read."),
    ),
    "no config": decoder(
        lacking(bart(), "config.json"), ("error", "decoder", "has no config.json.")
    ),
    # Shapes and settings.
    "weights of another width": encoder(
        configured(vit(), intermediate_size=128),
        ("error", "encoder", "encoder.layer.0.intermediate.dense.weight in model.safetensors of"),
    ),
    "weights of another vocabulary": decoder(
        configured(bart(), vocab_size=300),
        ("error", "decoder", "The weights of the decoder do not fit its config: "),
    ),
    "attention that Flax scales otherwise": decoder(
        gpt2(config={"scale_attn_by_inverse_layer_idx": True}),
        (
            "error",
            "decoder",
            "scale_attn_by_inverse_layer_idx is True, and Flax computes with False",
        ),
    ),
    "relative positions": decoder(
        bert(config={"position_embedding_type": "relative_key"}),
        ("error", "decoder", "position_embedding_type is 'relative_key', and Flax computes"),
    ),
    "other layer scales": encoder(
        dinov2(config={"layerscale_value": 0.1}),
        ("error", "encoder", "layerscale_value is 0.1, and Flax computes with 1.0"),
    ),
    "quantized weights": decoder(
        configured(bart(), quantization_config={"quant_method": "gptq"}),
        ("error", "decoder", "its weights are quantized"),
    ),
    # Tokenizers and token ids.
    "a tokenizer longer than the embedding": decoder(
        bart(extra_tokens=3),
        (
            "warning",
            "decoder",
            "3 of the tokenizer's tokens, such as '<extra_0>', are beyond the 389 rows of the "
            "embedding: text that holds one cannot be encoded.",
        ),
    ),
    "a tokenizer shorter than the embedding": decoder(
        bart(config={"vocab_size": 400}),
        ("notice", "decoder", "The embedding has 400 rows, and the tokenizer 389 tokens."),
    ),
    "a tokenizer saved with transformers 5": decoder(bart(tokenizer="transformers5")),
    "a slow tokenizer": decoder(roberta(tokenizer="slow")),
    "no tokenizer": decoder(lacking(bart(), *TOKENIZER), ("error", "decoder", "The tokenizer of ")),
    "a pad id outside the vocabulary": decoder(
        bart(config={"pad_token_id": 5000}),
        (
            "error",
            "token_ids",
            "pad 5000 (from pad_token_id of the decoder's config) is outside the vocabulary of 389",
        ),
    ),
    "a pad id that is the eos id": decoder(
        bart(config={"pad_token_id": 2}),
        ("notice", "token_ids", "Pad and eos are both 2: training has to mask padding by the"),
    ),
    "no token ids at all": decoder(
        gpt2(config={"bos_token_id": None, "eos_token_id": None}),
        ("error", "token_ids", "neither the decoder's config nor its tokenizer names a pad token"),
    ),
    # Image processors.
    "an image processor of another size": encoder(
        vit(processor_size=24),
        (
            "warning",
            "encoder",
            "The image processor makes images of 24 x 24, and the encoder's config says 16 x 16: "
            "the model will refuse such images.",
        ),
    ),
    "a dinov2 whose sizes agree": encoder(dinov2(processor_size=32)),
    "no image processor": encoder(
        lacking(vit(), "preprocessor_config.json"),
        ("error", "encoder", "has no image processor (preprocessor_config.json)."),
    ),
    # Licences.
    "no licence": decoder(
        bart(license=""),
        ("warning", "license", "does not state one licence, and none is guessed"),
    ),
    "an unknown licence": encoder(
        vit(license="unknown"),
        ("warning", "license", "does not state one licence, and none is guessed"),
    ),
    "a licence that binds": decoder(
        bart(license="gpl-3.0"),
        ("warning", "license", "is under gpl-3.0, which may ask for more than attribution"),
    ),
}


def published(hub: LocalHub, write: Write, folder: Path) -> tuple[str, Path]:
    """Put a source on the Hub under a name of its own; return that, and its directory."""
    repo = f"team/preflight-{next(NUMBERS)}"
    directory = write(folder / repo.replace("/", "-"))
    publish(hub, repo, directory)
    return repo, directory


def good_pair(**keys: Any) -> dict[str, Any]:
    """Return an entry of which nothing would be found, but for what the keys say."""
    return {**pair("owner/preflight", decoder="team/bart"), **keys}


def source_of(case: Case, model: str) -> dict[str, Any]:
    """Return what an entry says of a case's source."""
    return {case.role: {"model": model, **case.keys}}


def planned(hub: LocalHub, *entries: dict[str, Any]) -> list[PlannedAction]:
    """Plan, and make sure that nothing is written by that."""
    before = heads(hub)
    hub.requests.clear()
    made = make_report(manifest(*entries), RunOptions(), client(hub)).actions
    assert heads(hub) == before
    asked = {each.path for each in hub.requests if each.method not in ("GET", "HEAD")}
    assert asked <= {"/api/validate-yaml"}
    return list(made)


def looked_at(hub: LocalHub, **keys: Any) -> PlannedAction:
    """Plan one pair that is good but for what the keys say."""
    (made,) = planned(hub, good_pair(**keys))
    return made


def assert_found(found: Iterable[Finding], expected: Iterable[Expected]) -> None:
    """Check findings one by one, in their order."""
    shown = [(each.level, each.key, each.message) for each in found]
    wanted = list(expected)
    assert [each[:2] for each in shown] == [each[:2] for each in wanted], shown
    for (_, _, message), (_, _, words) in zip(shown, wanted, strict=True):
        assert words in message


# Every case on the Hub


@dataclass(frozen=True)
class Examined:
    """What became of a case on the Hub: its plan, and how much was sent of each weight file."""

    planned: PlannedAction
    sent: dict[Path, int]


@pytest.fixture(scope="module")
def examined(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Examined]:
    """Plan all cases at once, and nothing more than plan."""
    hub, folder = module_hub, tmp_path_factory.mktemp("preflight")
    places = {name: published(hub, case.write, folder) for name, case in CASES.items()}
    entries = [
        good_pair(repo=f"owner/preflight-{number}", **source_of(CASES[name], repo))
        for number, (name, (repo, _)) in enumerate(places.items())
    ]
    plans = planned(hub, *entries)
    found = {
        name: Examined(made, {path: sent_of(hub, repo, path) for path in weights_in(directory)})
        for made, (name, (repo, directory)) in zip(plans, places.items(), strict=True)
    }
    for repo, _ in places.values():
        client(hub).delete_repo(repo)  # without them the Hub is faster for other tests
    return found


def weights_in(directory: Path) -> list[Path]:
    return [*directory.glob("*.safetensors"), *directory.glob("*.bin")]


def sent_of(hub: LocalHub, repo: str, weights: Path) -> int:
    """Return how many bytes the Hub has sent of a repo's weight file."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    place = f"/lfs/models/{repo}/{digest}"
    return sum(exchange.bytes_out for exchange in hub.requests if exchange.path == place)


def size_before_tensors(weights: Path) -> int:
    """Return how many bytes of a weight file are no tensors."""
    if weights.suffix == ".safetensors":
        return header_size(weights)
    with zipfile.ZipFile(weights) as archive:
        tensors = [each.file_size for each in archive.infolist() if "/data/" in each.filename]
    return weights.stat().st_size - sum(tensors)


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_of_a_source(name: str, examined: dict[str, Examined]) -> None:
    case, made = CASES[name], examined[name].planned
    assert_found(made.findings, case.findings)
    assert made.name == ("refuse" if case.is_error else "build")


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_by_headers_alone(name: str, examined: dict[str, Examined]) -> None:
    for weights, size in examined[name].sent.items():
        assert size <= size_before_tensors(weights) < weights.stat().st_size / 10
    if isinstance(examined[name].planned, Build):
        assert all(examined[name].sent.values())  # it cannot be known without


# Assembly agrees


WITH_SURPRISES = [
    *("dinov2", "vit with a prefix, a head, and no pooler", "a tensor that nobody knows"),
    *("bert without a language-model head", "gpt2 under its head's name", "shards", "bfloat16"),
    *("pickled weights that are allowed", "a tokenizer longer than the embedding"),
    "a tokenizer saved with transformers 5",
]


def assembled(case: Case, directory: Path, sources: dict[str, Path], to: Path) -> Path:
    """Assemble a case's source with a good one for the other role."""
    pairs = {"encoder": sources["vit"], "decoder": sources["bart"], case.role: directory}
    assemble_pair(pairs["encoder"], pairs["decoder"], to, **case.keys)
    return to


@pytest.mark.parametrize("name", WITH_SURPRISES)
def test_what_passes_can_be_assembled_and_is_as_large_as_foreseen(
    name: str, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    case = CASES[name]
    directory = case.write(tmp_path / "source")
    made = looked_at(hub, **source_of(case, str(directory)))
    assert_found(made.findings, case.findings)
    assert isinstance(made, Build)

    to = assembled(case, directory, sources, tmp_path / "assembled")

    weights = [to / "flax_model.msgpack", to / "model.safetensors"]
    written = sum(path.stat().st_size for path in weights)
    assert made.estimate.output < written < 1.05 * made.estimate.output  # names, and a projection


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_error])
def test_what_is_refused_cannot_be_assembled_for_the_same_reason(
    name: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    case = CASES[name]
    directory = case.write(tmp_path / "source")
    with pytest.raises(VedError) as caught:
        assembled(case, directory, sources, tmp_path / "assembled")
    (words,) = [words for level, _, words in case.findings if level == "error"]
    assert words in str(caught.value)


CANNOT_WORK: dict[Role, Sequence[str]] = {
    "encoder": ["clip", "siglip", "resnet", "regnet", "swin", "deit", "t5"],
    "decoder": [
        *("bloom", "gemma", "gpt_neo", "gptj", "llama", "mistral", "opt"),
        *("electra", "big_bird", "xglm", "t5"),
    ],
}


def test_families_that_cannot_work_are_refused_by_their_config_alone(
    hub: LocalHub, tmp_path: Path
) -> None:
    families = [(role, each) for role, types in CANNOT_WORK.items() for each in types]
    entries = []
    for role, model_type in families:
        directory = checkpoints.config_only(tmp_path / f"{role}-{model_type}", model_type)
        (directory / "model.safetensors").touch()
        entries.append(good_pair(repo=f"owner/{role}-{model_type}", **{str(role): str(directory)}))

    plans = planned(hub, *entries)

    for made, (role, model_type) in zip(plans, families, strict=True):
        words = f"is a {model_type!r} checkpoint, which cannot be the {role} of a Flax vision"
        assert_found(made.findings, [("error", role, words)])
        assert made.name == "refuse"


# Sources that cannot be had, and rights


@pytest.fixture
def strangers(hub: LocalHub, sources: dict[str, Path]) -> None:
    hub.add_user("stranger", token="hf_stranger")
    api = client(hub, "hf_stranger")
    for repo, private in (("stranger/preflight", False), ("stranger/preflight-private", True)):
        if not api.repo_exists(repo):
            publish(hub, repo, sources["bart"], token="hf_stranger", private=private)
    api.update_repo_settings("stranger/preflight", gated="manual")


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"decoder": "stranger/preflight"},
            ("error", "decoder", "it is gated, and this token has no access. Accept its terms"),
        ),
        (
            {"decoder": "stranger/preflight-private"},
            ("error", "decoder", "there is no such repo, or it is private and this token may not"),
        ),
        (
            {"encoder": "team/there-is-none"},
            ("error", "encoder", "Cannot read team/there-is-none: there is no such repo"),
        ),
        (
            {"encoder": {"model": "team/vit", "config": "team/there-is-none"}},
            ("error", "encoder", "Cannot read team/there-is-none: there is no such repo"),
        ),
        (
            {"decoder": "team/bart@v9"},
            ("error", "decoder", "Cannot read team/bart at v9: there is no such revision."),
        ),
        ({"repo": "stranger/new"}, ("error", "repo", "The token may not publish to stranger.")),
        (
            {"repo": "team/bart"},
            ("error", "repo", "team/bart is one of its own sources, which publishing would"),
        ),
    ],
    ids=str,
)
def test_what_the_hub_does_not_allow_is_found_at_its_key(
    keys: dict[str, Any], expected: Expected, hub: LocalHub
) -> None:
    made = looked_at(hub, **keys)
    assert_found(made.findings, [expected])
    assert made.name == "refuse"


def test_a_card_that_the_hub_refuses_is_found_before_anything_is_built(hub: LocalHub) -> None:
    hub.faults.add("POST", "^/api/validate-yaml$", status=400)
    made = looked_at(hub, tags=["refused"])
    words = "Cannot describe owner/preflight: the Hub refuses it"
    assert_found(made.findings, [("error", "license", words)])


@pytest.mark.parametrize(
    "case", [encoder(lacking(vit(), "*.saf*")), decoder(lacking(bart(), "*.saf*"))]
)
def test_of_a_local_directory_it_is_found_once_and_at_its_own_key(
    case: Case, hub: LocalHub, tmp_path: Path
) -> None:
    made = looked_at(hub, **source_of(case, str(case.write(tmp_path / "local"))))
    assert_found(made.findings, [("error", case.role, "has no weights that VED can read.")])


@pytest.mark.usefixtures("strangers")
def test_everything_that_is_wrong_is_found_in_one_pass(hub: LocalHub, tmp_path: Path) -> None:
    write = lacking(
        vit(rename={"encoder.layer.": "blocks."}, processor_size=24), "preprocessor_config.json"
    )
    first, _ = published(hub, write, tmp_path)
    write = configured(bart(license="", extra_tokens=1), intermediate_size=8, decoder_ffn_dim=8)
    second, _ = published(hub, write, tmp_path)
    made = looked_at(
        hub, repo="stranger/all", encoder=first, decoder=second, token_ids={"pad": 9999}
    )
    assert_found(
        made.findings,
        [
            ("error", "repo", "The token may not publish to stranger."),
            ("error", "encoder", "has no image processor"),
            ("error", "encoder", "lacks 32 tensors of the encoder"),
            ("error", "decoder", "The weights of the decoder do not fit its config"),
            ("error", "token_ids", "pad 9999 (from the manifest) is outside the vocabulary"),
            ("warning", "license", f"{second} does not state one licence"),
        ],
    )
    for found in made.findings:
        assert (found.message in made.reason) == (found.level == "error")


# What the manifest says besides


def test_token_ids_of_the_manifest_mend_those_of_the_config(hub: LocalHub, tmp_path: Path) -> None:
    repo, _ = published(hub, bart(config={"pad_token_id": 5000}), tmp_path)
    assert_found(looked_at(hub, decoder=repo, token_ids={"pad": 1}).findings, [])


def test_another_config_mends_one_that_does_not_fit(hub: LocalHub, tmp_path: Path) -> None:
    right, _ = published(hub, vit(), tmp_path)
    wrong, _ = published(hub, configured(vit(), intermediate_size=128), tmp_path)
    assert looked_at(hub, encoder=wrong).name == "refuse"
    made = looked_at(hub, encoder={"model": wrong, "config": right})
    assert_found(made.findings, [])


@pytest.mark.parametrize(
    ("encoder_license", "decoder_license", "stated", "expected"),
    [
        ("cc-by-nc-4.0", "mit", "cc-by-nc-4.0", None),
        ("cc-by-nc-4.0", "mit", None, "is under cc-by-nc-4.0, which may ask for more"),
        ("cc-by-nc-4.0", "gpl-3.0", "gpl-3.0", "one may forbid what the other demands"),
        ("unknown", "mit", "mit", "make sure that its authors allow mit"),
    ],
)
def test_licences_that_may_not_go_together_are_a_warning(
    encoder_license: str,
    decoder_license: str,
    stated: str | None,
    expected: str | None,
    hub: LocalHub,
    tmp_path: Path,
) -> None:
    first, _ = published(hub, vit(license=encoder_license), tmp_path)
    second, _ = published(hub, bart(license=decoder_license), tmp_path)
    keys = {"license": stated} if stated else {}
    made = looked_at(hub, encoder=first, decoder=second, **keys)
    assert made.name == "build"
    assert_found(made.findings, [("warning", "license", expected)] if expected else [])


@pytest.mark.parametrize(
    ("gated", "private", "expected"),
    [
        ("auto", None, ("warning", "decoder", "publishing it for everybody may break the terms")),
        ("manual", False, ("warning", "decoder", "say private: true in the pair")),
        ("auto", True, ("notice", "decoder", "read its terms before you let others have it")),
        (False, None, None),
    ],
)
def test_what_not_everybody_may_have_is_not_published_for_everybody_unsaid(
    gated: Any,
    private: bool | None,
    expected: Expected | None,
    hub: LocalHub,
    sources: dict[str, Path],
) -> None:
    if not client(hub).repo_exists("team/preflight-gated"):
        publish(hub, "team/preflight-gated", sources["bart"])
    client(hub).update_repo_settings("team/preflight-gated", gated=gated)
    keys = {} if private is None else {"private": private}
    made = looked_at(hub, decoder="team/preflight-gated", **keys)
    assert made.name == "build"
    assert_found(made.findings, [expected] if expected else [])


# The machine


def test_disk_that_is_too_small_refuses_a_build_and_warns_in_a_plan(hub: LocalHub) -> None:
    entries = manifest(pair("owner/preflight-large", decoder="team/bart"))
    access = HubAccess(client(hub))
    (fits,) = make_plan(entries.pairs, RunOptions(), access)
    assert isinstance(fits, Build)
    size = sum(fits.estimate.sources.values()) + fits.estimate.output

    (exactly,) = make_plan(entries.pairs, RunOptions(max_disk=size), access)
    (refused,) = make_plan(entries.pairs, RunOptions(max_disk=size - 1), access)
    (warned,) = make_report(entries, RunOptions(max_disk=size - 1), client(hub)).actions

    assert exactly.name == "build"
    assert (refused.name, warned.name) == ("refuse", "build")
    for action, level in ((refused, "error"), (warned, "warning")):
        (finding,) = action.findings
        assert (finding.level, finding.key) == (level, "repo")
        assert finding.code == ErrorCode.NOT_ENOUGH_DISK
        assert format_size(size) in finding.message
        assert format_size(size - 1) in finding.message


def test_disk_counts_checkpoints_that_are_kept(hub: LocalHub, tmp_path: Path) -> None:
    entries = manifest(*(pair(f"owner/kept-{number}", seed=number) for number in (1, 2, 3)))
    access = HubAccess(client(hub))
    options = RunOptions(output_directory=tmp_path, push=False)
    first, *_ = make_plan(entries.pairs, options, access)
    assert isinstance(first, Build)
    size = sum(first.estimate.sources.values()) + first.estimate.output

    limited = replace(options, max_disk=size + first.estimate.output)
    kept = make_plan(entries.pairs, limited, access)
    published = make_plan(entries.pairs, RunOptions(max_disk=size), access)

    assert [action.name for action in kept] == ["build", "build", "refuse"]
    assert [action.name for action in published] == ["build"] * 3


def test_disk_does_not_count_sources_that_are_cached(hub: LocalHub, tmp_path: Path) -> None:
    entries = manifest(pair("owner/cached", encoder="team/preflight-cached"))
    publish(hub, "team/preflight-cached", checkpoints.vit(tmp_path / "vit", seed=77))
    access = HubAccess(client(hub))
    (before,) = make_plan(entries.pairs, RunOptions(), access)
    assert isinstance(before, Build)
    downloads = sum(before.estimate.sources.values())
    limited = RunOptions(max_disk=before.estimate.output + downloads - 1)
    (refused,) = make_plan(entries.pairs, limited, access)
    cached = Path(client(hub).hf_hub_download("team/preflight-cached", "model.safetensors"))

    (fits,) = make_plan(entries.pairs, limited, access)

    assert (refused.name, fits.name) == ("refuse", "build")
    cached.unlink()


def test_disk_that_is_measured_is_the_one_that_is_written(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    sizes = {small: 1, large: 10**12}

    def free(path: Path) -> int:
        return next(size for disk, size in sizes.items() if path.is_relative_to(disk))

    monkeypatch.setattr("ved.machine.disk.free_disk", free)
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    small.mkdir()
    entries, access = manifest(pair("owner/measured")), HubAccess(client(hub))

    (published,) = make_plan(entries.pairs, RunOptions(), access)
    (kept,) = make_plan(entries.pairs, RunOptions(output_directory=large), access)

    assert (published.name, kept.name) == ("refuse", "build")


def test_estimate_of_one_weight_file_is_smaller(hub: LocalHub) -> None:
    both, one = (looked_at(hub, weights=each) for each in (["flax", "safetensors"], ["flax"]))
    assert isinstance(both, Build)
    assert isinstance(one, Build)
    assert both.estimate.output == 2 * one.estimate.output
    assert both.estimate.sources == one.estimate.sources
    assert both.estimate.memory > one.estimate.memory


def test_of_too_little_memory_there_is_a_warning(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No machine as small as that is at hand.
    monkeypatch.setattr(memory, "available_memory", lambda: 10**8)
    made = looked_at(hub)
    assert made.name == "build"
    words = "of memory, and 100.0 MB are free."
    assert_found(made.findings, [("warning", "repo", words)])


# How much is asked of the Hub


def test_a_source_that_pairs_share_is_examined_once(hub: LocalHub, tmp_path: Path) -> None:
    repo, directory = published(hub, vit(), tmp_path)
    entries = [
        pair(f"owner/preflight-{number}", encoder=repo, decoder=f"team/{name}", seed=number)
        for number, name in enumerate(("bart", "gpt2", "bert", "bart"))
    ]
    hub.requests.clear()
    made = make_report(manifest(*entries), RunOptions(), client(hub)).actions
    assert [each.name for each in made] == ["build"] * 4
    assert sent(hub, directory / "model.safetensors") == header_size(
        directory / "model.safetensors"
    )
    paths = [each.path for each in hub.requests]
    assert paths.count(f"/api/models/{repo}") == 1
    assert [path.rpartition("/")[2] for path in paths if f"/{repo}/resolve" in path].count(
        "model.safetensors"
    ) == 1


def test_what_passes_with_warnings_is_built_with_the_same_ones(
    hub: LocalHub, tmp_path: Path
) -> None:
    repo, _ = published(hub, vit(prefix=True, processor_size=24, license="gpl-3.0"), tmp_path)
    made = looked_at(hub, encoder=repo)
    result = build_pair(hub, pair("owner/preflight-built", encoder=repo, decoder="team/bart"))
    assert result.action == "built"
    assert result.findings == made.findings
    assert [found.key for found in made.findings] == ["encoder", "encoder", "license"]
