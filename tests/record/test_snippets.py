"""The code on a card runs unchanged with the packages that the card names, and it trains."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

import ved
from tests import checkpoints
from tests.support.building import source
from tests.support.consumers import run_with_pytorch
from tests.support.environments import quick_models
from tests.support.faults import ALL_FAULTS
from tests.support.publishing import manifest, markdown, pair
from ved.execution.checkpoint_dir import build_checkpoint
from ved.families.lookup import find_family
from ved.families.runtimes import runtimes
from ved.manifest.settings import CheckpointSettings
from ved.record import BuildRecord, card, snippets

pytestmark = pytest.mark.slow

CONSUMER = Path(__file__).parents[1] / "consumers" / "snippets.py"

# The other keys of each pair. Pad is eos in GPT-2, and if token_ids says so.
PAIRS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("vit", "gpt2"): {},
    ("beit", "bert"): {"weights": "safetensors", "token_ids": {"pad": 3}},
    ("dinov2", "roberta"): {},
    ("swin", "xlm-roberta"): {"weights": "flax", "dtype": "float16"},
    ("clip_vision_model", "roberta-prelayernorm"): {"dtype": "bfloat16", "weights": "safetensors"},
    ("siglip_vision_model", "bart"): {"dtype": "float16"},
    ("donut-swin", "mbart"): {"dtype": "float16"},
    ("swinv2", "xglm"): {},
    **{
        (encoder, "gpt2"): {"weights": "flax"}
        for encoder in ("deit", "dinov2_with_registers", "dinov3_vit", "ijepa")
    },
}
# One layer, because compiling takes most of the time.
SMALL = {"num_hidden_layers": 1}
SMALL_BART = {
    **{"encoder_layers": 1, "decoder_layers": 1},
    # Those of bart-large-cnn, with which generation of 16 tokens fails.
    **{"min_length": 56, "num_beams": 4, "no_repeat_ngram_size": 3, "forced_bos_token_id": 0},
}
# The code of a card without PyTorch is the same for each family: Swin's is enough.
ALIKE = [names for names, keys in PAIRS.items() if keys == {"weights": "flax"}]
RUN = {names: PAIRS[names] for names in PAIRS if ALL_FAULTS or names not in ALIKE}
ENTRIES = {f"{encoder}-{decoder}": keys for (encoder, decoder), keys in RUN.items()}
PYTORCH = [name for name, keys in ENTRIES.items() if keys.get("weights") != "flax"]
# The checkpoints that also run with transformers 4
OLDER = ("vit-gpt2", "dinov2-roberta")
PIPELINE = """
from PIL import Image
from transformers import pipeline

try:
    reader = pipeline("image-to-text", model="owner/vit-gpt2")
except TypeError:
    print("no pipeline")
else:
    for texts in reader([Image.radial_gradient("L").convert("RGB")], max_new_tokens=8):
        print(texts[0]["generated_text"])
"""
AUTO_CLASS = """
from transformers import AutoModelForImageTextToText

print(type(AutoModelForImageTextToText.from_pretrained("owner/vit-gpt2")).__name__)
"""


@dataclass(frozen=True)
class Described:
    """The record of a checkpoint in `owner/`, and the code of its card by heading."""

    record: BuildRecord
    code: Mapping[str, str]


@dataclass
class Outcome:
    """The output of a snippet, and its labels if it trains: -100 is padding."""

    lines: Sequence[str]
    labels: Sequence[Sequence[int]] | None = field(default=None)

    @property
    def losses(self) -> list[float]:
        """The losses that it printed."""
        matches = [re.fullmatch(r"step \d: loss (\d+\.\d{4})", line) for line in self.lines]
        return [float(match[1]) for match in matches if match]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def described(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Described]:
    found = {}
    for (encoder, decoder), keys in RUN.items():
        name = f"{encoder}-{decoder}"
        parts = tmp_path_factory.mktemp(name)
        small = SMALL_BART if decoder in ("bart", "mbart") else SMALL
        sources = (
            source("encoder", checkpoints.ENCODERS[encoder](parts / "encoder", config=SMALL)),
            source("decoder", checkpoints.DECODERS[decoder](parts / "decoder", config=small)),
        )
        (entry,) = manifest(pair(f"owner/{name}", **keys)).pairs
        directory = folder / entry.repo
        directory.mkdir(parents=True)
        settings = CheckpointSettings.of(entry)
        record = build_checkpoint(*sources, directory, HfApi(), settings, entry).record
        found[name] = Described(record, code_of((directory / card.FILE_NAME).read_text()))
    return found


def code_of(text: str) -> dict[str, str]:
    """Return a card's Python by its headings, such as `Fine-tune/Flax`."""
    headings = {"h2": "", "h3": ""}
    found = {}
    tokens = markdown(text)
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type == "heading_open" and token.tag in headings:
            headings[token.tag] = following.content
        elif token.type == "fence" and token.info == "python":
            found["/".join(headings.values())] = token.content
    return found


def outcomes(environment: str | None, code: Mapping[str, str], folder: Path) -> dict[str, Outcome]:
    """Run code in an environment, or in this one, with the checkpoints and without network."""
    request, answer = folder / f"{environment}-request.json", folder / f"{environment}-answer.json"
    request.write_text(json.dumps(code))
    if environment is None:
        variables = {
            **{variable: os.environ[variable] for variable in ("PATH", "HOME")},
            "HF_HUB_OFFLINE": "1",
            **quick_models(),
            "PYTHONPATH": str(Path(ved.__file__).parents[1]),  # as if VED was installed
        }
        subprocess.run(
            [sys.executable, CONSUMER, request, answer], env=variables, cwd=folder, check=True
        )
    else:
        run_with_pytorch(environment, folder, CONSUMER, str(request), str(answer))
    found = json.loads(answer.read_text())
    return {key: Outcome(**content) for key, content in found.items()}


def code_for(described: Mapping[str, Described], runtime: str) -> dict[str, str]:
    """Return the code of all cards for a runtime, as `<checkpoint>/<heading>`."""
    return {
        f"{name}/{heading.split('/')[0]}": code
        for name, each in described.items()
        for heading, code in each.code.items()
        if heading.endswith(f"/{runtime}")
    }


@pytest.fixture(scope="module")
def flax(described: dict[str, Described], folder: Path) -> dict[str, Outcome]:
    return outcomes(None, code_for(described, "Flax"), folder)


@pytest.fixture(scope="module")
def pytorch(described: dict[str, Described], folder: Path) -> dict[str, Outcome]:
    code = {**code_for(described, "PyTorch"), "pipeline": PIPELINE, "auto class": AUTO_CLASS}
    return outcomes("transformers5", code, folder)


@pytest.fixture(scope="module")
def older(described: dict[str, Described], folder: Path) -> dict[str, Outcome]:
    """Return the outcomes of some checkpoints with transformers 4."""
    code = code_for(described, "PyTorch")
    wanted = {key: code[key] for key in code if key.startswith(OLDER)}
    wanted |= {"pipeline": PIPELINE, "auto class": AUTO_CLASS}
    return outcomes("transformers4", wanted, folder)


def assert_generated(outcome: Outcome) -> None:
    """Check that the output is one text for one image."""
    (text,) = ast.literal_eval(outcome.lines[-1])
    assert isinstance(text, str)


def assert_trained(outcome: Outcome, eos: int) -> None:
    """Check that ten losses fall, and that labels include the ends of texts but no padding."""
    assert len(outcome.losses) == 10
    assert outcome.losses == sorted({*outcome.losses}, reverse=True)
    assert outcome.labels is not None
    short, long = outcome.labels
    end = short.index(-100)
    for text in (short[:end], long):
        assert eos in text[-2:]  # mBART has the code of the language after it
        assert text[0] != eos
    assert {*short[end:]} == {-100}
    assert -100 not in long


@pytest.mark.parametrize("name", ENTRIES)
def test_flax_snippet_generates(name: str, flax: dict[str, Outcome]) -> None:
    assert_generated(flax[f"{name}/Use"])


@pytest.mark.parametrize("name", ENTRIES)
def test_flax_training_snippet_lowers_the_loss(
    name: str, flax: dict[str, Outcome], described: dict[str, Described]
) -> None:
    assert_trained(flax[f"{name}/Fine-tune"], described[name].record.token_ids["eos"].id)


@pytest.mark.parametrize("name", PYTORCH)
def test_pytorch_snippet_generates(name: str, pytorch: dict[str, Outcome]) -> None:
    assert_generated(pytorch[f"{name}/Use"])


@pytest.mark.parametrize("name", PYTORCH)
def test_pytorch_training_snippet_lowers_the_loss(
    name: str, pytorch: dict[str, Outcome], described: dict[str, Described]
) -> None:
    assert_trained(pytorch[f"{name}/Fine-tune"], described[name].record.token_ids["eos"].id)


@pytest.mark.parametrize("name", PYTORCH)
def test_flax_and_pytorch_training_snippets_give_the_same_losses(
    name: str, flax: dict[str, Outcome], pytorch: dict[str, Outcome]
) -> None:
    first, second = (outcome[f"{name}/Fine-tune"] for outcome in (flax, pytorch))
    assert first.labels == second.labels
    assert first.losses == pytest.approx(second.losses, abs=2e-3)


def test_pytorch_training_snippet_gives_the_same_losses_with_transformers_4(
    pytorch: dict[str, Outcome], older: dict[str, Outcome]
) -> None:
    for name in OLDER:
        assert_generated(older[f"{name}/Use"])
        losses = older[f"{name}/Fine-tune"].losses
        assert losses == pytest.approx(pytorch[f"{name}/Fine-tune"].losses, abs=2e-3)


def test_card_tells_which_transformers_has_a_pipeline(
    described: dict[str, Described], pytorch: dict[str, Outcome], older: dict[str, Outcome]
) -> None:
    halves = {
        each.published_family: find_family(role, each.published_family, role)
        for role, each in described["vit-gpt2"].record.sources.items()
    }
    rows = [each for each in runtimes(halves) if "pipeline" in each.name]
    assert [each.works for each in rows] == [True, False]
    for row, outcome in zip(rows, (older, pytorch), strict=True):
        assert (outcome["pipeline"].lines == ["no pipeline"]) == (not row.works)
        # What the card tells to call instead.
        assert outcome["auto class"].lines == ["VisionEncoderDecoderModel"]
        assert ("max_new_tokens" in row.remark) == row.works


def test_snippets_of_a_record_are_on_its_card(described: dict[str, Described]) -> None:
    for each in described.values():
        expected = {
            "Use/Flax": snippets.flax_snippet(each.record),
            "Fine-tune/Flax": snippets.flax_training_snippet(each.record),
        }
        if snippets.has_pytorch(each.record):
            expected["Use/PyTorch"] = snippets.pytorch_snippet(each.record)
            expected["Fine-tune/PyTorch"] = snippets.pytorch_training_snippet(each.record)
        assert each.code == expected
