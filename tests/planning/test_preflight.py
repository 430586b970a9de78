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
from ved.planning.actions import Build, PlannedAction
from ved.planning.findings import Finding
from ved.planning.machine_checks import check_machine
from ved.planning.plan import make_plan
from ved.sizes import format_size
from ved.sources.samples import SAMPLE_BYTES

Expected: TypeAlias = tuple[str, ...]
"""Level, key, error code, and data that the message has to name."""

Write: TypeAlias = Callable[[Path], Path]

NUMBERS = count(1)


def _wide(write: Callable[..., Path], **options: Any) -> Write:
    """Make samples so wide that their weights are many times their headers."""
    return partial(write, hidden_size=64, **options)


vit = partial(_wide, checkpoints.vit)
beit = partial(_wide, checkpoints.beit)
dinov2 = partial(_wide, checkpoints.dinov2)
clip_vision = partial(_wide, checkpoints.clip_vision)
siglip_vision = partial(_wide, checkpoints.siglip_vision)
swin = partial(_wide, checkpoints.swin)
swinv2 = partial(_wide, checkpoints.swinv2)
donut_swin = partial(_wide, checkpoints.donut_swin)
deit = partial(_wide, checkpoints.deit)
ijepa = partial(_wide, checkpoints.ijepa)
dinov2_with_registers = partial(_wide, checkpoints.dinov2_with_registers)
dinov3 = partial(_wide, checkpoints.dinov3)
gpt2 = partial(_wide, checkpoints.gpt2)
bert = partial(_wide, checkpoints.bert)
roberta = partial(_wide, checkpoints.roberta)
xlm_roberta = partial(_wide, checkpoints.xlm_roberta)
roberta_prelayernorm = partial(_wide, checkpoints.roberta_prelayernorm)
bart = partial(_wide, checkpoints.bart)
mbart = partial(_wide, checkpoints.mbart)
trocr = partial(_wide, checkpoints.trocr)
xglm = partial(_wide, checkpoints.xglm)
pegasus = partial(_wide, checkpoints.pegasus)
electra_small = partial(_wide, checkpoints.DECODERS["electra"])
bert_generation = partial(_wide, checkpoints.bert_generation)


def configured(write: Write, file: str = "config.json", **settings: Any) -> Write:
    """Let a config say something else than the weights were made for."""

    def written(directory: Path) -> Path:
        edit_json(write(directory) / file, **settings)
        return directory

    return written


def rewritten(write: Write, file: str, content: str) -> Write:
    """Replace a file."""

    def written(directory: Path) -> Path:
        (write(directory) / file).write_text(content)
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


def whole_of_two(directory: Path) -> Path:
    """Write a whole vision encoder-decoder."""
    with tempfile.TemporaryDirectory() as folder:
        halves = {
            "encoder": ("encoder.", checkpoints.vit(Path(folder, "vit"), hidden_size=64)),
            "decoder": ("decoder.", checkpoints.gpt2(Path(folder, "gpt2"), hidden_size=64)),
        }
        return checkpoints.whole(directory, "vision-encoder-decoder", halves)


TOKENIZER = ("tokenizer*.json", "vocab.*", "merges.txt", "special_tokens_map.json")

DINOV3_PROCESSOR: Expected = (
    "notice",
    "encoder",
    ErrorCode.PROCESSOR_NOT_USABLE,
    "BitImageProcessor",
)
PAD_IS_EOS: Expected = ("notice", "token_ids", ErrorCode.TOKEN_IDS, "384")


@dataclass(frozen=True)
class Case:
    """A source, and what is to be found of it beside a good one in the other role."""

    role: Role
    write: Write
    findings: Sequence[Expected] = ()
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        return any(level == "error" for level, *_ in self.findings)


def encoder(write: Write, *findings: Expected, **keys: Any) -> Case:
    return Case("encoder", write, findings, keys)


def decoder(write: Write, *findings: Expected, **keys: Any) -> Case:
    return Case("decoder", write, findings, keys)


def twin(write: Callable[..., Path], of: str, *findings: Expected) -> Case:
    """Return a case of a family that is published as another one."""
    role: Role = "encoder" if write in checkpoints.TWIN_ENCODERS.values() else "decoder"
    notice = ("notice", role, ErrorCode.TWIN_FAMILY, f"'{of}'")
    return Case(role, _wide(write), (notice, *findings))


NO_POOLER: Expected = ("warning", "encoder", ErrorCode.RANDOM_PARAMETERS, "pooler")
TWINS = {
    "vit_mae": twin(checkpoints.vit_mae, "vit", NO_POOLER),
    "vit_msn": twin(checkpoints.vit_msn, "vit", NO_POOLER),
    "chinese_clip_vision_model": twin(checkpoints.chinese_clip_vision, "clip_vision_model"),
    "data2vec-vision": twin(checkpoints.data2vec_vision, "beit"),
    "camembert": twin(checkpoints.camembert, "roberta"),
    "data2vec-text": twin(checkpoints.data2vec_text, "roberta"),
    "distilbert": twin(checkpoints.distilbert, "bert"),
    "electra": twin(checkpoints.electra, "bert"),
    "ernie": twin(checkpoints.ernie, "bert"),
    "a half of a whole model": encoder(
        whole_of_two, ("notice", "encoder", ErrorCode.HALF_OF_A_MODEL, "encoder.*")
    ),
}

CASES = {
    # As they are in their real repositories.
    "vit": encoder(vit()),
    "beit": encoder(beit()),
    "dinov2": encoder(
        dinov2(),
        (
            "notice",
            "encoder",
            ErrorCode.IMAGE_SIZE,
            "16 x 16",
            "32 x 32",
        ),
    ),
    "clip_vision_model": encoder(clip_vision()),
    "siglip_vision_model": encoder(siglip_vision()),
    "swin": encoder(swin()),
    "swinv2": encoder(swinv2()),
    "donut-swin": encoder(donut_swin()),
    "swin with a processor of other images": encoder(
        swin(processor_size=24),
        ("notice", "encoder", ErrorCode.IMAGE_SIZE, "24 x 24", "16 x 16"),
    ),
    "swin with a processor of images smaller than a window": encoder(
        swin(processor_size=12),
        ("warning", "encoder", ErrorCode.IMAGE_SIZE, "12 x 12", "16 x 16", "window"),
    ),
    "swin whose window is larger than the map": encoder(
        configured(swin(), window_size=5),
        ("error", "encoder", ErrorCode.CONFIG_NOT_USABLE, "window"),
    ),
    "deit": encoder(deit()),
    "ijepa": encoder(ijepa()),
    "dinov2_with_registers": encoder(
        dinov2_with_registers(),
        ("notice", "encoder", ErrorCode.IMAGE_SIZE, "16 x 16", "32 x 32"),
    ),
    "dinov3_vit": encoder(dinov3(), DINOV3_PROCESSOR),
    "gpt2": decoder(gpt2(), PAD_IS_EOS),
    "bert": decoder(bert()),
    "roberta": decoder(roberta()),
    "xlm-roberta": decoder(xlm_roberta()),
    "roberta-prelayernorm": decoder(roberta_prelayernorm()),
    "bart": decoder(bart()),
    "mbart": decoder(mbart()),
    "trocr": decoder(trocr()),
    "xglm": decoder(xglm()),
    "pegasus": decoder(pegasus()),
    "electra with narrow embeddings": decoder(_wide(checkpoints.DECODERS["electra"])),
    "bert-generation": decoder(bert_generation()),
    **TWINS,
    # Names.
    "gpt2 with a prefix, and buffers": decoder(gpt2(prefix=True), PAD_IS_EOS),
    "dinov2 with a prefix and a head": encoder(
        dinov2(prefix=True, processor_size=32),
    ),
    "beit without a prefix and a head": encoder(beit(prefix=False)),
    "bart without a prefix": decoder(bart(prefix=False)),
    "clip without a prefix, and another image size": encoder(
        clip_vision(prefix=False, processor_size=24),
        ("warning", "encoder", ErrorCode.IMAGE_SIZE, "24 x 24", "16 x 16"),
    ),
    "siglip without a head": encoder(siglip_vision(config={"vision_use_head": False})),
    "siglip whose head is missing": encoder(
        siglip_vision(without=("vision_model.head.",)),
        ("warning", "encoder", ErrorCode.RANDOM_PARAMETERS, "head"),
    ),
    "deit with two heads": encoder(
        deit(prefix=True, without=("deit.pooler.",)),
        ("warning", "encoder", ErrorCode.RANDOM_PARAMETERS, "pooler"),
    ),
    "vit with a prefix, a head, and no pooler": encoder(
        vit(prefix=True),
        ("warning", "encoder", ErrorCode.RANDOM_PARAMETERS, "pooler"),
    ),
    "bert without a language-model head": decoder(
        bert(prefix=False),
        ("warning", "decoder", ErrorCode.RANDOM_PARAMETERS, "cls"),
    ),
    "bert without a transform": decoder(
        bert(without=("cls.predictions.transform",)),
        ("warning", "decoder", ErrorCode.RANDOM_PARAMETERS, "cls/predictions/transform"),
    ),
    "roberta without a language-model head": decoder(
        roberta(prefix=False),
        ("warning", "decoder", ErrorCode.RANDOM_PARAMETERS, "lm_head"),
    ),
    "electra that discriminates": decoder(
        electra_small(prefix=False),
        ("warning", "decoder", ErrorCode.RANDOM_PARAMETERS, "generator_lm_head"),
        ("warning", "decoder", ErrorCode.RANDOM_PARAMETERS, "generator_predictions"),
    ),
    "bert-generation without a head, like the real one": decoder(
        bert_generation(prefix=False),
        ("warning", "decoder", ErrorCode.RANDOM_PARAMETERS, "lm_head"),
    ),
    "trocr with sinusoids": decoder(
        trocr(config={"use_learned_position_embeddings": False}),
        ("error", "decoder", ErrorCode.UNSUPPORTED_SETTINGS, "use_learned_position_embeddings"),
    ),
    "trocr whose encoder had another width": decoder(
        trocr(
            config={"cross_attention_hidden_size": 40},
        ),
    ),
    "bert with modern names": decoder(
        bert(rename={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"})
    ),
    "names that match nothing": encoder(
        vit(rename={"encoder.layer.": "blocks."}),
        ("error", "encoder", ErrorCode.WEIGHTS_DO_NOT_FIT, "32"),
    ),
    "a tensor that nobody knows": encoder(
        vit(rename={"pooler.dense": "poolhouse.dense"}),
        ("warning", "encoder", ErrorCode.RANDOM_PARAMETERS, "pooler"),
        ("warning", "encoder", ErrorCode.RANDOM_PARAMETERS, "poolhouse"),
    ),
    "a layer that is missing": decoder(
        gpt2(without=("h.1.",)),
        ("error", "decoder", ErrorCode.WEIGHTS_DO_NOT_FIT, "12"),
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
            ErrorCode.DAMAGED_SOURCE,
            "model-00002-of-00002.safetensors",
        ),
    ),
    "float16": encoder(vit(dtype="float16")),
    "bfloat16": decoder(bert(dtype="bfloat16")),
    "pickled weights only": encoder(
        vit(layout="pickle"),
        (
            "error",
            "encoder",
            ErrorCode.NO_USABLE_WEIGHTS,
            "pytorch_model.bin",
        ),
    ),
    "pickled weights that are allowed": encoder(vit(layout="pickle"), allow_pickle=True),
    "no weights": encoder(
        lacking(vit(), "*.safetensors"),
        ("error", "encoder", ErrorCode.NO_USABLE_WEIGHTS),
    ),
    "no config": decoder(
        lacking(bart(), "config.json"),
        ("error", "decoder", ErrorCode.CONFIG_NOT_USABLE, "config.json"),
    ),
    # Shapes and settings.
    "weights of another width": encoder(
        configured(vit(), intermediate_size=128),
        (
            "error",
            "encoder",
            ErrorCode.WEIGHTS_DO_NOT_FIT,
            "encoder.layer.0.intermediate.dense.weight",
        ),
    ),
    "weights of another vocabulary": decoder(
        configured(bart(), vocab_size=300),
        ("error", "decoder", ErrorCode.WEIGHTS_DO_NOT_FIT),
    ),
    "attention that no class computes": decoder(
        configured(gpt2(), normalize_attention_scores=False),
        (
            "error",
            "decoder",
            ErrorCode.UNSUPPORTED_SETTINGS,
            "normalize_attention_scores",
            "True",
        ),
    ),
    "relative positions": decoder(
        bert(config={"position_embedding_type": "relative_key"}),
        (
            "error",
            "decoder",
            ErrorCode.UNSUPPORTED_SETTINGS,
            "position_embedding_type",
            "relative_key",
        ),
    ),
    "an activation that Flax lacks": encoder(
        dinov2(config={"hidden_act": "mish"}),
        ("error", "encoder", ErrorCode.UNSUPPORTED_SETTINGS, "hidden_act", "mish"),
    ),
    "an unknown setting": decoder(
        configured(bert(), rotary_dim=8),
        ("warning", "decoder", ErrorCode.UNKNOWN_SETTINGS, "rotary_dim"),
    ),
    "settings of other programs": encoder(configured(vit(), _of_another="x", anything=None)),
    "quantized weights": decoder(
        configured(bart(), quantization_config={"quant_method": "gptq"}),
        ("error", "decoder", ErrorCode.UNSUPPORTED_SETTINGS, "quantized"),
    ),
    # Tokenizers and token ids.
    "a tokenizer longer than the embedding": decoder(
        bart(extra_tokens=3),
        (
            "warning",
            "decoder",
            ErrorCode.VOCABULARY_SIZE,
            "<extra_0>",
            "389",
        ),
    ),
    "a tokenizer shorter than the embedding": decoder(
        bart(config={"vocab_size": 400}),
        ("notice", "decoder", ErrorCode.VOCABULARY_SIZE, "400", "389"),
    ),
    "a tokenizer saved with transformers 5": decoder(bart(tokenizer="transformers5")),
    "a slow tokenizer": decoder(roberta(tokenizer="slow")),
    "no tokenizer": decoder(
        lacking(bart(), *TOKENIZER), ("error", "decoder", ErrorCode.PROCESSOR_NOT_USABLE)
    ),
    "a pad id outside the vocabulary": decoder(
        bart(config={"pad_token_id": 5000}),
        (
            "error",
            "token_ids",
            ErrorCode.TOKEN_IDS,
            "5000",
            "389",
        ),
    ),
    "a pad id that is the eos id": decoder(
        bart(config={"pad_token_id": 2}),
        ("warning", "token_ids", ErrorCode.TOKEN_IDS_DIFFER, "1 ('<pad>')", "2 ('</s>')"),
    ),
    "ids of ordinary words": decoder(
        gpt2(config={"bos_token_id": 100, "eos_token_id": 100}),
        ("warning", "token_ids", ErrorCode.TOKEN_IDS_DIFFER, "decoder_start 384", "says 100"),
        ("warning", "token_ids", ErrorCode.TOKEN_IDS_DIFFER, "eos 384", "says 100"),
        PAD_IS_EOS,
    ),
    "an ordinary word in the generation config": decoder(
        configured(bart(), file="generation_config.json", eos_token_id=100),
        ("warning", "token_ids", ErrorCode.TOKEN_IDS_DIFFER, "eos 2", "says 100"),
    ),
    "no token ids in the config": decoder(
        gpt2(config={"bos_token_id": None, "eos_token_id": None}), PAD_IS_EOS
    ),
    "no token ids at all": decoder(
        lacking(
            rewritten(
                gpt2(config={"bos_token_id": None, "eos_token_id": None}),
                "tokenizer_config.json",
                '{"tokenizer_class": "PreTrainedTokenizerFast"}',
            ),
            "special_tokens_map.json",
        ),
        ("error", "token_ids", ErrorCode.TOKEN_IDS, "pad"),
    ),
    "a generation config that is no object": decoder(
        rewritten(bart(), "generation_config.json", "[]"),
        ("error", "decoder", ErrorCode.DAMAGED_SOURCE, "generation_config.json"),
    ),
    "a generation config that is large": decoder(
        rewritten(bart(), "generation_config.json", " " * 2**21),
        ("error", "decoder", ErrorCode.SOURCE_TOO_LARGE, "generation_config.json"),
    ),
    "generation settings that contradict one another": decoder(configured(bart(), temperature=0.3)),
    # Image processors.
    "an image processor of another size": encoder(
        vit(processor_size=24),
        (
            "warning",
            "encoder",
            ErrorCode.IMAGE_SIZE,
            "24 x 24",
            "16 x 16",
        ),
    ),
    "a dinov2 whose sizes agree": encoder(dinov2(processor_size=32)),
    "no image processor": encoder(
        lacking(vit(), "preprocessor_config.json"),
        ("error", "encoder", ErrorCode.PROCESSOR_NOT_USABLE, "preprocessor_config.json"),
    ),
    # Licences.
    "no license": decoder(
        bart(license=""),
        ("warning", "license", ErrorCode.LICENSE_UNCLEAR),
    ),
    "an unknown license": encoder(
        vit(license="unknown"),
        ("warning", "license", ErrorCode.LICENSE_UNCLEAR),
    ),
    "a license that binds": decoder(
        bart(license="gpl-3.0"),
        ("warning", "license", ErrorCode.LICENSE_UNCLEAR, "gpl-3.0"),
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


def assert_found(found: Iterable[Finding], expected: Sequence[Expected]) -> None:
    """Check findings one by one, in order: level, key and code, and the data in the message."""
    actual = list(found)
    wanted = [(level, key, code) for level, key, code, *_ in expected]
    assert [(each.level, each.key, str(each.code)) for each in actual] == wanted, actual
    for each, (_, _, _, *data) in zip(actual, expected, strict=True):
        for part in data:
            assert part in each.message


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
def test_preflight_finds_problems_of_a_source(name: str, examined: dict[str, Examined]) -> None:
    case, made = CASES[name], examined[name].planned
    assert_found(made.findings, case.findings)
    assert made.name == ("refuse" if case.is_error else "build")


@pytest.mark.parametrize("name", CASES)
def test_preflight_reads_headers_only(name: str, examined: dict[str, Examined]) -> None:
    has_ties = "under both names" in name or "under all names" in name
    samples = 2 * 6 * SAMPLE_BYTES if has_ties else 0  # of two pairs of tied tensors
    for weights, size in examined[name].sent.items():
        assert size <= size_before_tensors(weights) + samples
        assert size_before_tensors(weights) < weights.stat().st_size / 10
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
def test_preflight_agrees_with_assembly_on_success_and_size(
    name: str, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    case = CASES[name]
    directory = case.write(tmp_path / "source")
    weights = ["flax", "safetensors"]
    made = looked_at(hub, **source_of(case, str(directory)), weights=weights)
    assert_found(made.findings, case.findings)
    assert isinstance(made, Build)

    to = assembled(case, directory, sources, tmp_path / "assembled")

    files = [to / "flax_model.msgpack", to / "model.safetensors"]
    written = sum(path.stat().st_size for path in files)
    assert made.estimate.output < written < 1.05 * made.estimate.output  # names, and a projection


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_error])
def test_preflight_agrees_with_assembly_on_refusal(
    name: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    case = CASES[name]
    directory = case.write(tmp_path / "source")
    with pytest.raises(VedError) as caught:
        assembled(case, directory, sources, tmp_path / "assembled")
    (error,) = [found for found in case.findings if found[0] == "error"]
    _, _, code, *data = error
    assert caught.value.code == code
    assert all(part in str(caught.value) for part in data)


CANNOT_WORK: dict[Role, Sequence[str]] = {
    "encoder": ["resnet", "convnext", "videomae", "detr", "blip", "llava", "t5"],
    "decoder": ["opt", "llama", "biogpt", "t5", "albert", "clip"],
}


def test_preflight_refuses_unsupported_families_by_config(hub: LocalHub, tmp_path: Path) -> None:
    families = [(role, each) for role, types in CANNOT_WORK.items() for each in types]
    entries = []
    for role, model_type in families:
        directory = checkpoints.config_only(tmp_path / f"{role}-{model_type}", model_type)
        (directory / "model.safetensors").write_bytes(b"not read")
        entries.append(good_pair(repo=f"owner/{role}-{model_type}", **{str(role): str(directory)}))

    plans = planned(hub, *entries)

    for made, (role, model_type) in zip(plans, families, strict=True):
        code = ErrorCode.UNSUPPORTED_FAMILY
        assert_found(made.findings, [("error", role, code, model_type)])
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
            ("error", "decoder", ErrorCode.GATED_SOURCE, "stranger/preflight"),
        ),
        (
            {"decoder": "stranger/preflight-private"},
            ("error", "decoder", ErrorCode.NO_SUCH_REPO, "stranger/preflight-private"),
        ),
        (
            {"encoder": "team/there-is-none"},
            ("error", "encoder", ErrorCode.NO_SUCH_REPO, "team/there-is-none"),
        ),
        (
            {"encoder": {"model": "team/vit", "config": "team/there-is-none"}},
            ("error", "encoder", ErrorCode.NO_SUCH_REPO, "team/there-is-none"),
        ),
        (
            {"decoder": "team/bart@v9"},
            ("error", "decoder", ErrorCode.NO_SUCH_REVISION, "team/bart", "v9"),
        ),
        ({"repo": "stranger/new"}, ("error", "repo", ErrorCode.TOKEN_MAY_NOT_WRITE, "stranger")),
        (
            {"repo": "team/bart"},
            ("error", "repo", ErrorCode.REPO_IS_ITS_OWN_SOURCE, "team/bart"),
        ),
    ],
    ids=str,
)
def test_plan_reports_access_errors_at_their_keys(
    keys: dict[str, Any], expected: Expected, hub: LocalHub
) -> None:
    made = looked_at(hub, **keys)
    assert_found(made.findings, [expected])
    assert made.name == "refuse"


def test_plan_reports_a_refused_card(hub: LocalHub) -> None:
    hub.faults.add("POST", "^/api/validate-yaml$", status=400)
    made = looked_at(hub, tags=["refused"])
    code = ErrorCode.MODEL_CARD_REFUSED
    assert_found(made.findings, [("error", "license", code, "owner/preflight")])


@pytest.mark.parametrize(
    "case", [encoder(lacking(vit(), "*.saf*")), decoder(lacking(bart(), "*.saf*"))]
)
def test_preflight_reports_a_local_directory_once(
    case: Case, hub: LocalHub, tmp_path: Path
) -> None:
    made = looked_at(hub, **source_of(case, str(case.write(tmp_path / "local"))))
    assert_found(made.findings, [("error", case.role, ErrorCode.NO_USABLE_WEIGHTS)])


@pytest.mark.usefixtures("strangers")
def test_plan_reports_all_problems_in_one_pass(hub: LocalHub, tmp_path: Path) -> None:
    write = lacking(
        vit(rename={"encoder.layer.": "blocks."}, processor_size=24), "preprocessor_config.json"
    )
    first, _ = published(hub, write, tmp_path)
    write = configured(bart(license="", extra_tokens=1), decoder_ffn_dim=8)
    second, _ = published(hub, write, tmp_path)
    made = looked_at(
        hub, repo="stranger/all", encoder=first, decoder=second, token_ids={"pad": 9999}
    )
    assert_found(
        made.findings,
        [
            ("error", "repo", ErrorCode.TOKEN_MAY_NOT_WRITE, "stranger"),
            ("error", "encoder", ErrorCode.PROCESSOR_NOT_USABLE, "preprocessor_config.json"),
            ("error", "encoder", ErrorCode.WEIGHTS_DO_NOT_FIT, "32"),
            ("error", "decoder", ErrorCode.WEIGHTS_DO_NOT_FIT),
            ("error", "token_ids", ErrorCode.TOKEN_IDS, "9999"),
            ("warning", "license", ErrorCode.LICENSE_UNCLEAR, second),
        ],
    )
    for found in made.findings:
        assert (found.message in made.reason) == (found.level == "error")


# What the manifest says besides


def test_preflight_prefers_token_ids_of_the_manifest(hub: LocalHub, tmp_path: Path) -> None:
    repo, _ = published(hub, bart(config={"pad_token_id": 5000}), tmp_path)
    assert_found(looked_at(hub, decoder=repo, token_ids={"pad": 1}).findings, [])
    made = looked_at(hub, decoder=repo, token_ids={"pad": 100})
    assert_found(
        made.findings, [("warning", "token_ids", ErrorCode.TOKEN_IDS_DIFFER, "pad to 100")]
    )


def test_preflight_uses_the_config_of_the_manifest(hub: LocalHub, tmp_path: Path) -> None:
    right, _ = published(hub, vit(), tmp_path)
    wrong, _ = published(hub, configured(vit(), intermediate_size=128), tmp_path)
    assert looked_at(hub, encoder=wrong).name == "refuse"
    made = looked_at(hub, encoder={"model": wrong, "config": right})
    assert_found(made.findings, [])


@pytest.mark.parametrize(
    ("encoder_license", "decoder_license", "stated", "expected"),
    [
        ("cc-by-nc-4.0", "mit", "cc-by-nc-4.0", None),
        ("cc-by-nc-4.0", "mit", None, ["cc-by-nc-4.0"]),
        ("cc-by-nc-4.0", "gpl-3.0", "gpl-3.0", ["cc-by-nc-4.0", "gpl-3.0"]),
        ("unknown", "mit", "mit", ["mit"]),
    ],
)
def test_preflight_warns_of_licenses_that_contradict(
    encoder_license: str,
    decoder_license: str,
    stated: str | None,
    expected: list[str] | None,
    hub: LocalHub,
    tmp_path: Path,
) -> None:
    first, _ = published(hub, vit(license=encoder_license), tmp_path)
    second, _ = published(hub, bart(license=decoder_license), tmp_path)
    keys = {"license": stated} if stated else {}
    made = looked_at(hub, encoder=first, decoder=second, **keys)
    assert made.name == "build"
    code = ErrorCode.LICENSE_UNCLEAR
    assert_found(made.findings, [("warning", "license", code, *expected)] if expected else [])


@pytest.mark.parametrize(
    ("gated", "private", "expected"),
    [
        ("auto", None, ("warning", "decoder", ErrorCode.GATED_SOURCE)),
        ("manual", False, ("warning", "decoder", ErrorCode.GATED_SOURCE, "private: true")),
        ("auto", True, ("notice", "decoder", ErrorCode.GATED_SOURCE)),
        (False, None, None),
    ],
)
def test_preflight_warns_of_gated_sources(
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
        assert "weights" not in finding.message  # it has one weight file already

    both = fits.pair.model_copy(update={"weights": ("flax", "safetensors")})
    (advised,) = check_machine(
        [replace(fits, subject=replace(fits.subject, pair=both))],
        RunOptions(max_disk=1),
        strict=True,
    )
    assert "weights: safetensors" in advised.findings[-1].message


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


def test_memory_that_is_too_small_is_a_warning(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ved.planning.machine_checks.available_memory", lambda: 10**8)
    made = looked_at(hub)
    assert made.name == "build"
    code = ErrorCode.NOT_ENOUGH_MEMORY
    assert_found(made.findings, [("warning", "repo", code, "100.0 MB")])


# How much is asked of the Hub


def test_preflight_examines_a_shared_source_once(hub: LocalHub, tmp_path: Path) -> None:
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


def test_build_has_the_findings_of_the_plan(hub: LocalHub, tmp_path: Path) -> None:
    repo, _ = published(hub, vit(prefix=True, processor_size=24, license="gpl-3.0"), tmp_path)
    made = looked_at(hub, encoder=repo)
    result = build_pair(hub, pair("owner/preflight-built", encoder=repo, decoder="team/bart"))
    assert result.action == "built"
    assert result.findings == made.findings
    assert [found.key for found in made.findings] == ["encoder", "encoder", "license"]
