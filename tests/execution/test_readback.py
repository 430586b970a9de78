"""What was published is read back from the Hub, held against its record, and loaded or run."""

import fcntl
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.support.environments import quick_models
from tests.support.faults import ALL_FAULTS
from tests.support.publishing import (
    asked_for,
    build_locally,
    build_pair,
    client,
    damage,
    flip_bit,
    heads,
    manifest,
    pair,
    publish,
)
from tests.support.tokenizers import japanese_bert
from ved.commands import RunOptions, build
from ved.environment import VARIABLES
from ved.errors import VedError
from ved.execution import card_run, xet_comparison
from ved.execution.readback import PublishedCommit, check_published
from ved.hub import retries
from ved.localhub import LocalHub
from ved.record import BuildRecord, RecordedFile, build_record, card
from ved.results.result import Result

_numbers = count(1)

PATIENCE = 60.0  # seconds after which something is not going to happen any more

AtStep = Callable[[str, Callable[[], object]], None]


@pytest.fixture
def repo() -> str:
    """Return the name of a repo that is not there yet."""
    return f"owner/checked-{next(_numbers)}"


@pytest.fixture
def at_step(caplog: pytest.LogCaptureFixture) -> Iterator[AtStep]:
    """Have something done when a pair's step begins, such as "Checking"."""
    caplog.set_level(logging.INFO, "ved")
    acts: dict[str, Callable[[], object]] = {}

    def tell(entry: logging.LogRecord) -> bool:
        verb = entry.getMessage().partition(": ")[2].partition(" ")[0]
        if verb in acts:
            acts.pop(verb)()
        return True

    logger = logging.getLogger("ved")
    logger.addFilter(tell)
    yield acts.__setitem__
    logger.removeFilter(tell)


def steps(result: Result) -> list[str]:
    return [step.verb for step in result.steps]


def served(hub: LocalHub) -> list[int]:
    """Return how many bytes each answer of the Hub's store of large files had."""
    return [each.bytes_out for each in hub.requests if "/lfs/" in each.path]


# What is looked at


def test_readback_downloads_every_file_at_its_commit(hub: LocalHub, repo: str) -> None:
    result = build_pair(hub, pair(repo))
    assert result.action == "built"
    assert steps(result)[-3:] == ["Assembling", "Publishing", "Checking"]
    listed = set(client(hub).list_repo_files(repo)) - {".gitattributes"}
    assert asked_for(hub, repo) == listed
    asked = {each.path.split("/")[4] for each in hub.requests if f"/{repo}/resolve/" in each.path}
    assert asked == {result.commit}
    assert list(Path(constants.HF_HUB_CACHE).glob(f"*{repo.partition('/')[2]}*")) == []


def test_readback_none_reads_nothing(hub: LocalHub, repo: str) -> None:
    result = build_pair(hub, pair(repo, check="none"))
    assert (result.action, steps(result)[-1]) == ("built", "Publishing")
    assert asked_for(hub, repo) == set()


def test_readback_skips_skipped_pairs(hub: LocalHub, repo: str) -> None:
    build_pair(hub, pair(repo))
    hub.requests.clear()
    assert build_pair(hub, pair(repo)).action == "skipped"
    assert asked_for(hub, repo) <= {"ved.json"}


def test_fingerprint_ignores_how_to_check(hub: LocalHub, repo: str) -> None:
    build_pair(hub, pair(repo, check="none"))
    served = client(hub).hf_hub_download(repo, "ved.json")
    assert "check" not in json.loads(Path(served).read_bytes())["pair"]
    assert build_pair(hub, pair(repo, check="load")).action == "skipped"


def test_readback_of_a_card_reads_card_and_record(hub: LocalHub, repo: str) -> None:
    build_pair(hub, pair(repo))
    hub.requests.clear()
    result = build_pair(hub, pair(repo, description="In other words."))
    assert (result.action, steps(result)) == (
        "card-only",
        ["Publishing the model card", "Checking"],
    )
    asked = {
        each.path.rpartition("/")[2]
        for each in hub.requests
        if f"/{repo}/resolve/{result.commit}/" in each.path
    }
    assert asked == {"README.md", "architecture.svg", "ved.json"}


@pytest.mark.parametrize(
    ("how", "keep"), [("download", False), ("download", True), ("load", False), ("generate", False)]
)
def test_readback_keeps_the_checkpoint_on_disk_if_kept_or_used(
    how: str,
    keep: bool,
    hub: LocalHub,
    repo: str,
    tmp_path: Path,
    at_step: AtStep,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code_instead("print('It runs.')", monkeypatch)
    kept = tmp_path / "kept"
    kept.mkdir()
    found: list[Path] = []

    def find_weights() -> None:
        # Unlike glob, os.walk skips a directory that another thread removes meanwhile.
        for folder, _, files in os.walk(tmp_path):
            found.extend(Path(folder, name) for name in files if name == "model.safetensors")

    at_step("Checking", find_weights)

    options = RunOptions(output_directory=kept if keep else None)
    (result,) = build(manifest(pair(repo, check=how)), options, client(hub))

    assert result.action == "built"
    assert [kept in path.parents for path in found] == (
        [True] if keep else [] if how == "download" else [False]
    )
    assert list(tmp_path.glob("**/.ved-*")) == []


def test_readback_keeps_only_headers_of_weights(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path
) -> None:
    told = published(hub, repo, built, record_in(built))
    hub.requests.clear()

    check_published(told, tmp_path / "check", client(hub), check="download", local=built)

    weights = told.record.weight_files
    assert sorted(served(hub)) == sorted(file.size for file in weights.values())
    for name, file in weights.items():
        (stand_in,) = (tmp_path / "check").rglob(name)
        assert stand_in.stat().st_blocks * 512 < file.size


def test_readback_by_xet_downloads_samples_of_weights(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xet_comparison, "SAMPLES", 3)
    monkeypatch.setattr(xet_comparison, "SAMPLE_BYTES", 1000)
    told = published(hub, repo, built, record_in(built))
    hub.requests.clear()

    check_published(told, tmp_path / "check", client(hub), local=built)

    assert served(hub) == [1000] * 3 * len(told.record.weight_files)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 350, 1000, 1049, 10**6])
def test_samples_are_spread_over_the_file(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xet_comparison, "SAMPLES", 10)
    monkeypatch.setattr(xet_comparison, "SAMPLE_BYTES", 100)
    ends = [0]
    for number, (offset, length) in enumerate(samples := list(xet_comparison.samples_of(size))):
        assert ends[-1] <= offset
        assert size * number // len(samples) <= offset
        assert offset + length <= size * (number + 1) // len(samples)
        ends.append(offset + length)
    total = sum(length for _, length in samples)
    assert total == min(size, 1000) if size != 1049 else total >= 1000


# What fails


def failed(result: Result, hub: LocalHub, repo: str, parent: str | None) -> str:
    """Return why a check failed, of a result that says what is at which commit."""
    assert (result.action, result.commit) == ("failed", heads(hub)[repo])
    assert result.url == f"{hub.endpoint}/{repo}/commit/{result.commit}"
    assert (result.codes, result.checksums) == (["check-failed"], {})
    start = f"Published as {result.commit}, but its check failed: "
    end = f" The commit before it is {parent}." if parent else ""
    assert result.reason.startswith(start)
    assert result.reason.endswith(end)
    return result.reason.removeprefix(start).removesuffix(end)


@pytest.mark.parametrize("is_new", [True, False])
def test_readback_finds_a_changed_bit(
    is_new: bool, hub: LocalHub, repo: str, at_step: AtStep
) -> None:
    parent = None if is_new else build_pair(hub, pair(repo, seed=1)).commit
    at_step("Checking", lambda: damage(hub, repo))
    why = failed(build_pair(hub, pair(repo, check="download")), hub, repo, parent)
    name, *_ = why.split()
    assert name == "model.safetensors"
    served, published = re.findall("[0-9a-f]{64}", why)
    assert served != published


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare a file with one sample of a byte only, so that its hash has to differ."""
    monkeypatch.setattr(xet_comparison, "SAMPLES", 1)
    monkeypatch.setattr(xet_comparison, "SAMPLE_BYTES", 1)


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("name", ["flax_model.msgpack", "model.safetensors"])
def test_readback_by_xet_finds_a_hub_that_stored_other_bytes(
    name: str, hub: LocalHub, repo: str, built: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(built, tmp_path / "other")
    flip_bit(other / name)
    told = published(hub, repo, other, record_in(built))
    with pytest.raises(VedError, match=f"{name} differs: the Hub has the Xet hash") as caught:
        check_published(told, tmp_path / "check", client(hub), local=built)
    assert caught.value.code == "check-failed"


def test_readback_by_xet_finds_a_hub_that_serves_other_bytes(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path
) -> None:
    told = published(hub, repo, built, record_in(built))
    hub.faults.add("GET", f"/lfs/models/{repo}/", after=2, flip_bit=True)
    with pytest.raises(VedError, match="differs: the Hub serves") as caught:
        check_published(told, tmp_path / "check", client(hub), local=built)
    assert caught.value.code == "check-failed"


@pytest.mark.usefixtures("small_samples")
def test_readback_downloads_weights_that_the_hub_stores_without_xet(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path
) -> None:
    true = record_in(built)
    for name in true.weight_files:  # the storage knows those of other tests
        flip_bit(built / name, -2)
    files = {**true.files, **{name: RecordedFile.of(built / name) for name in true.weight_files}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        told = published(hub, repo, built, true.model_copy(update={"files": files}))
    hub.requests.clear()
    check_published(told, tmp_path / "check", client(hub), local=built)
    assert sorted(served(hub)) == sorted(file.size for file in told.record.weight_files.values())


def test_readback_finds_an_lfs_upload_damaged_on_the_way(
    hub: LocalHub, repo: str, without_xet: None
) -> None:
    hub.faults.add("PUT", f"/lfs/models/{repo}/", flip_bit=True)
    why = failed(build_pair(hub, pair(repo)), hub, repo, None)
    stored, sent = re.findall("[0-9a-f]{64}", why)
    assert stored != sent


def test_readback_finds_another_length(hub: LocalHub, repo: str) -> None:
    hub.faults.add("GET", f"/{repo}/resolve/[0-9a-f]+/config.json", body=b"{}")
    why = failed(build_pair(hub, pair(repo)), hub, repo, None)
    assert "config.json" in why
    assert "\n" not in why


def test_readback_finds_another_length_of_a_card(hub: LocalHub, repo: str) -> None:
    parent = build_pair(hub, pair(repo)).commit
    hub.faults.add("GET", f"/{repo}/resolve/[0-9a-f]+/README.md", body=b"#")
    why = failed(build_pair(hub, pair(repo, tags=["new"])), hub, repo, parent)
    assert "README.md" in why


def test_readback_finds_a_missing_file(hub: LocalHub, repo: str) -> None:
    hub.faults.add("HEAD", f"/{repo}/resolve/", status=403)
    why = failed(build_pair(hub, pair(repo)), hub, repo, None)
    assert why.startswith("Cannot download ")


def test_readback_retries_an_unknown_commit(
    hub: LocalHub, repo: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    caplog.set_level("INFO", "ved")
    hub.faults.add("HEAD", f"/{repo}/resolve/", status=404, times=2)
    (result,) = build(manifest(pair(repo)), RunOptions(), client(hub))
    assert result.action == "built", result.reason
    assert f"{repo} has no commit {result.commit} yet: trying again in" in caplog.text


def test_readback_failure_leaves_other_pairs(hub: LocalHub, repo: str) -> None:
    hub.faults.add("HEAD", f"/{repo}/resolve/", status=403)
    both = manifest(pair(repo), pair(f"{repo}-too"))
    results = build(both, RunOptions(), client(hub))
    assert [result.action for result in results] == ["failed", "built"]


# What is held against the record


@pytest.fixture
def built(hub: LocalHub, repo: str, tmp_path: Path) -> Path:
    """Build a checkpoint without publishing it."""
    weights = ["flax", "safetensors"]
    return build_locally(hub, pair(repo, dtype="float32", weights=weights), tmp_path / "built")


def published(hub: LocalHub, repo: str, directory: Path, told: BuildRecord) -> PublishedCommit:
    """Publish a checkpoint with a record that may not be true of it."""
    build_record.write_record(told, directory)
    return PublishedCommit(told, repo, publish(hub, repo, directory), None)


def record_in(directory: Path) -> BuildRecord:
    return build_record.parse_record((directory / build_record.FILE_NAME).read_bytes(), "here")


def test_readback_accepts_a_true_record(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path
) -> None:
    told = published(hub, repo, built, record_in(built))
    check_published(told, tmp_path / "check", client(hub))


def _without_a_parameter(true: BuildRecord) -> BuildRecord:
    ledgers = dict(true.ledger)
    encoder = ledgers["encoder"]
    copied = dict(encoder.copied)
    copied.pop(next(iter(copied)))
    ledgers["encoder"] = encoder.model_copy(update={"copied": copied})
    return true.model_copy(update={"ledger": ledgers})


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (_without_a_parameter, r"The \.msgpack file and its record differ in encoder\."),
        (
            lambda true: true.model_copy(update={"num_parameters": true.num_parameters + 1}),
            r"The \.msgpack file has [0-9]+ numbers, not [0-9]+\.",
        ),
        (
            lambda true: true.model_copy(update={"dtype": "float16"}),
            r"The \.msgpack file has parameters of float32, not float16\.",
        ),
    ],
)
def test_readback_compares_weights_with_the_record(
    lie: Callable[[BuildRecord], BuildRecord],
    why: str,
    hub: LocalHub,
    repo: str,
    built: Path,
    tmp_path: Path,
) -> None:
    told = published(hub, repo, built, lie(record_in(built)))
    with pytest.raises(VedError, match=why):
        check_published(told, tmp_path / "check", client(hub))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("config.json", "config"),
        ("preprocessor_config.json", "image processor"),
        ("tokenizer.json", "tokenizer"),
    ],
)
def test_readback_finds_what_transformers_cannot_load(
    name: str, what: str, hub: LocalHub, repo: str, built: Path, tmp_path: Path
) -> None:
    (built / name).write_text("{")
    true = record_in(built)
    files = {**true.files, name: RecordedFile.of(built / name)}
    told = published(hub, repo, built, true.model_copy(update={"files": files}))
    with pytest.raises(VedError, match=f"transformers cannot load its {what}: ") as caught:
        check_published(told, tmp_path / "check", client(hub))
    assert caught.value.code == "check-failed"


# Each panic takes a new process; test_examination.py has others.
@pytest.mark.parametrize("charsmap", ["AAAA", "", "6AMAAAAAAAA="] if ALL_FAULTS else ["AAAA"])
def test_readback_survives_a_panic(
    charsmap: str, hub: LocalHub, repo: str, built: Path, tmp_path: Path
) -> None:
    path = built / "tokenizer.json"
    normalizer = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": normalizer}))
    true = record_in(built)
    files = {**true.files, path.name: RecordedFile.of(path)}
    told = published(hub, repo, built, true.model_copy(update={"files": files}))
    with pytest.raises(VedError) as caught:
        check_published(told, tmp_path / "check", client(hub))
    assert caught.value.code == "check-failed"


# The card's own code


@pytest.mark.slow
def test_card_run_ignores_the_description_and_needs_no_dictionary_of_a_japanese_tokenizer(
    hub: LocalHub,
    repo: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(card_run, "VARIABLES", VARIABLES | quick_models())
    caplog.set_level(logging.INFO, "ved")
    mark = tmp_path / "mark"
    code = f"```python\nopen({str(mark)!r}, 'w')\n```"
    publish(hub, "team/japanese", japanese_bert(tmp_path / "decoder"))
    result = build_pair(
        hub, pair(repo, decoder="team/japanese", check="generate", description=code)
    )
    assert result.action == "built", result.reason
    assert not mark.exists()
    (said,) = (each for each in caplog.messages if "The code of the card printed: " in each)
    assert said.startswith(f"{repo}: ")
    record, text = (
        Path(client(hub).hf_hub_download(repo, name)).read_text()
        for name in (build_record.FILE_NAME, card.FILE_NAME)
    )
    assert json.loads(record)["packages"] == ["fugashi", "unidic-lite"]
    commands = [line for line in text.splitlines() if line.startswith("pip install ")]
    with_processors = [line for line in commands if "transformers" in line]
    assert len(with_processors) == 2  # for Flax and for PyTorch
    assert all(line.endswith(" fugashi unidic-lite") for line in with_processors)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def code_instead(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the card say something else than VED's own code, which does not fail."""
    monkeypatch.setattr("ved.execution.card_run.flax_snippet", lambda *_, **__: code)


def run_card(hub: LocalHub, repo: str, built: Path, folder: Path) -> None:
    told = published(hub, repo, built, record_in(built))
    check_published(told, folder / "check", client(hub), check="generate", local=built)


def test_card_run_reports_the_end_of_the_output(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_instead("print('one')\nraise ValueError('such and such')", monkeypatch)
    with pytest.raises(VedError, match=r"The Flax code of its card ends with 1: .*such and such$"):
        run_card(hub, repo, built, tmp_path)


def test_card_run_ends_code_after_the_time_limit(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ved.execution.card_run.MAX_SECONDS", 0.1)
    code_instead("import time; time.sleep(600)", monkeypatch)
    with pytest.raises(VedError, match="takes longer than"):
        run_card(hub, repo, built, tmp_path)


def test_card_run_ends_with_its_parent(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = f"""
import fcntl, time
file = open({str(lock)!r}, "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", file=file, flush=True)
time.sleep(600)
"""
    program = (
        "from pathlib import Path; from ved.execution.card_run import _run; "
        f"_run({code!r}, Path.cwd())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(build_record.__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environment) as ours:
        wait_until(lambda: lock.exists() and lock.read_text() != "")
        assert ours.poll() is None
        ours.kill()

    def is_free() -> bool:
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    wait_until(is_free)


def test_card_run_has_no_secrets(
    hub: LocalHub, repo: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "INPUT_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "MY_PASSWORD"):
        monkeypatch.setenv(name, "a secret")
    code = f"""
import json, os, pathlib, sys
there = sorted(path.name for path in pathlib.Path({repo!r}).iterdir())
raise SystemExit(json.dumps([there, dict(os.environ), "" in sys.path, os.getcwd() in sys.path]))
"""
    code_instead(code, monkeypatch)
    monkeypatch.setattr("ved.execution.card_run.MAX_CHARACTERS", 10_000)
    with pytest.raises(VedError) as caught:
        run_card(hub, repo, built, tmp_path)
    told = caught.value.cause
    there, variables, *is_on_path = json.loads(told[told.index("[[") :])
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {*there}
    assert "a secret" not in variables.values()
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["HOME"].startswith(str(tmp_path))
    assert is_on_path == [False, False]
