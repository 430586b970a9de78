"""Signals in a process of their own."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ved import interruption

DROPPED = """
import gc, os, signal
from ved import interruption

interruption.install_signal_handlers()
gc.callbacks.append(lambda *_: os.kill(os.getpid(), signal.SIGTERM))
gc.collect()
gc.callbacks.clear()
interruption.raise_if_interrupted()
"""
"""An interrupt while a callback of the garbage collector runs, which drops every exception."""

OTHER = """
import gc
from ved import interruption

interruption.install_signal_handlers()
gc.callbacks.append(lambda *_: 1 / 0)
gc.collect()
"""

REPEATED = """
import os, signal
from ved import interruption

interruption.install_signal_handlers()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    print("cleaned")
interruption._repeats_until = 0
os.kill(os.getpid(), signal.SIGINT)
print("not reached")
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_interrupt_that_a_callback_drops_is_kept_and_not_printed() -> None:
    ended = run(DROPPED)
    assert ended.returncode not in (0, 1)
    assert "raise_if_interrupted" in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_other_errors_of_callbacks_are_printed() -> None:
    assert "ZeroDivisionError" in run(OTHER).stderr


def test_interrupt_that_repeats_does_not_end_the_cleanup() -> None:
    ended = run(REPEATED)
    assert ended.stdout == "cleaned\n"
    assert ended.returncode not in (0, 1)


def test_import_whole_is_interrupted_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "from ved import interruption\ninterruption._interrupt()\nis_whole = True\n"
    (tmp_path / "interrupted_import.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(interruption, "_interrupted", threading.Event())
    with pytest.raises(KeyboardInterrupt):
        interruption.import_whole("interrupted_import")
    assert sys.modules.pop("interrupted_import").is_whole
    with pytest.raises(KeyboardInterrupt):
        interruption._interrupt()
