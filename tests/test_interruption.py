"""What is left behind when assembly is stopped: by a full disk, or by a kill."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ved.localhub import checkpoints

LARGEST_FILE = 100_000  # bytes; the weights are larger, the configs are not


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
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
    sources: tuple[Path, Path], tmp_path: Path
) -> None:
    process = start(sources, tmp_path / "output", "prlimit", f"--fsize={LARGEST_FILE}")
    _, printed = process.communicate()

    assert process.returncode == 1
    assert "ERROR File too large" in printed
    assert "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_partial_file_under_a_final_name(
    sources: tuple[Path, Path], tmp_path: Path
) -> None:
    process = start(sources, tmp_path / "output")
    while not list(tmp_path.rglob("*.partial")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "output").exists()
    assert not list(tmp_path.rglob("flax_model.msgpack"))


def test_an_interrupt_leaves_nothing(sources: tuple[Path, Path], tmp_path: Path) -> None:
    process = start(sources, tmp_path / "output")
    while not list(tmp_path.rglob("*.partial")):
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()

    assert process.returncode == 130
    assert "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []
