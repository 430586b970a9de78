"""The demo's manifest. `make demo` runs the demo itself."""

from pathlib import Path

import pytest

from examples.demo.__main__ import TOKEN, reader_variables
from ved.manifest.loading import load

PAIRS = Path(__file__).parents[2] / "examples" / "demo" / "pairs.yaml"


def test_demo_manifest_is_valid() -> None:
    assert [pair.repo for pair in load(PAIRS).pairs] == [
        *("demo/vit-gpt2", "demo/beit-bert", "demo/dinov2-bart"),
    ]


def test_demo_sends_the_local_hub_no_token_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    variables = reader_variables("http://127.0.0.1:1", tmp_path)
    assert "hf_of_the_user" not in variables.values()
    assert variables["HF_TOKEN"] == TOKEN
