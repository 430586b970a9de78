"""Run the Flax code of a model card on its checkpoint, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import ved
from ved.environment import VARIABLES
from ved.errors import ErrorCode, VedError
from ved.record import BuildRecord
from ved.record.snippets import flax_snippet

MAX_SECONDS = 30 * 60
"""Time limit of the code, in seconds."""

MAX_LINES, MAX_CHARACTERS = 3, 500
"""How much of the end of the output is reported."""

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
"""The variables that the code gets from this process, whose environment may hold secrets."""

_EXIT_WITH_PARENT = """\
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
"""
"""Ends the process when its standard input is closed, which the end of the parent does."""


def run_card(record: BuildRecord, checkpoint: Path, directory: Path) -> str:
    """Run the Flax code that VED writes on the card; return the end of its output.

    The code comes from the template, not from the downloaded card: the user's description may hold
    code as well.

    Args:
        record: the build record of the checkpoint.
        checkpoint: the directory of the checkpoint.
        directory: a directory to run in.

    Raises:
        VedError: the code fails, or takes too long.
    """
    assert record.pair is not None
    # transformers prefers a directory of the repo's name to the repo.
    place = directory.resolve() / "run"
    place.mkdir()
    (place / record.pair.repo).parent.mkdir(exist_ok=True)
    (place / record.pair.repo).symlink_to(checkpoint.resolve())
    try:
        ended = _run(flax_snippet(record, with_words=False), place)
    except subprocess.TimeoutExpired as error:
        cause = f"The Flax code of its card takes longer than {MAX_SECONDS // 60} minutes."
        raise VedError(cause, code=ErrorCode.CHECK_FAILED) from error
    output = " ".join(ended.stdout.strip().splitlines()[-MAX_LINES:])[-MAX_CHARACTERS:]
    if ended.returncode:
        raise VedError(
            f"The Flax code of its card ends with {ended.returncode}: {output}",
            code=ErrorCode.CHECK_FAILED,
        )
    return output


def _run(code: str, place: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a directory that is also its home, without this process's secrets."""
    own = {
        "HOME": str(place),
        "HF_HOME": str(place / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(ved.__file__).parents[1]),
    }
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # However this process ends, its end of the pipe is closed then.
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as its_input, os.fdopen(writing, "wb"):
        return subprocess.run(  # noqa: S603 - the code is VED's own
            [sys.executable, "-u", "-P", "-X", "utf8", "-c", _EXIT_WITH_PARENT + code],
            cwd=place,
            env={**passed_on, **VARIABLES, **own},
            stdin=its_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=MAX_SECONDS,
            check=False,
        )
