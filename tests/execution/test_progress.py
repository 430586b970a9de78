"""What is shown of a run: plain lines in a log, and a bar besides in a terminal only."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.publishing import TOKEN, pair
from ved.execution.progress import progress_bar
from ved.localhub import LocalHub

ROOT = Path(__file__).parents[2]


def test_a_log_has_a_plain_line_for_each_step_that_begins_with_the_pair(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "ved")
    with progress_bar(3000, is_shown=False) as progress:
        with progress.step("owner/a", "Downloading", 1000):
            pass
        with progress.step("owner/b", "Assembling", 2_000_000):
            pass
    assert caplog.messages == ["owner/a: Downloading 1.0 KB", "owner/b: Assembling 2.0 MB"]
    assert capfd.readouterr() == ("", "")


def test_a_bar_names_what_is_being_done_and_counts_the_bytes_of_what_is_over(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def drawn() -> str:
        return capfd.readouterr().err.rpartition("\r")[2]

    with (
        progress_bar(4000, is_shown=True) as progress,
        progress.step("owner/a", "Assembling", 3000),
    ):
        assert drawn().startswith("assembling owner/a:   0%|")
        with progress.step("owner/b", "Downloading", 1000):
            assert drawn().startswith("assembling owner/a, downloading owner/b:   0%|")
        assert drawn().startswith("assembling owner/a:")
    assert "4.00k/4.00k" in drawn()


def test_the_bytes_of_a_step_that_fails_are_counted_as_well(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        progress_bar(1000, is_shown=True) as progress,
        pytest.raises(OSError, match="full"),
        progress.step("owner/a", "Assembling", 1000),
    ):
        raise OSError("full")
    assert "1.00k/1.00k" in capfd.readouterr().err


@pytest.mark.slow
def test_in_a_terminal_a_bar_is_drawn_and_the_lines_of_the_log_stay_whole(
    hub: LocalHub, tmp_path: Path
) -> None:
    manifest = tmp_path / "pairs.yaml"
    manifest.write_text(json.dumps({"pairs": [pair("owner/of-the-terminal")]}))
    terminal, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, (24, 200))
    with subprocess.Popen(
        [sys.executable, "-m", "ved", "build", manifest, "--endpoint", hub.endpoint],
        stderr=its_end,
        env={**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": TOKEN},
        cwd=ROOT,
    ) as process:
        os.close(its_end)
        received = b""
        with suppress(OSError):  # which ends it, once nobody writes any more
            while piece := os.read(terminal, 4096):
                received += piece
    os.close(terminal)
    assert process.returncode == 0
    text = received.decode()
    assert re.search(r"\rassembling owner/of-the-terminal: +\d+%\|", text)
    # huggingface_hub's own bars: of downloads, and not of uploads.
    assert re.search(r"/config.json: +\d+%\|", text)
    assert "Processing" not in text
    for verb in ("Downloading", "Assembling", "Publishing", "Checking"):
        assert re.search(rf"\rowner/of-the-terminal: {verb} [\d.]+ KB\r\n", text)
