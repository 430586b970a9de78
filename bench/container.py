"""The image of the action: its size, and the time of a run that finds nothing to do.

VED_BENCH_IMAGES names the images, as `NAME=IMAGE` separated by spaces, and VED_BENCH_ENGINE the
program that runs them, such as `podman`, with its options. Without images nothing is measured.
"""

import json
import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import HfApi

from bench.hub import OWNER, TOKEN, hub_process
from tests import checkpoints

TITLE = "The container"
PAIRS, REPEATS = 10, 5
ENGINE = shlex.split(os.environ.get("VED_BENCH_ENGINE", "podman"))
_ACCOUNTANT = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open("/github/file_commands/cpu", "w").write(str(used.ru_utime + used.ru_stime))
sys.exit(status)
"""
"""Runs the program of an image in the container, and says what processor time it took."""
_FILES = ("output", "step_summary", "env", "path", "state")


def measure(kept: Path, folder: Path) -> Iterator[str]:
    """Yield what images cost, as Markdown; nothing without images.

    Args:
        kept: not needed.
        folder: an empty directory.

    Raises:
        CalledProcessError: an image could not be run, or a run failed.
    """
    images = dict(word.split("=", 1) for word in os.environ.get("VED_BENCH_IMAGES", "").split())
    if not images:
        return
    with hub_process(folder / "hub", xet=True) as hub:
        for source in (checkpoints.vit(folder / "vit"), checkpoints.gpt2(folder / "gpt2")):
            repo = f"{OWNER}/{source.name}"
            api = HfApi(hub.endpoint, token=TOKEN)
            api.create_repo(repo)
            api.upload_folder(repo_id=repo, folder_path=source)
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in images}
        for name, image in images.items():
            _run(image, hub.endpoint, name, folder, action="built")
        for _ in range(REPEATS):  # in turns, so that a busy machine slows down all
            for name, image in images.items():
                costs[name].append(_run(image, hub.endpoint, name, folder, action="skipped"))
    yield (
        f"A run with {PAIRS} pairs that are as they should be, with a Hub on this machine: wall "
        f"from the container's start to its end, CPU of the action. Medians of {REPEATS}, in turns."
        f" Ratios are to the first image."
    )
    first = next(iter(images))
    values = {name: (_size(images[name]), *_medians(costs[name])) for name in images}
    rows = []
    for name, (size, wall, cpu) in values.items():
        ratios = [a / b for a, b in zip(values[name], values[first], strict=True)]
        rows.append(
            f"| {name} | {size / 1e6:,.0f} MB | {ratios[0]:.2f} | {wall:.2f} s | {ratios[1]:.2f} "
            f"| {cpu:.2f} s | {ratios[2]:.2f} |"
        )
    head = "| image | size | ratio | wall | ratio | CPU | ratio |\n| --- |" + " ---: |" * 6
    yield "\n".join([head, *rows])


def _medians(costs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    walls, cpus = zip(*costs, strict=True)
    return statistics.median(walls), statistics.median(cpus)


def _size(image: str) -> int:
    """Return the bytes of an image's files."""
    inspect = [*ENGINE, "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.check_output(inspect, text=True))


def _run(image: str, endpoint: str, name: str, folder: Path, *, action: str) -> tuple[float, float]:
    """Run the action as a GitHub runner does, and return seconds: its wall and its CPU time.

    Args:
        image: the image.
        endpoint: URL of the Hub.
        name: what its repos are named after.
        folder: where the runner's files are.
        action: what the run must do with each pair.
    """
    workspace, commands = folder / name / "workspace", folder / name / "commands"
    for directory in (workspace, commands):
        directory.mkdir(parents=True, exist_ok=True)
    for file in _FILES:
        (commands / file).write_text("")
    pairs = [
        {
            "repo": f"{OWNER}/{name}-{number}",
            "encoder": f"{OWNER}/vit",
            "decoder": f"{OWNER}/gpt2",
            "seed": number,
        }
        for number in range(PAIRS)
    ]
    (workspace / "pairs.yaml").write_text(json.dumps({"pairs": pairs}))
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": "/github/workspace",
        "HOME": "/github/home",
        "INPUT_ENDPOINT": endpoint,
        "INPUT_MANIFEST": "pairs.yaml",
        "INPUT_TOKEN": TOKEN,
        **{f"GITHUB_{file.upper()}": f"/github/file_commands/{file}" for file in _FILES},
    }
    command = [*ENGINE, "run", "--rm", "--network", "host", "--workdir", "/github/workspace"]
    command += ["--volume", f"{workspace}:/github/workspace"]
    command += ["--volume", f"{commands}:/github/file_commands", "--tmpfs", "/github/home"]
    for key, value in variables.items():
        command += ["--env", f"{key}={value}"]
    inspect = [*ENGINE, "image", "inspect", "--format", "{{json .Config.Entrypoint}}", image]
    program = json.loads(subprocess.check_output(inspect))
    command += ["--entrypoint", program[0], image, "-c", _ACCOUNTANT, *program]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    (line,) = [
        line for line in (commands / "output").read_text().splitlines() if line.startswith("[{")
    ]
    assert [result["action"] for result in json.loads(line)] == [action] * PAIRS
    return seconds, float((commands / "cpu").read_text())
