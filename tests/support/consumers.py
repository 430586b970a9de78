"""Run programs of tests/consumers in environments of consumers.

With PyTorch, the process of a program is a fork of one that has imported PyTorch and transformers:
this takes four seconds, and most programs take less.
"""

import atexit
import json
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.environments import ONE_THREAD, python

_SERVER = Path(__file__).parents[1] / "consumers" / "serve.py"
_USER = {name: os.environ[name] for name in ("PATH", "HOME")}
"""The process of a user has none of the settings of VED's process."""


def run_consumer(
    environment: str,
    program: Path,
    request: Mapping[str, Any],
    folder: Path,
    variables: Mapping[str, str] | None = None,
) -> dict[str, NDArray[Any]]:
    """Have a program of tests/consumers answer a request in another environment.

    Args:
        environment: see `python`.
        program: the program. It reads JSON from its first argument, writes arrays to its second.
        request: the content of that JSON.
        folder: an existing directory for both files.
        variables: environment variables of the program; None for a program with PyTorch.

    Returns:
        The arrays, by name.

    Raises:
        CalledProcessError: the program fails.
    """
    (folder / "request.json").write_text(json.dumps(request))
    if variables is None:
        run_with_pytorch(environment, folder, program, "request.json", "answer.npz")
    else:
        subprocess.run(
            [python(environment), program, folder / "request.json", folder / "answer.npz"],
            env={**_USER, **ONE_THREAD, **variables},
            check=True,
        )
    with np.load(folder / "answer.npz") as answer:
        return dict(answer)


def run_with_pytorch(environment: str, folder: Path, program: Path, *arguments: str) -> None:
    """Run a program without a network.

    Args:
        environment: "transformers4" or "transformers5".
        folder: the working directory.
        program: the program.
        *arguments: its arguments.

    Raises:
        CalledProcessError: the program fails; stderr has the reason.
    """
    server = _start(environment)
    assert server.stdin is not None
    assert server.stdout is not None
    command = [str(program.absolute()), *arguments]
    server.stdin.write(json.dumps([str(folder), *command]) + "\n")
    server.stdin.flush()
    status = server.stdout.readline().strip()
    if status != "0":
        raise subprocess.CalledProcessError(int(status or 1), command)


@cache
def _start(environment: str) -> subprocess.Popen[str]:
    """Start the server of an environment, which ends with this process."""
    home = TemporaryDirectory(prefix="ved-consumer-")
    server = subprocess.Popen(
        [python(environment), "-I", _SERVER],
        env={**_USER, **ONE_THREAD, "HF_HUB_OFFLINE": "1", "HF_HOME": home.name},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(home.cleanup)
    atexit.register(server.communicate)
    return server
