"""The demo's manifest; `make demo` runs the rest."""

from pathlib import Path

from ved.manifest.loading import load

PAIRS = Path(__file__).parents[2] / "examples" / "demo" / "pairs.yaml"


def test_the_demos_manifest_is_right() -> None:
    assert [pair.repo for pair in load(PAIRS).pairs] == [
        *("demo/vit-gpt2", "demo/beit-bert", "demo/dinov2-bart"),
    ]
