"""Planning many pairs that are as they should be: requests and seconds."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from huggingface_hub import HfApi, constants

from tests import checkpoints
from tests.support.many import publish_many
from ved.localhub import LocalHub

TITLE = "A plan of many pairs"
OWNER, TOKEN = "bench", "hf_bench"
PAIRS, ENCODERS, DECODERS, REPEATS = 500, 10, 10, 6


def measure(kept: Path, folder: Path) -> Iterator[str]:
    """Yield what a plan costs where nothing has to be done, as Markdown.

    Args:
        kept: not needed.
        folder: an empty directory.
    """
    with LocalHub(folder / "hub", xet=False) as hub:
        hub.add_user(OWNER, token=TOKEN)
        manifest = _publish(hub, folder)
        yield _examination(hub, folder)
        hub.requests.clear()
        start = time.perf_counter()
        plan = subprocess.run(
            [sys.executable, "-m", "ved", "plan", manifest, "--endpoint", hub.endpoint],
            env={**os.environ, "HF_TOKEN": TOKEN, "HF_HOME": str(folder / "home")},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - start
        kinds = {
            word: len(list(lines))
            for word, lines in groupby(sorted(line.split()[0] for line in plan.stdout.splitlines()))
        }
        yield (
            f"`ved plan` of {PAIRS} published pairs over {ENCODERS + DECODERS} sources, in a fresh "
            f"process: {', '.join(f'{count} {word}' for word, count in kinds.items())}; "
            f"{len(hub.requests)} requests, {seconds:.1f} s."
        )


def _examination(hub: LocalHub, folder: Path) -> str:
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
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "bench.planned_sources", where, manifest, hub.endpoint],
                env={**os.environ, "HF_TOKEN": TOKEN, "HF_HOME": str(folder / "sources")},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            taken.append(time.perf_counter() - start)
    here, there = (statistics.median(taken[1:]) for taken in seconds.values())
    return (
        f"A plan of {ENCODERS} new pairs over {ENCODERS + DECODERS} sources, in a fresh process: "
        f"{there:.1f} s with the examination in a process of its own, {here:.1f} s with it in the "
        f"same process, ratio {there / here:.2f} (medians of {REPEATS - 1}, in turns)."
    )


def _publish(hub: LocalHub, folder: Path) -> Path:
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
        hub, names["encoder"], names["decoder"], PAIRS, folder, namespace=OWNER, token=TOKEN
    )
