"""What is shown of a run: plain lines in a log, and bars below them in a terminal only."""

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.support.publishing import TOKEN, build_pair, pair
from ved.execution import run
from ved.execution.progress import Measure, Progress, bytes_below, progress_bars
from ved.localhub import LocalHub
from ved.logs import CleanStream
from ved.terminal.bars import RunningStep, RunState, format_seconds, live_bars, live_text

ROOT = Path(__file__).parents[2]


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """Return what was written, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def test_log_has_a_plain_line_for_each_step_that_begins_with_the_pair(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "ved")
    with progress_bars(3000, are_drawn=False) as progress:
        with progress.step("owner/a", "Downloading", 1000):
            pass
        with progress.step("owner/b", "Assembling", 2_000_000):
            pass
    assert caplog.messages == ["owner/a: Downloading 1.0 KB", "owner/b: Assembling 2.0 MB"]
    assert capfd.readouterr() == ("", "")


def test_progress_counts_bytes_within_a_step() -> None:
    progress, done = Progress(4000), [0]
    with progress.step("owner/a", "Assembling", 3000, lambda: done[0]):
        assert progress.state().done == 0
        done[0] = 1200
        with progress.step("owner/b", "Checking", 1000):
            state = progress.state()
            assert state.steps == [
                RunningStep("owner/a", "Assembling", 1200, 3000),
                RunningStep("owner/b", "Checking", None, 1000),
            ]
            assert (state.done, state.total) == (1200, 4000)
        assert progress.state().done == 2200
        done[0] = 9999  # a file may be larger than estimated
        assert progress.state().done == 4000
    assert (progress.state().steps, progress.state().done) == ([], 4000)


def test_progress_counts_the_bytes_of_a_step_that_fails() -> None:
    progress = Progress(1000)
    with pytest.raises(OSError, match="full"), progress.step("owner/a", "Assembling", 1000):
        raise OSError("full")
    assert (progress.state().steps, progress.state().done) == ([], 1000)


def test_progress_outlives_a_measure_that_fails() -> None:
    def fail() -> int:
        raise RuntimeError("aborted")

    progress = Progress(1000)
    with progress.step("owner/a", "Publishing", 1000, fail):
        assert progress.state().steps == [RunningStep("owner/a", "Publishing", None, 1000)]


def test_bytes_below_counts_what_is_written_of_files(tmp_path: Path) -> None:
    assert bytes_below(tmp_path / "none") == 0
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "full").write_bytes(bytes([1]) * 100_000)
    with (tmp_path / "a" / "with-a-hole").open("wb") as file:
        file.seek(10_000_000)
        file.write(b"end")
    assert 100_000 <= bytes_below(tmp_path / "a", tmp_path / "none") < 200_000


def test_steps_of_a_build_measure_their_bytes(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    measured: dict[str, tuple[int, int]] = {}

    class Measured(Progress):
        """Notes the bytes of each step when it ends."""

        @contextmanager
        def step(
            self, repo: str, verb: str, size: int, measure: Measure | None = None
        ) -> Iterator[None]:
            with super().step(repo, verb, size, measure):
                yield
                measured[verb] = ((measure and measure()) or 0, size)

    @contextmanager
    def bars(total: int, **_: object) -> Iterator[Progress]:
        yield Measured(total)

    monkeypatch.setattr(run, "progress_bars", bars)
    assert build_pair(hub, pair("owner/of-the-bars")).action == "built"
    assert [*measured] == ["Downloading", "Assembling", "Publishing", "Checking"]
    shares = {verb: done / size for verb, (done, size) in measured.items() if size}
    assert 0.9 < shares["Downloading"] < 1.5
    assert 0.9 < shares["Assembling"] < 1.5
    assert 0.5 < shares["Publishing"] <= 1  # the small files are a part of the commit itself


STATE = RunState([RunningStep("owner/a", "Publishing", 1_000_000, 4_000_000)], 10**6, 10**7, 80.0)


@pytest.mark.parametrize("columns", [40, 63, 64, 80, 140])
def test_bars_fit_a_terminal_of_any_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    step = RunningStep(f"owner/{'long-' * 20}", "Downloading", 111_000_000, 444_000_000)
    with live_bars(lambda: RunState([step], 10**6, 10**7, 80.0), terminal):
        pass
    (line,) = {line for line in re.split(r"[\r\n]+", terminal.text()) if step.verb in line}
    assert len(line) <= columns
    # The verb and the amount are whole; the name of the repo is not.
    end = "25%" if columns < 64 else "111.0 MB of 444.0 MB"
    assert re.fullmatch(rf"Downloading +owner/\S*… .*{end} *", line)


def test_bars_have_the_whole_name_if_the_terminal_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    repo = f"owner/{'x' * 45}"
    with live_bars(lambda: RunState([RunningStep(repo, "Building", 1, 2)], 1, 2, 80.0), terminal):
        pass
    assert repo in terminal.text()


def test_bars_show_steps_and_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    with live_bars(lambda: STATE, terminal):
        pass
    text = terminal.text()
    assert re.search(r"Publishing +owner/a +\S+ +1\.0 MB of 4\.0 MB", text)
    assert "10% of 10.0 MB after 1:20, about 12:00 left" in text


def test_bars_leave_lines_whole_and_interpret_nothing_in_them() -> None:
    terminal = Terminal()
    stream = CleanStream(terminal)
    lines = ["[red]not red[/red]", "[link=https://evil.example]x[/link]", "long " * 100, ":smile:"]
    with live_bars(lambda: STATE, stream):
        for line in lines:
            stream.write(f"{line}\n")
        stream.write("\x1b]0;evil\x07 without an end")
    stream.write("after\n")
    written = re.split(r"[\r\n]+", terminal.text())
    assert [line for line in lines if line not in written] == []
    assert "\\x1b]0;evil\\x07 without an end" in written
    assert "\x1b]" not in terminal.getvalue()
    assert written[-2:] == ["after", ""]


def test_text_of_a_running_command_is_removed_at_its_end() -> None:
    terminal = Terminal()
    stream = CleanStream(terminal)
    with live_text("Planning [red]", stream):
        stream.write("a line\n")
    assert "Planning [red]" in terminal.text()
    assert re.split(r"[\r\n]+", terminal.text()).count("a line") == 1
    # The line is erased, and the cursor is visible.
    assert terminal.getvalue().rindex("\x1b[2K") > terminal.getvalue().rindex("Planning")
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (80, "1:20"), (7280, "2:01:20")]
)
def test_durations_are_minutes_and_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


DRAWN = re.compile(r"Downloading +owner/of-the-terminal +\S+ +[\d.]+ KB of [\d.]+ KB")


@pytest.mark.slow
def test_build_in_a_terminal_draws_bars_below_whole_lines(hub: LocalHub, tmp_path: Path) -> None:
    manifest = tmp_path / "pairs.yaml"
    manifest.write_text(json.dumps({"pairs": [pair("owner/of-the-terminal")]}))
    # A bar is drawn a few times each second. So the download takes longer, until its bar is drawn.
    hub.faults.download.rate = 100_000  # bytes per second
    terminal, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, (24, 200))
    variables = {"HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": TOKEN, "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "ved", "build", manifest, "--endpoint", hub.endpoint],
        stderr=its_end,
        env={**os.environ, **variables},
        cwd=ROOT,
    ) as process:
        os.close(its_end)
        received, text = b"", ""
        with suppress(OSError):  # which ends it, once nobody writes any more
            while piece := os.read(terminal, 4096):
                received += piece
                text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", received.decode(errors="replace"))
                if DRAWN.search(text):
                    hub.faults.clear()
    os.close(terminal)
    assert process.returncode == 0
    assert DRAWN.search(text)
    assert re.search(r"\d+% of [\d.]+ [KM]B after 0:\d\d", text)
    assert "config.json:" not in text  # no bars of huggingface_hub
    # The bars say which steps there are, so lines of the log do not.
    assert re.search(r"[\r\n]owner/of-the-terminal: Published as \S+/commit/[0-9a-f]{40}\r\n", text)
    assert "owner/of-the-terminal: Assembling" not in text
