"""The command line: exit status, what is printed where, and what is not imported."""

import json
import logging
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import HfApi

import ved
from tests.publishing import TOKEN, files_of, heads, pair
from ved.cli import main
from ved.localhub import LocalHub

ROOT = Path(__file__).parents[1]
COMMANDS = ("validate", "build", "assemble", "localhub")


@dataclass(frozen=True)
class Outcome:
    """What a command ended with, and what it printed."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run commands in this process, and leave its logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def command(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    yield command
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write(tmp_path, pair("owner/of-the-command-line"))


def write(folder: Path, *pairs: object) -> Path:
    path = folder / "pairs.yaml"
    path.write_text(json.dumps({"pairs": pairs}))
    return path


# Quick commands


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["validate", "{manifest}"]])
def test_quick_commands_import_nothing_slow(arguments: list[str], manifest: Path) -> None:
    program = (
        "import sys\n"
        "from ved.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "slow = {'jax', 'flax', 'transformers', 'huggingface_hub', 'numpy', 'starlette'}\n"
        "print(sorted(slow & sys.modules.keys()))\n"
    )
    given = [argument.format(manifest=manifest) for argument in arguments]
    finished = subprocess.run(
        [sys.executable, "-c", program, *given],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert finished.stdout.splitlines()[-1] == "[]"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert [command for command in COMMANDS if f"  {command} " in text] == list(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["biuld"], "invalid choice: 'biuld'"),
        (["build"], "the following arguments are required: manifest"),
        (["assemble"], "--encoder_model_name_or_path/--encoder-model-name-or-path"),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_version_is_the_packages() -> None:
    command = [sys.executable, "-m", "ved", "--version"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout == f"ved {ved.__version__}\n"


@pytest.mark.parametrize(
    ("count", "counted"), [(1, "1 pair, all right."), (2, "2 pairs, all right.")]
)
def test_validate_says_that_all_is_right(
    count: int, counted: str, run: Run, tmp_path: Path
) -> None:
    path = write(tmp_path, *(pair(f"owner/{number}") for number in range(count)))
    assert run("validate", path) == Outcome(0, f"{path}: {counted}\n", "")


def test_validate_says_everything_that_is_wrong(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text("pairs:\n- {repo: x, encoder: e/e, decodr: d/d}\n")
    outcome = run("validate", path)
    assert (outcome.status, outcome.out) == (2, "")
    first, second = outcome.err.splitlines()
    assert first.startswith(f"{path}:2:10: 'x' has no owner")
    assert second.startswith(f"{path}:2:27: unknown key 'decodr'; did you mean 'decoder'?")


def test_validate_explains_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    outcome = run("validate", tmp_path / "none.yaml")
    assert outcome.status == 2
    assert outcome.err == (
        f"{tmp_path}/none.yaml:1:1: the file cannot be read: No such file or directory\n"
    )


# Build


def test_build_publishes_with_the_token_of_the_environment(
    run: Run, manifest: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    outcome = run("build", manifest, "--endpoint", hub.endpoint)
    assert outcome.status == 0
    head = heads(hub)["owner/of-the-command-line"]
    (line,) = outcome.out.splitlines()
    assert line.startswith("built   owner/of-the-command-line  ")
    assert line.endswith(f"  {hub.endpoint}/owner/of-the-command-line/commit/{head}")
    assert TOKEN not in outcome.out + outcome.err


def test_build_without_a_token_says_what_to_do(run: Run, manifest: Path, hub: LocalHub) -> None:
    outcome = run("build", manifest)
    assert outcome == Outcome(
        2,
        "",
        "ERROR There is no token, so nothing can be published.\n"
        "  TIP Give one that can write: the action's input token, or the variable HF_TOKEN.\n",
    )


def test_build_keeps_the_checkpoint_where_it_is_told(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    before = heads(hub)
    outcome = run("build", manifest, "--no-push", "--output-dir", tmp_path / "new" / "built")
    assert outcome.status == 0
    checkpoint = tmp_path / "new" / "built" / "owner" / "of-the-command-line"
    assert outcome.out.endswith(f"  {checkpoint}\n")
    assert files_of(checkpoint).keys() >= {"flax_model.msgpack", "README.md", "ved.json"}
    assert heads(hub) == before


def test_build_without_anything_to_come_of_it_is_a_wrong_request(run: Run, manifest: Path) -> None:
    outcome = run("build", manifest, "--no-push")
    assert outcome.status == 2
    assert "TIP Name a directory with --output-dir." in outcome.err


def test_build_of_some_pairs_ends_with_1_when_one_of_them_fails(
    run: Run, hub: LocalHub, tmp_path: Path
) -> None:
    entries = [pair(f"owner/chosen-{name}", encoder="team/missing") for name in "abc"]
    path = write(tmp_path, *entries)
    options = ["--no-push", "--output-dir", tmp_path / "built"]
    outcome = run("build", path, *options, "--only", "owner/chosen-c", "--only", "owner/chosen-a")
    assert outcome.status == 1
    first, second = outcome.out.splitlines()
    assert first.startswith("failed  owner/chosen-a  ")
    assert second.startswith("failed  owner/chosen-c  ")
    assert "Cannot read team/missing" in first


def test_build_of_an_unknown_pair_is_a_wrong_request(run: Run, manifest: Path) -> None:
    outcome = run("build", manifest, "--only", "owner/other")
    assert outcome.status == 2
    assert f"ERROR {manifest} has no one pair that is called owner/other." in outcome.err
    assert "TIP It has owner/of-the-command-line." in outcome.err


def test_build_does_not_replace_what_ved_did_not_make(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    theirs = tmp_path / "built" / "owner" / "of-the-command-line"
    theirs.mkdir(parents=True)
    (theirs / "thesis.txt").write_text("years of work")
    outcome = run("build", manifest, "--no-push", "--output-dir", tmp_path / "built")
    assert outcome.status == 1
    assert "is not empty, and VED did not make it" in outcome.out
    assert files_of(theirs) == {"thesis.txt": b"years of work"}


# Assemble


def test_assemble_takes_underscores_and_dashes(run: Run, hub: LocalHub, tmp_path: Path) -> None:
    sources = {"encoder_model_name_or_path": "team/vit", "decoder_model_name_or_path": "team/gpt2"}
    written = {}
    for spelling in ("_", "-"):
        directory = tmp_path / f"out{spelling}put"
        flags = {**sources, "output_dir": directory}
        words = [[f"--{flag.replace('_', spelling)}", value] for flag, value in flags.items()]
        outcome = run("assemble", *(word for flag in words for word in flag))
        assert outcome.status == 0
        assert re.fullmatch(rf"{directory}: [\d,]+ parameters\.\n", outcome.out)
        written[spelling] = files_of(directory)
    assert written["_"] == written["-"]
    assert written["_"].keys() >= {"flax_model.msgpack", "config.json", "tokenizer.json"}
    assert "README.md" not in written["_"]
    assert json.loads(written["_"]["ved.json"])["pair"] is None


def test_assemble_takes_directories_and_configs(
    run: Run,
    hub: LocalHub,
    sources: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sources["vit"], "encoder")
    config = json.loads(Path("encoder/config.json").read_bytes())
    Path("other").mkdir()
    Path("other/config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.25}))

    outcome = run(
        *("assemble", "--encoder_model_name_or_path", "encoder", "--encoder_config_name", "other"),
        *("--decoder_model_name_or_path", sources["gpt2"], "--output_dir", "assembled"),
    )

    assert outcome.status == 0
    assert hub.requests == []
    written = json.loads(Path("assembled/config.json").read_bytes())
    assert written["encoder"]["hidden_dropout_prob"] == 0.25


def test_assemble_replaces_a_checkpoint_of_its_own_and_nothing_else(
    run: Run, sources: dict[str, Path], hub: LocalHub, tmp_path: Path
) -> None:
    arguments = ["assemble", "--encoder-model-name-or-path", sources["vit"]]
    arguments += ["--decoder-model-name-or-path", "{}", "--output-dir", tmp_path / "assembled"]

    def assemble(decoder: str) -> Outcome:
        return run(*(sources[decoder] if word == "{}" else word for word in arguments))

    assert [assemble("gpt2").status, assemble("bert").status] == [0, 0]
    assert "vocab.txt" in files_of(tmp_path / "assembled")
    (tmp_path / "assembled" / "ved.json").unlink()
    before = files_of(tmp_path / "assembled")

    outcome = assemble("gpt2")

    assert outcome.status == 1
    assert f"ERROR {tmp_path / 'assembled'} is not empty, and VED did not make it." in outcome.err
    assert files_of(tmp_path / "assembled") == before


def test_assemble_of_a_source_that_is_not_there_ends_with_1(
    run: Run, hub: LocalHub, tmp_path: Path
) -> None:
    sources = ["--encoder_model_name_or_path", "team/missing"]
    sources += ["--decoder_model_name_or_path", "team/gpt2"]
    outcome = run("assemble", *sources, "--output_dir", tmp_path / "assembled")
    assert outcome.status == 1
    assert "ERROR Cannot read team/missing: there is no such repo" in outcome.err
    assert "  TIP Check the spelling of 'team/missing'" in outcome.err
    assert not (tmp_path / "assembled").exists()


# A Hub of one's own


def test_localhub_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    options = ["--port", "0", "--root", str(tmp_path / "hub")]
    command = [sys.executable, "-m", "ved", "localhub", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        announced = process.stdout.readline()
        match = re.fullmatch(
            r"A Hub at (http://127\.0\.0\.1:\d+); user: (\w+), token: (\w+)\. .*\n", announced
        )
        assert match is not None, announced
        endpoint, user, token = match.groups()
        api = HfApi(endpoint, token=token)
        assert api.whoami()["name"] == user
        api.create_repo(f"{user}/kept")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "hub" / "repos" / "models" / user / "kept.git").is_dir()


def test_localhub_explains_a_port_that_is_taken(run: Run, session_hub: LocalHub) -> None:
    port = session_hub.endpoint.rpartition(":")[2]
    outcome = run("localhub", "--port", port)
    assert outcome.status == 1
    assert outcome.err.startswith(f"ERROR Port {port} of 127.0.0.1 cannot be served")
    assert "TIP Choose another port." in outcome.err


def test_a_directory_that_cannot_be_made_is_explained(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    outcome = run("build", manifest, "--no-push", "--output-dir", tmp_path / "file" / "x")
    assert outcome.status == 1
    assert outcome.err.startswith("ERROR Not a directory (x)")


@pytest.mark.parametrize("name", ["a/b/c", "https://huggingface.co/google/vit", "a b"])
def test_assemble_explains_a_name_that_is_none(run: Run, name: str, tmp_path: Path) -> None:
    outcome = run(
        *("assemble", "--encoder_model_name_or_path", name),
        *("--decoder_model_name_or_path", "team/gpt2", "--output_dir", tmp_path / "out"),
    )
    assert outcome.status == 2
    assert "is not a repo id or a local directory" in outcome.err


def test_assemble_takes_a_revision_as_a_manifest_does(
    run: Run, hub: LocalHub, tmp_path: Path
) -> None:
    outcome = run(
        *("assemble", "--encoder_model_name_or_path", "team/vit@main"),
        *("--decoder_model_name_or_path", "team/gpt2", "--output_dir", tmp_path / "out"),
    )
    assert outcome.status == 0
