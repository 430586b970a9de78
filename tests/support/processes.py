"""Processes of VED that tests hold at a request, interrupt and stop."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ved.localhub import LocalHub

ROOT = Path(__file__).parents[2]
OWNER, TOKEN = "stopped", "hf_stopped"

DELAY = 60  # seconds of a held request; longer than an interrupted process may take
GRACE = 7  # seconds on an idle machine; GitHub sends its second signal after 7.5

VED = ("-m", "ved", "build", "pairs.yaml")
ACTION = ("-I", str(ROOT / "entrypoint.py"))
# GitHub cancels a job with SIGINT first, and a container's first process gets SIGTERM.
FRONT_ENDS = ((VED, signal.SIGINT), (ACTION, signal.SIGTERM))


@dataclass(frozen=True)
class Run:
    """A process, and the folder of its temporary files."""

    process: "subprocess.Popen[str]"
    temporary: Path

    @property
    def log(self) -> IO[str]:
        """The output of the process."""
        assert self.process.stdout is not None
        return self.process.stdout

    def read_until(self, pattern: str) -> None:
        """Read the output up to a line."""
        read = ""
        for line in self.log:
            read += line
            if re.search(pattern, line):
                return
        raise AssertionError(f"the process never printed {pattern}:\n{read}")

    def ended(self, seconds: float | None = None) -> str:
        """Wait until the process ends, and return the rest of its output."""
        printed, _ = self.process.communicate(timeout=seconds)
        assert "Traceback" not in printed
        return printed


def start(
    hub: LocalHub,
    folder: Path,
    pairs: Sequence[dict[str, Any]],
    command: Sequence[str] = VED,
    *limited: str,
) -> Run:
    """Build pairs, behind a command that limits the process."""
    hub.add_user(OWNER, token=TOKEN)
    hub.requests.clear()
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    (folder / "pairs.yaml").write_text(json.dumps({"pairs": pairs}))
    is_action = command == ACTION
    action = {"INPUT_TOKEN": TOKEN, "INPUT_ENDPOINT": hub.endpoint}
    process = subprocess.Popen(
        [*limited, sys.executable, *command],
        cwd=folder,
        env={
            **os.environ,
            **(action if is_action else {"HF_TOKEN": TOKEN}),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(folder / "cache"),
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Run(process, temporary)


def entry(repo: str, encoder: str = "team/vit", decoder: str = "team/roberta") -> dict[str, str]:
    return {"repo": repo, "encoder": encoder, "decoder": decoder}


def wait_for(hub: LocalHub, method: str, path: str, count: int, run: Run) -> None:
    """Wait until a number of requests of a kind have arrived."""
    asked = re.compile(path)
    while sum(each.method == method and bool(asked.search(each.path)) for each in hub.requests) < (
        count
    ):
        assert run.process.poll() is None, run.process.communicate()[0]
        time.sleep(0.01)


def grace() -> float:
    """Return the seconds that an interrupted process may take on a machine as busy as this one."""
    return GRACE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
