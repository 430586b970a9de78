"""Processes that end early: interrupted, cancelled, killed, or stopped by a full disk.

Each test starts a process with a folder for its temporary files, and checks what it leaves behind.
`make test` interrupts each phase of a build once, and takes turns with the front ends and signals;
VED_ALL_FAULTS=1 interrupts each phase of each front end with its usual signal as well.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests import checkpoints
from tests.support.faults import ALL_FAULTS
from tests.support.processes import (
    ACTION,
    DELAY,
    FRONT_ENDS,
    OWNER,
    TOKEN,
    VED,
    Run,
    entry,
    grace,
    start,
    wait_for,
)
from tests.support.publishing import build_pair, client, header_size, publish, sent
from ved.localhub import LocalHub

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_xet")]

LARGEST_FILE = 100_000  # bytes; the weights are larger, the configs are not
HELD = {
    "planning": ("GET", "^/api/models/{repo}$", 0),
    "examining": ("GET", "^/lfs/models/team/roberta/", 1),  # after the header's length
    "downloading": ("GET", "^/lfs/models/team/roberta/", 2),  # after the header
    "assembling": ("PUT", "^/lfs/models/{repo}/", 0),  # if the signal comes too late
    "uploading": ("PUT", "^/lfs/models/{repo}/", 0),
    "committing": ("POST", "^/api/models/{repo}/commit/", 0),
    "reading back": ("GET", "^/lfs/models/{repo}/", 0),
}
"""The request that is held in each phase, and how many requests of its kind come before it."""

# The other two combinations of front end and signal.
UNUSUAL = ((VED, signal.SIGTERM), (ACTION, signal.SIGINT))
EACH_PHASE = [(*way, phase) for way, phase in zip(cycle((*FRONT_ENDS, *UNUSUAL)), HELD)]
EVERY_PHASE = [(*front_end, phase) for front_end in FRONT_ENDS for phase in HELD]
INTERRUPTIONS = [*dict.fromkeys(EACH_PHASE + EVERY_PHASE)] if ALL_FAULTS else EACH_PHASE
SIGNALS = [signal.SIGINT, signal.SIGTERM] if ALL_FAULTS else [signal.SIGINT]


@pytest.fixture(scope="module")
def large_sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sources")
    large = {"hidden_size": 512, "config": {"num_hidden_layers": 6, "num_attention_heads": 8}}
    encoder = checkpoints.vit(folder / "vit", **large)  # type: ignore[arg-type]
    return encoder, checkpoints.gpt2(folder / "gpt2", **large)  # type: ignore[arg-type]


# Interrupted


@pytest.mark.parametrize(("command", "number", "phase"), INTERRUPTIONS)
def test_interrupted_build_ends_soon_and_leaves_nothing(
    command: Sequence[str], number: signal.Signals, phase: str, hub: LocalHub, tmp_path: Path
) -> None:
    repo = f"{OWNER}/{phase.replace(' ', '-')}-{command is ACTION}-{number}"
    method, path, after = HELD[phase]
    path = path.format(repo=repo)
    hub.faults.add(method, path, after=after, delay=DELAY)
    run = start(hub, tmp_path, [entry(repo)], command)
    if phase == "assembling":
        run.read_until("Assembling")
        time.sleep(0.1)  # into jax, or out of it
    else:
        wait_for(hub, method, path, after + 1, run)
    run.process.send_signal(number)
    printed = run.ended(grace())

    assert run.process.returncode == 130
    assert ("The job was cancelled." if command is ACTION else "Interrupted.") in printed
    assert list(run.temporary.iterdir()) == []
    api = client(hub, TOKEN)
    files = set(api.list_repo_files(repo)) if api.repo_exists(repo) else set()
    if phase == "reading back":
        assert files >= {"README.md", "model.safetensors", "ved.json"}
    else:
        assert files <= {".gitattributes"}


def test_interrupted_download_stops_and_leaves_nothing_in_output_directory(
    hub: LocalHub, tmp_path: Path
) -> None:
    encoder = checkpoints.vit(tmp_path / "vit", hidden_size=128)
    publish(hub, "team/large", encoder)
    weights = encoder / "model.safetensors"
    hub.requests.clear()
    hub.faults.download.rate = 100_000  # bytes per second: the encoder alone takes many

    command = (*VED, "--no-push", "--output-dir", "built")
    run = start(hub, tmp_path, [entry(f"{OWNER}/of-large", "team/large")], command)
    while sent(hub, weights) < 2 * header_size(weights):
        assert run.process.poll() is None, "the process ended before the interrupt"
        time.sleep(0.001)
    run.process.send_signal(signal.SIGINT)
    printed = run.ended(grace())

    assert run.process.returncode == 130
    assert "Interrupted.\n" in printed
    assert sent(hub, weights) < weights.stat().st_size
    assert list((tmp_path / "built").iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_assembly_leaves_nothing(
    number: signal.Signals, large_sources: tuple[Path, Path], hub: LocalHub, tmp_path: Path
) -> None:
    output = tmp_path / "folder" / "output"
    run = start(hub, tmp_path, [], assembly(large_sources, output))
    wait_for_weights(run, output.parent)
    run.process.send_signal(number)
    run.ended(grace())

    assert run.process.returncode == 130
    assert list(output.parent.iterdir()) == list(run.temporary.iterdir()) == []


def assembly(sources: tuple[Path, Path], output: Path) -> list[str]:
    encoder, decoder = map(str, sources)
    return [
        *("-m", "ved", "assemble", "--output_dir", str(output)),
        *("--encoder_model_name_or_path", encoder, "--decoder_model_name_or_path", decoder),
    ]


def wait_for_weights(run: Run, folder: Path) -> None:
    """Wait until weights are being written somewhere below a folder."""
    # Unlike Path.rglob, os.walk ignores files that disappear meanwhile.
    while not any(name.endswith(".partial") for *_, names in os.walk(folder) for name in names):
        assert run.process.poll() is None, run.process.communicate()[0]
        time.sleep(0.001)


# Killed


def test_build_completes_after_killed_build(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = f"{OWNER}/killed"
    hub.faults.add("POST", f"/{repo}/commit/", delay=DELAY)
    run = start(hub, tmp_path, [entry(repo)])
    wait_for(hub, "POST", f"/{repo}/commit/", 1, run)
    run.process.kill()
    run.process.communicate()

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    assert Path(constants.HF_HUB_CACHE).is_dir(), "the killed process had another cache"
    result = build_pair(hub, entry(repo), token=TOKEN)
    assert result.action == "built", result.reason
    assert "model.safetensors" in client(hub, TOKEN).list_repo_files(repo)


def test_killed_assembly_leaves_no_partial_file_under_final_name(
    large_sources: tuple[Path, Path], hub: LocalHub, tmp_path: Path
) -> None:
    output = tmp_path / "folder" / "output"
    run = start(hub, tmp_path, [], assembly(large_sources, output))
    wait_for_weights(run, output.parent)
    run.process.kill()
    run.process.communicate()

    assert run.process.returncode == -signal.SIGKILL
    assert not output.exists()
    assert not list(tmp_path.rglob("flax_model.msgpack"))


# A full disk

ROOM = 3_000_000
"""Free bytes of a full disk: more than a small pair takes, and less than a large one."""

FULL_DISK = """
mount -t tmpfs -o size=500m none "$TMPDIR"
"$@"
status=$?
rm "$TMPDIR/somebody-elses"
ls -A "$TMPDIR"
exit $status
"""
"""Runs a command with a separate disk for temporary files, and lists what stays there."""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0,
    reason="this user cannot mount a disk to fill it up",
)
@pytest.mark.parametrize("phase", ["downloading", "assembling"])
def test_full_disk_fails_only_pair_that_does_not_fit(
    phase: str, large_sources: tuple[Path, Path], hub: LocalHub, tmp_path: Path
) -> None:
    large, small = f"{OWNER}/large-{phase}", f"{OWNER}/small-{phase}"
    encoder, decoder = map(str, large_sources)
    if phase == "downloading":
        publish(hub, "team/very-large", large_sources[0])
        encoder = "team/very-large"
        hub.faults.download.rate = 4_000_000  # bytes per second: the small pair is done by then
    # A check after "Published" would need some disk, too.
    pairs = [entry(large, encoder, decoder), {**entry(small), "check": "none"}]
    run = start(hub, tmp_path, pairs, VED, "unshare", "-rm", "bash", "-c", FULL_DISK, "bash")
    # The plan finds room for both; then another process fills the disk.
    run.read_until("Published" if phase == "downloading" else "Downloading")
    fill_up(Path(f"/proc/{run.process.pid}/root{run.temporary}"))
    hub.faults.clear()
    printed = run.ended()

    assert run.process.returncode == 1
    (failed,) = re.findall("(?m)^failed .*$", printed)
    assert failed.startswith(f"failed     {large}  No space left on device")
    assert "troubleshooting.md#not-enough-disk" in failed
    assert f"built      {small}" in printed
    assert printed.splitlines()[-1].startswith("1 built"), "a temporary file is left"
    api = client(hub, TOKEN)
    assert not api.repo_exists(large)
    assert "model.safetensors" in api.list_repo_files(small)


def fill_up(disk: Path) -> None:
    """Fill a disk until no more than `ROOM` is free."""
    with (disk / "somebody-elses").open("wb", buffering=0) as file:
        while shutil.disk_usage(disk).free > ROOM:
            file.write(bytes(ROOM // 4))


def test_assembly_with_unwritable_file_is_one_error_and_leaves_nothing(
    large_sources: tuple[Path, Path], hub: LocalHub, tmp_path: Path
) -> None:
    output = tmp_path / "folder" / "output"
    limit = ("prlimit", f"--fsize={LARGEST_FILE}")
    run = start(hub, tmp_path, [], assembly(large_sources, output), *limit)
    printed = run.ended()

    assert run.process.returncode == 1
    assert "ERROR File too large" in printed
    assert list(output.parent.iterdir()) == list(run.temporary.iterdir()) == []


@pytest.mark.skipif(not ALL_FAULTS, reason="as with a full disk; see VED_ALL_FAULTS")
def test_build_with_unwritable_file_is_explained_failure(hub: LocalHub, tmp_path: Path) -> None:
    repo = f"{OWNER}/no-room"
    run = start(hub, tmp_path, [entry(repo)], VED, "prlimit", f"--fsize={LARGEST_FILE}")
    printed = run.ended()

    assert run.process.returncode == 1
    assert "File too large" in printed
    assert list(run.temporary.iterdir()) == []
    assert not client(hub, TOKEN).repo_exists(repo)
