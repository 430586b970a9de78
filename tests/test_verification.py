"""ved verify: true of what VED published, and of nothing that differs from it by a bit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

import ved
from tests.publishing import asked_for, build_locally, build_pair, client, download, pair, publish
from ved import record
from ved.localhub import LocalHub, checkpoints
from ved.verify import verify

FILES = (
    *("flax_model.msgpack", "model.safetensors", "config.json", "tokenizer.json", "README.md"),
    "preprocessor_config.json",
)


@pytest.fixture(scope="module")
def checkpoint(
    session_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return build_locally(
        session_hub, pair("owner/kept"), tmp_path_factory.mktemp("kept") / "checkpoints"
    )


def flipped(content: bytes) -> bytes:
    """Return bytes with one bit in the middle of them turned."""
    middle = len(content) // 2
    # The lowest bit of a letter or a digit, so that text stays text.
    while not chr(content[middle]).isalnum() and content.isascii():
        middle += 1
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_fresh_process_verifies_a_published_repo_without_its_weights(
    hub: LocalHub, tmp_path: Path
) -> None:
    entry = pair("owner/to-verify", decoder="team/bert", dtype="float16", seed=5)
    commit = build_pair(hub, entry).commit
    build_pair(hub, entry | {"description": "A later card."})
    hub.requests.clear()

    for name in ("owner/to-verify", f"owner/to-verify@{commit}"):
        run = subprocess.run(
            [sys.executable, "-m", "ved", "verify", name, "--endpoint", hub.endpoint],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            cwd=Path(ved.__file__).parents[1],
            capture_output=True,
            text=True,
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.endswith("files are what the sources give, bit for bit.\n")
    assert asked_for(hub, "owner/to-verify") == {"ved.json"}


@pytest.mark.parametrize("name", FILES)
def test_one_bit_is_found_in_a_repo(name: str, hub: LocalHub, tmp_path: Path) -> None:
    repo = f"owner/bit-of-{name.replace('_', '-').replace('.', '-')}"
    build_pair(hub, pair(repo))
    changed = flipped(download(hub, repo, tmp_path)[name])
    change = CommitOperationAdd(name, changed)
    client(hub).create_commit(repo, [change], commit_message="Turn a bit")
    verdict = verify(repo, client(hub))
    assert not verdict.is_true
    assert name in str(verdict)


@pytest.mark.parametrize("name", FILES)
def test_one_bit_is_found_in_a_directory(
    name: str, hub: LocalHub, checkpoint: Path, copied: Callable[[], Path]
) -> None:
    directory = copied()
    path = directory / name
    path.write_bytes(flipped(path.read_bytes()))
    verdict = verify(str(directory), client(hub))
    assert not verdict.is_true
    assert name in str(verdict)
    if "model" in name:
        assert "these tensors are others: " in str(verdict)


@pytest.mark.parametrize(
    ("true", "false"), [('"seed": 0', '"seed": 1'), ('"id": 384', '"id": 383')]
)
def test_a_record_that_lies_is_found(
    true: str, false: str, hub: LocalHub, copied: Callable[[], Path]
) -> None:
    path = copied() / "ved.json"
    text = path.read_text()
    assert true in text
    path.write_text(text.replace(true, false))
    assert not verify(str(path.parent), client(hub)).is_true


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Callable[[], Path]:
    def copy() -> Path:
        directory = tmp_path / "copy"
        directory.mkdir()
        for path in checkpoint.iterdir():
            (directory / path.name).write_bytes(path.read_bytes())
        return directory

    return copy


def test_missing_and_added_weights_are_found(hub: LocalHub, copied: Callable[[], Path]) -> None:
    directory = copied()
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(b"x")
    verdict = verify(str(directory), client(hub))
    assert verdict.differences == (
        "model.safetensors is missing.",
        "pytorch_model.bin does not come from the sources.",
    )


@pytest.mark.parametrize(
    "keys",
    [
        {"decoder": "team/roberta", "weights": "flax"},
        {"decoder": "team/bart", "token_ids": {"pad": 3}},
        {"decoder": {"model": "team/gpt2", "config": "team/gpt2-config"}},
    ],
    ids=str,
)
def test_what_is_verified_may_be_made_in_any_way(
    keys: dict[str, object], hub: LocalHub, tmp_path: Path
) -> None:
    if not client(hub).repo_exists("team/gpt2-config"):
        publish(hub, "team/gpt2-config", checkpoints.gpt2(tmp_path / "gpt2-config"))
    directory = build_locally(hub, pair("owner/any", **keys), tmp_path / "built")
    assert verify(str(directory), client(hub)).is_true


def test_what_the_authors_of_a_source_say_now_changes_no_verdict(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    publish(hub, "team/to-be-gated", sources["gpt2"])
    entry = pair("owner/before-the-gate", decoder="team/to-be-gated")
    directory = build_locally(hub, entry, tmp_path / "built")
    assert not verify(str(directory), client(hub)).notes

    client(hub).update_repo_settings("team/to-be-gated", gated="auto")

    verdict = verify(str(directory), client(hub))
    assert verdict.is_true
    (note,) = verdict.notes
    assert note.startswith("What the authors of team/to-be-gated@")


def test_a_record_that_tells_less_than_todays_is_verified(
    checkpoint: Path, hub: LocalHub, tmp_path: Path
) -> None:
    old = shutil.copytree(checkpoint, tmp_path / "old")
    recorded = json.loads((old / "ved.json").read_bytes())
    for source in recorded["sources"].values():
        del source["architecture"]
    for ledger in recorded["ledger"].values():
        del ledger["contents"]
    recorded["words"] = "0" * 64  # of that version's card
    read = record.read(json.dumps(recorded).encode(), "old")
    (old / "ved.json").write_bytes(read.encoded())
    assert verify(str(old), client(hub)).is_true
