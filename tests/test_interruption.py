"""What is left behind when VED is stopped: by a full disk, by a kill, or by its user."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.publishing import header_size, pair, publish, sent
from ved.localhub import LocalHub, checkpoints

LARGEST_FILE = 100_000  # bytes; the weights are larger, the configs are not


@pytest.fixture(scope="module")
def large_sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    large = {"hidden_size": 512, "config": {"num_hidden_layers": 6, "num_attention_heads": 8}}
    encoder = checkpoints.vit(folder / "vit", **large)  # type: ignore[arg-type]
    return encoder, checkpoints.gpt2(folder / "gpt2", **large)  # type: ignore[arg-type]


def start(sources: tuple[Path, Path], output: Path, *limited: str) -> subprocess.Popen[str]:
    """Run `ved assemble` in a process of its own, behind a command that limits it."""
    encoder, decoder = sources
    return subprocess.Popen(
        [
            *(*limited, sys.executable, "-m", "ved", "assemble"),
            *("--encoder_model_name_or_path", encoder),
            *("--decoder_model_name_or_path", decoder),
            *("--output_dir", output),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_disk_that_fills_up_is_one_clear_error_and_leaves_nothing(
    large_sources: tuple[Path, Path], tmp_path: Path
) -> None:
    process = start(large_sources, tmp_path / "output", "prlimit", f"--fsize={LARGEST_FILE}")
    _, printed = process.communicate()

    assert process.returncode == 1
    assert "ERROR File too large" in printed
    assert "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_partial_file_under_a_final_name(
    large_sources: tuple[Path, Path], tmp_path: Path
) -> None:
    process = start(large_sources, tmp_path / "output")
    while not list(tmp_path.rglob("*.partial")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "output").exists()
    assert not list(tmp_path.rglob("flax_model.msgpack"))


def test_an_interrupt_leaves_nothing(large_sources: tuple[Path, Path], tmp_path: Path) -> None:
    process = start(large_sources, tmp_path / "output")
    while not list(tmp_path.rglob("*.partial")):
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()

    assert process.returncode == 130
    assert "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_of_a_download_ends_the_build_and_leaves_nothing(
    hub: LocalHub, tmp_path: Path
) -> None:
    encoder = checkpoints.vit(tmp_path / "vit", hidden_size=128)
    publish(hub, "team/large", encoder)
    weights = encoder / "model.safetensors"
    manifest = tmp_path / "pairs.yaml"
    manifest.write_text(json.dumps({"pairs": [pair("owner/of-large", encoder="team/large")]}))
    options: list[str | Path] = ["--no-push", "--output-dir", tmp_path / "built", "--endpoint"]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache")}
    hub.requests.clear()
    hub.faults.download.rate = 100_000  # bytes per second: the encoder alone takes many

    process = subprocess.Popen(
        [sys.executable, "-m", "ved", "build", manifest, *options, hub.endpoint],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    while sent(hub, weights) < 2 * header_size(weights):
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()

    assert process.returncode == 130
    assert printed.endswith("Stopped.\n")
    assert "Traceback" not in printed
    assert sent(hub, weights) < weights.stat().st_size
    assert list((tmp_path / "built").iterdir()) == []
