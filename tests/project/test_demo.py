"""The demo's manifest. `make demo` runs the demo itself."""

from pathlib import Path

from ved.manifest.loading import load

PAIRS = Path(__file__).parents[2] / "examples" / "demo" / "pairs.yaml"


def test_demo_manifest_is_valid() -> None:
    assert [pair.repo for pair in load(PAIRS).pairs] == [
        *("demo/vit-gpt2", "demo/beit-bert", "demo/dinov2-bart"),
    ]
