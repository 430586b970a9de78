"""The samples of the local Hub: their files, and their publication."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from tests import checkpoints
from tests.localhub.helpers import Names
from ved.localhub import LocalHub, samples
from ved.localhub.samples import SampleCheckpoint, SampleOptions

FAMILIES: dict[str, Callable[[SampleOptions], SampleCheckpoint]] = {
    "vit": samples.vit,
    "beit": samples.beit,
    "dinov2": samples.dinov2,
    "gpt2": samples.gpt2,
    "bert": samples.bert,
    "roberta": samples.roberta,
    "bart": samples.bart,
}
WRITERS: dict[str, Callable[..., Path]] = {**checkpoints.ENCODERS, **checkpoints.DECODERS}


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# tests/checkpoints checks the files of its checkpoints, so it is enough to compare with them.
@pytest.mark.parametrize(
    "options",
    [{}, {"seed": 7, "hidden_size": 48}, {"layout": "sharded", "dtype": "float16"}],
    ids=["default", "seed and size", "layout and dtype"],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_sample_has_the_files_of_the_test_checkpoint(
    family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    written = FAMILIES[family](SampleOptions(**options)).write(tmp_path / "sample")
    assert files_of(written) == files_of(WRITERS[family](tmp_path / "expected", **options))


def test_sample_layout_flax_has_the_files_of_the_test_checkpoint(tmp_path: Path) -> None:
    written = samples.dinov2(SampleOptions(layout="flax")).write(tmp_path / "sample")
    expected = checkpoints.dinov2(tmp_path / "expected", layout="flax")
    assert files_of(written) == files_of(expected)


def test_sample_tokenizer_format_has_the_files_of_the_test_checkpoint(tmp_path: Path) -> None:
    options = SampleOptions(tokenizer_format="transformers5")
    written = samples.gpt2(options).write(tmp_path / "sample")
    expected = checkpoints.gpt2(tmp_path / "expected", tokenizer="transformers5")
    assert files_of(written) == files_of(expected)


def test_publish_keeps_existing_repos(hub: LocalHub, names: Names) -> None:
    owner = f"samples-{names.number}"
    chosen = {f"{owner}/vit": samples.vit, f"{owner}/gpt2": samples.gpt2}
    assert samples.publish(hub, chosen) == [*chosen]
    api = HfApi(hub.endpoint, token=False)
    before = {repo: api.model_info(repo).sha for repo in chosen}
    assert "model.safetensors" in api.list_repo_files(f"{owner}/vit")

    more = {**chosen, f"{owner}/beit": samples.beit}
    assert samples.publish(hub, more) == [f"{owner}/beit"]
    assert {repo: api.model_info(repo).sha for repo in chosen} == before


def test_samples_have_the_model_types_of_real_repos() -> None:
    types = {repo: build().config.model_type for repo, build in samples.SAMPLES.items()}
    assert types == {
        "google/vit-base-patch16-224-in21k": "vit",
        "microsoft/beit-base-patch16-224-pt22k-ft22k": "beit",
        "facebook/dinov2-base": "dinov2",
        "openai-community/gpt2": "gpt2",
        "facebook/bart-base": "bart",
        "google-bert/bert-base-uncased": "bert",
        "FacebookAI/roberta-base": "roberta",
    }
