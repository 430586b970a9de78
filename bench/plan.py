"""Planning many pairs that are as they should be: requests and seconds."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import HfApi, constants

from bench.history import Ratio
from tests import checkpoints
from tests.support.many import publish_many
from ved.localhub import LocalHub

TITLE = "A plan of many pairs"
OWNER, TOKEN = "bench", "hf_bench"
PAIRS, ENCODERS, DECODERS, REPEATS = 500, 10, 10, 6
_CLIENT = "import huggingface_hub, sys; huggingface_hub.HfApi(sys.argv[1]).whoami()"
"""The least that a Python process with huggingface_hub can do: one request."""


def measure(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Yield what a plan costs where nothing has to be done, as Markdown.

    Args:
        kept: not needed.
        folder: an empty directory.
    """
    with LocalHub(folder / "hub", xet=False) as hub:
        hub.add_user(OWNER, token=TOKEN)
        manifest = _publish(hub, folder, PAIRS)
        yield from _examination(hub, folder)
        yield from _skipping(hub, folder, manifest, REPEATS)


def skipping(folder: Path, pairs: int, repeats: int) -> Iterator[str | Ratio]:
    """Yield what `ved plan` of published pairs costs, as Markdown."""
    with LocalHub(folder / "hub", xet=False) as hub:
        hub.add_user(OWNER, token=TOKEN)
        yield from _skipping(hub, folder, _publish(hub, folder, pairs), repeats)


def _skipping(hub: LocalHub, folder: Path, manifest: Path, repeats: int) -> Iterator[str | Ratio]:
    """Compare a plan of published pairs with a process that makes one request."""
    plan: list[str | Path] = ["-m", "ved", "plan", manifest, "--endpoint", hub.endpoint]
    plans, clients = [], []
    for _ in range(repeats):  # in turns, so that a busy machine slows down both
        hub.requests.clear()
        seconds, printed = _run(plan, folder / "home")
        requests = len(hub.requests)
        plans.append(seconds)
        clients.append(_run(["-c", _CLIENT, hub.endpoint], folder / "home")[0])
    kinds = Counter(line.split()[0] for line in printed.splitlines())
    ratio = statistics.median(plans) / statistics.median(clients)
    yield (
        f"`ved plan` of {sum(kinds.values())} published pairs over {ENCODERS + DECODERS} sources, "
        f"in a fresh process: {', '.join(f'{count} {word}' for word, count in kinds.items())}; "
        f"{requests} requests, {statistics.median(plans):.2f} s. A process that imports "
        f"huggingface_hub and makes one request takes {statistics.median(clients):.2f} s, ratio "
        f"{ratio:.2f} (medians of {repeats}, in turns)."
    )
    yield Ratio("plan of published pairs: wall / one request by huggingface_hub", ratio)


def _run(arguments: Sequence[str | Path], home: Path) -> tuple[float, str]:
    """Run Python, and return the seconds that it takes and its output."""
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "HF_TOKEN": TOKEN, "HF_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return time.perf_counter() - start, process.stdout


def _examination(hub: LocalHub, folder: Path) -> Iterator[str | Ratio]:
    """Compare the examination of all sources in a process of its own with that in the planner's."""
    manifest = folder / "new.yaml"
    pairs = [
        {
            "repo": f"{OWNER}/new-{number}",
            "encoder": f"{OWNER}/encoder-{number}",
            "decoder": f"{OWNER}/decoder-{number}",
        }
        for number in range(ENCODERS)
    ]
    manifest.write_text(json.dumps({"pairs": pairs}))
    seconds: dict[str, list[float]] = {"here": [], "there": []}
    for _ in range(REPEATS):  # in turns, so that a busy machine slows down both
        for where, taken in seconds.items():
            program: list[str | Path] = [
                "-m",
                "bench.planned_sources",
                where,
                manifest,
                hub.endpoint,
            ]
            taken.append(_run(program, folder / "sources")[0])
    here, there = (statistics.median(taken[1:]) for taken in seconds.values())
    yield (
        f"A plan of {ENCODERS} new pairs over {ENCODERS + DECODERS} sources, in a fresh process: "
        f"{there:.1f} s with the examination in a process of its own, {here:.1f} s with it in the "
        f"same process, ratio {there / here:.2f} (medians of {REPEATS - 1}, in turns)."
    )
    yield Ratio("plan of new pairs: examined apart / in the same process", there / here)


def _publish(hub: LocalHub, folder: Path, pairs: int) -> Path:
    constants.HF_HUB_DISABLE_XET = True  # huggingface_hub does not ask whether the Hub has it
    api = HfApi(hub.endpoint, token=TOKEN)
    names: dict[str, list[str]] = {"encoder": [], "decoder": []}
    for role, make, count in (
        ("encoder", checkpoints.vit, ENCODERS),
        ("decoder", checkpoints.gpt2, DECODERS),
    ):
        for number in range(count):
            repo = f"{OWNER}/{role}-{number}"
            api.create_repo(repo)
            api.upload_folder(
                repo_id=repo, folder_path=make(folder / f"{role}-{number}", seed=number)
            )
            names[role].append(repo)
    return publish_many(
        hub, names["encoder"], names["decoder"], pairs, folder, namespace=OWNER, token=TOKEN
    )
