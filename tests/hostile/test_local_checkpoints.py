"""Local checkpoints whose files are links, devices or pipes: nothing else is read."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import checkpoints
from tests.support.action import Action, actions_of, annotations, code_of, rows_of
from tests.support.publishing import TOKEN, client, heads, pair
from tests.support.raising import raises
from ved import cli
from ved.errors import ErrorCode
from ved.localhub import LocalHub
from ved.manifest.pair_models import SourceRef
from ved.sources import local_files, pin

SECRET = "hunter2-of-the-machine"

Attack = Callable[[Path, Path], None]
"""Changes a good checkpoint. The arguments are its directory, and a directory with a secret."""


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test, with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a directory outside of the workspace, with a secret in each kind of file."""
    directory = checkpoints.bert(tmp_path / "outside")
    (directory / "vocab.txt").write_text(f"[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\n{SECRET}\n")
    (directory / "secret.json").write_text(json.dumps({"secret": SECRET}))
    return directory


def replaced(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


def link_to(name: str, target: str) -> Attack:
    def attack(directory: Path, outside: Path) -> None:
        replaced(directory / name).symlink_to(target.replace("OUTSIDE", str(outside)))

    return attack


def link_relatively(directory: Path, outside: Path) -> None:
    target = os.path.relpath(outside / "vocab.txt", directory)
    replaced(directory / "vocab.txt").symlink_to(target)


def link_in_a_chain(directory: Path, outside: Path) -> None:
    (directory / "three").symlink_to(outside / "vocab.txt")
    (directory / "two").symlink_to("three")
    replaced(directory / "vocab.txt").symlink_to("two")


def link_through_a_directory(directory: Path, outside: Path) -> None:
    (directory / "more").symlink_to(outside)
    replaced(directory / "vocab.txt").symlink_to("more/vocab.txt")


def link_into_another_checkpoint(directory: Path, outside: Path) -> None:
    shutil.copytree(outside, directory.parent / "another")
    replaced(directory / "vocab.txt").symlink_to("../another/vocab.txt")


def link_into_git(directory: Path, outside: Path) -> None:
    (directory / ".git").mkdir()
    shutil.copyfile(outside / "vocab.txt", directory / ".git" / "config")
    replaced(directory / "vocab.txt").symlink_to(".git/config")


def link_into_a_counterfeit_cache(directory: Path, outside: Path) -> None:
    blobs = directory.parent / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / ("0" * 40)).symlink_to(outside / "vocab.txt")
    replaced(directory / "vocab.txt").symlink_to(blobs / ("0" * 40))


def link_blobs_of_a_cache(directory: Path, outside: Path) -> None:
    repo = directory.parent / "models--a--b"
    repo.mkdir()
    (repo / "blobs").symlink_to(outside)
    replaced(directory / "vocab.txt").symlink_to(repo / "blobs" / "vocab.txt")


def link_to_itself(directory: Path, _: Path) -> None:
    replaced(directory / "vocab.txt").symlink_to("vocab.txt")


def link_an_index(directory: Path, outside: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").symlink_to(outside / "secret.json")


def create_pipe(directory: Path, _: Path) -> None:
    os.mkfifo(replaced(directory / "vocab.txt"))


def create_socket(directory: Path, _: Path) -> None:
    replaced(directory / "vocab.txt")
    before = Path.cwd()
    os.chdir(directory)  # an address has at most 108 characters
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("vocab.txt")
    finally:
        os.chdir(before)


ATTACKS: dict[str, Attack] = {
    "environment of the process": link_to("vocab.txt", "/proc/self/environ"),
    "root of the process": link_to("vocab.txt", "/proc/self/rootOUTSIDE/vocab.txt"),
    "setting of the kernel": link_to("tokenizer_config.json", "/proc/sys/kernel/hostname"),
    "file of /sys": link_to("vocab.txt", "/sys/kernel/mm/transparent_hugepage/enabled"),
    "endless device": link_to("vocab.txt", "/dev/zero"),
    "empty device": link_to("special_tokens_map.json", "/dev/null"),
    "standard input": link_to("config.json", "/dev/stdin"),
    "absolute link": link_to("vocab.txt", "OUTSIDE/vocab.txt"),
    "link of the config": link_to("config.json", "OUTSIDE/config.json"),
    "link of weights": link_to("model.safetensors", "OUTSIDE/model.safetensors"),
    "link of JSON": link_to("tokenizer_config.json", "OUTSIDE/secret.json"),
    "added index": link_to("flax_model.msgpack.index.json", "OUTSIDE/secret.json"),
    "link to nothing": link_to("vocab.txt", "OUTSIDE/nothing"),
    "link to a directory": link_to("model.safetensors", "OUTSIDE"),
    "index": link_an_index,
    "relative link": link_relatively,
    "chain": link_in_a_chain,
    "linked directory": link_through_a_directory,
    "another checkpoint": link_into_another_checkpoint,
    "git": link_into_git,
    "counterfeit cache": link_into_a_counterfeit_cache,
    "linked blobs": link_blobs_of_a_cache,
    "loop": link_to_itself,
    "pipe": create_pipe,
    "socket": create_socket,
}
UNUSED = {"added index", "link to a directory"}
"""Attacks on weights. Without other weights there are none, or those that are there are used."""


def texts_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("mode", ["plan", "build"])
def test_action_refuses_each_file_that_is_elsewhere(
    mode: str, action: Action, hub: LocalHub, outside: Path
) -> None:
    entries = []
    for number, attack in enumerate(ATTACKS.values()):
        directory = checkpoints.bert(action.workspace / str(number) / "bert")
        (directory / "tokenizer.json").unlink(missing_ok=True)
        attack(directory, outside)
        entries.append(pair(f"owner/local-{number}", decoder=f"./{number}/bert"))
    good = pair("owner/local-good", decoder="./good")
    checkpoints.bert(action.workspace / "good")
    before = heads(hub)

    run = action.run([*entries, good], mode=mode)

    rows = rows_of(run)
    wrong = dict(zip(ATTACKS, rows, strict=False))
    assert rows[-1]["action"] in ("build", "built")
    others = {name for name, row in wrong.items() if not row["action"].startswith("refuse")}
    assert others == {"added index"}
    codes = {name: set(row["codes"]) for name, row in wrong.items() if name not in UNUSED}
    assert codes == {name: {ErrorCode.LOCAL_FILE_REFUSED} for name in codes}
    assert SECRET not in run.log + run.summary + json.dumps(rows)
    assert TOKEN not in run.summary + json.dumps(rows)
    errors = {each.properties["title"]: each for each in annotations(run)}
    for number, (name, row) in enumerate(wrong.items()):
        if name not in UNUSED:
            error = errors[row["repo"]]
            assert (error.properties["line"], code_of(error)) == (
                str(number + 2),
                ErrorCode.LOCAL_FILE_REFUSED,
            )
    created = heads(hub).keys() - before.keys()
    unused = f"owner/local-{[*ATTACKS].index('added index')}"
    assert created == ({"owner/local-good", unused} if mode == "build" else set())


def linked_parent(workspace: Path, outside: Path) -> str:
    (workspace / "models").symlink_to(outside.parent)
    return "./models/outside"


def linked_directory(workspace: Path, outside: Path) -> str:
    (workspace / "linked").symlink_to(outside)
    return "./linked"


def chained_directory(workspace: Path, outside: Path) -> str:
    (workspace / "second").symlink_to(outside)
    (workspace / "first").symlink_to("second")
    return "./first/."


PLACES: dict[str, Callable[[Path, Path], str]] = {
    "absolute": lambda _, outside: str(outside),
    "parent": lambda workspace, outside: os.path.relpath(outside, workspace),
    "through the workspace": lambda _, outside: f"./x/../../../{outside.name}",
    "root of the process": lambda _, outside: f"/proc/self/root{outside}",
    "linked parent": linked_parent,
    "linked directory": linked_directory,
    "chain of links": chained_directory,
    "system": lambda _, __: "/sys/kernel",
}


@pytest.mark.parametrize("as_config", [False, True])
def test_action_refuses_each_directory_outside_the_workspace(
    as_config: bool, action: Action, outside: Path
) -> None:
    (action.workspace / "x").mkdir(parents=True)
    entries = []
    for number, place in enumerate(PLACES.values()):
        directory = place(action.workspace, outside)
        decoder = {"model": "team/bert", "config": directory} if as_config else directory
        entries.append(pair(f"owner/outside-{number}", decoder=decoder))

    run = action.run([*entries, pair("owner/good")], mode="plan")

    *wrong, good = rows_of(run)
    assert good["action"] == "build"
    found = dict(zip(PLACES, [(row["action"], row["codes"]) for row in wrong], strict=True))
    assert found == dict.fromkeys(PLACES, ("refuse", [ErrorCode.OUTSIDE_THE_WORKSPACE]))
    assert SECRET not in run.log + run.summary + json.dumps(wrong)


def test_action_reads_links_within_a_checkpoint_and_into_a_cache(
    action: Action, hub: LocalHub, sources: dict[str, Path]
) -> None:
    cache = action.workspace / "cache"
    snapshot = Path(client(hub).snapshot_download("team/vit", cache_dir=cache))
    assert (snapshot / "model.safetensors").is_symlink()
    within = shutil.copytree(sources["gpt2"], action.workspace / "gpt2")
    (within / "weights").mkdir()
    (within / "model.safetensors").rename(within / "weights" / "main")
    (within / "model.safetensors").symlink_to("weights/main")
    beside = action.workspace / "beside"
    beside.mkdir()
    for path in snapshot.iterdir():
        (beside / path.name).symlink_to(path)
    (beside / "notes.txt").symlink_to("/etc/hostname")  # not used
    entries = [
        pair("owner/of-a-cache", encoder=f"./{snapshot.relative_to(action.workspace)}"),
        pair("owner/of-links-within", decoder="./gpt2"),
        pair("owner/of-links-into-a-cache", encoder="./beside"),
    ]
    run = action.run(entries)
    assert actions_of(run) == ["built"] * 3, run.log


def test_action_refuses_a_directory_with_too_many_entries(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "MAX_ENTRIES", 100)
    directory = checkpoints.bert(action.workspace / "bert")
    for number in range(101):
        (directory / f"{number}.txt").touch()
    run = action.run([pair("owner/x", decoder="./bert")], mode="plan")
    assert [row["codes"] for row in rows_of(run)] == [[ErrorCode.LOCAL_FILE_REFUSED]]


def test_source_refuses_a_directory_whose_name_is_not_utf_8(hub: LocalHub, tmp_path: Path) -> None:
    directory = tmp_path / os.fsdecode(b"caf\xe9")
    directory.mkdir()
    with raises(ErrorCode.LOCAL_FILE_REFUSED):
        pin(SourceRef(model=str(directory)), client(hub))


# The command line


def assemble(hub: LocalHub, decoder: str | Path, output: Path, *options: str) -> int:
    return cli.main(
        [
            *("assemble", "--encoder-model-name-or-path", "team/vit", "--endpoint", hub.endpoint),
            *("--decoder-model-name-or-path", str(decoder), "--output-dir", str(output), *options),
        ]
    )


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in UNUSED])
def test_assemble_refuses_a_file_that_is_elsewhere(
    name: str, hub: LocalHub, outside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = checkpoints.bert(tmp_path / "sources" / "bert")
    (directory / "tokenizer.json").unlink(missing_ok=True)
    ATTACKS[name](directory, outside)
    assert assemble(hub, directory, tmp_path / "out") == 1
    assert ErrorCode.LOCAL_FILE_REFUSED.url in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_assemble_reads_a_directory_wherever_it_is(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "linked").symlink_to(sources["gpt2"])
    monkeypatch.chdir(tmp_path)
    assert assemble(hub, "./linked", tmp_path / "out") == 0


@pytest.mark.parametrize("directory", ["/proc/self", "/dev", "/sys", "/proc/self/task"])
@pytest.mark.parametrize("option", ["model", "config"])
def test_assemble_refuses_directories_of_the_system(
    directory: str,
    option: str,
    hub: LocalHub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if option == "model":
        status = assemble(hub, directory, tmp_path / "out")
    else:
        status = assemble(hub, "team/bert", tmp_path / "out", "--decoder_config_name", directory)
    assert status == 1
    assert ErrorCode.LOCAL_FILE_REFUSED.url in capsys.readouterr().err
