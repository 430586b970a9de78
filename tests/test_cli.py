"""The command line: exit status, what is printed where, and what is not imported."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

import ved
from tests import checkpoints
from tests.support.manifests import one_pair
from tests.support.publishing import TOKEN, files_of, heads, pair
from tests.support.web import web
from ved.cli import main
from ved.errors import ErrorCode
from ved.families.overview import format_table, overview
from ved.families.table import DECODERS, ENCODERS
from ved.families.twins import TWIN_DECODERS, TWIN_ENCODERS
from ved.interruption import ExitStatus
from ved.localhub import LocalHub
from ved.results.rows import Row

ROOT = Path(__file__).parents[1]
COMMANDS = (
    *("init", "validate", "families", "plan", "build", "assemble", "verify", "localhub"),
    "completion",
)


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
    logging.getLogger("ved").setLevel(logging.NOTSET)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write(tmp_path, pair("owner/of-the-command-line"))


def write(folder: Path, *pairs: object) -> Path:
    path = folder / "pairs.yaml"
    path.write_text(json.dumps({"pairs": pairs}))
    return path


# Quick commands


def test_cli_interrupted_during_its_imports_prints_no_traceback() -> None:
    code = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "pydantic":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from ved.__main__ import run
run()
"""
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (finished.returncode, finished.stderr) == (ExitStatus.INTERRUPTED, "")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["validate", "{manifest}"]])
def test_cli_help_and_validate_import_nothing_slow(arguments: list[str], manifest: Path) -> None:
    program = (
        "import sys\n"
        "from ved.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "slow = {'jax', 'flax', 'transformers', 'huggingface_hub', 'numpy', 'starlette'}\n"
        "slow |= {'rich', 'shtab'}\n"
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


def test_action_and_plans_import_no_terminal_library() -> None:
    program = (
        "import sys; import ved.action.modes, ved.action.reports, ved.commands\n"
        "from ved.execution.progress import progress_bars\n"
        "with progress_bars(1, are_drawn=False): pass\n"
        "print(sorted({'rich', 'shtab'} & sys.modules.keys()))\n"
    )
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout == "[]\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert re.findall(r"^    (\w+) ", text, re.MULTILINE) == list(COMMANDS)


def test_cli_without_a_command_prints_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert re.findall(r"^    (\w+) ", printed.err, re.MULTILINE) == list(COMMANDS)
    assert "ved init" in printed.err  # where to begin


def test_help_in_a_narrow_terminal_keeps_paths_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    with pytest.raises(SystemExit):
        main(["completion", "--help"])
    text = capsys.readouterr().out
    assert "~/.local/share/bash-completion/completions/ved" in text
    assert max(map(len, text.splitlines())) <= 50


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("validate", ["manifest", "exit 0 if valid, 2 if not"]),
        ("plan", ["--json", "--shards N", "--only REPO", "--max-disk SIZE", "needs no token"]),
        ("build", ["--shard JSON", "--output-dir DIR", "--no-push", "--endpoint URL"]),
        ("assemble", ["--encoder_config_name REPO|DIR", "--decoder-model-name-or-path"]),
        ("verify", ["REPO[@REVISION]|DIR", "exit 0 if identical, 1 otherwise"]),
        ("localhub", ["--port PORT", "--root DIR", "--samples", "--no-xet", "--like-production"]),
    ],
)
def test_help_of_a_command_lists_its_options(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["biuld"], "invalid choice: 'biuld'; did you mean build?"),
        (["paln", "--json"], "did you mean plan?"),
        (["help"], "did you mean --help?"),
        (["publish"], "did you mean build?"),
        (["Validate"], "did you mean validate?"),
        (["VALIDATE"], "did you mean validate?"),
        (["lint"], "did you mean validate?"),
        (["etwas"], "choose from init, validate, "),
        (["build", "--dry-run"], "ved plan"),
        (["build", "--endpoint", ""], "argument --endpoint: "),
        (["build", "--output-dir", ""], "argument --output-dir: "),
        (["build", "--HF_token=x"], "HF_TOKEN"),
        (["--jsn"], "usage: ved [-h]"),
        (["--json", "plan"], "write it after ved plan"),
        (["plan", "--jsn"], "usage: ved plan"),
        (["plan", "--jsn"], "--jsn; did you mean --json?"),
        (["build", "a.yaml", "b.yaml"], "usage: ved build"),
        (["build", "--quiet", "--verbose"], "not allowed with argument -q/--quiet"),
        (["completion", "csh"], "invalid choice: 'csh'"),
        (["completion", "fihs"], "did you mean fish?"),
        (["assemble"], "--encoder_model_name_or_path/--encoder-model-name-or-path"),
        (["plan", "x", "--json", "--shards", "2"], "not allowed with argument --json"),
        (["plan", "x", "--shards", "many"], "argument --shards: invalid int value: 'many'"),
        (["build", "x", "--only", "a", "--shard", "{}"], "not allowed with argument --only"),
        (["localhub", "--port", "65536"], "argument --port: '65536' is not a port"),
        (["localhub", "--port", "-1"], "argument --port: '-1' is not a port"),
        (["localhub", "--port", "http"], "argument --port: 'http' is not a port"),
    ],
)
def test_cli_exits_with_2_for_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--token", "TOKEN", "plan"],
        ["plan", "a.yaml", "--token", "TOKEN"],
        ["plan", "--token=TOKEN"],
    ],
)
def test_cli_prints_no_token_of_its_arguments(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    token = "hf_" + "a1" * 17
    with pytest.raises(SystemExit):
        main([each.replace("TOKEN", token) for each in arguments])
    assert token not in capsys.readouterr().err


@pytest.mark.parametrize("before", [[], ["plan"], ["plan", "a.yaml", "--"]])
def test_cli_shortens_long_arguments(before: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*before, "x" * 2000 if not before else "--" + "x" * 2000, "x" * 2000])
    assert len(capsys.readouterr().err) < 1000


def test_version_is_that_of_the_package() -> None:
    command = [sys.executable, "-m", "ved", "--version"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout == f"ved {ved.__version__}\n"


@pytest.mark.parametrize(("count", "counted"), [(1, "valid, 1 pair."), (2, "valid, 2 pairs.")])
def test_validate_counts_the_pairs(count: int, counted: str, run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, *(pair(f"owner/{number}") for number in range(count)))
    assert run("validate", path) == Outcome(0, f"{path}: {counted}\n", "")


def test_validate_prints_every_problem(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text("pairs:\n- {repo: x, encoder: e/e, decodr: d/d}\n")
    outcome = run("validate", path)
    assert (outcome.status, outcome.out) == (2, "")
    first, second, last = outcome.err.splitlines()
    assert first.startswith(f"{path}:2:10: 'x' has no owner")
    assert second.startswith(f"{path}:2:27: unknown key 'decodr'; did you mean 'decoder'?")
    assert last == f"  SEE {ErrorCode.WRONG_MANIFEST.url}"


def test_validate_checks_every_manifest(run: Run, tmp_path: Path) -> None:
    good, bad, worse = (tmp_path / name for name in ("good.yaml", "bad.yaml", "worse.yaml"))
    good.write_bytes(one_pair())
    bad.write_bytes(one_pair(seed="-1"))
    worse.write_bytes(one_pair(seeds="1"))
    outcome = run("validate", bad, good, worse)
    assert outcome.status == 2
    assert outcome.out.startswith(f"{good}: ")
    assert [line.partition(":")[0] for line in outcome.err.splitlines()[:2]] == [
        str(bad),
        str(worse),
    ]


def test_validate_explains_a_missing_file(run: Run, tmp_path: Path) -> None:
    outcome = run("validate", tmp_path / "none.yaml")
    assert outcome.status == 2
    assert str(tmp_path)[:40] in outcome.err
    assert outcome.err.endswith(f"  SEE {ErrorCode.MANIFEST_NOT_READABLE.url}\n")


def test_validate_checks_the_others_if_a_file_is_missing(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_bytes(one_pair())
    assert run("validate", tmp_path / "none.yaml", good).status == 2
    bad.write_bytes(one_pair(seed="-1"))
    outcome = run("validate", tmp_path / "none.yaml", good, bad)
    assert (outcome.status, outcome.out) == (2, f"{good}: valid, 1 pair.\n")
    assert ErrorCode.MANIFEST_NOT_READABLE.url in outcome.err
    assert f"\n{bad}:" in outcome.err


# Plan


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Write a manifest of two pairs to build, and of one that cannot be built."""
    good = [pair("owner/planned-1"), pair("owner/planned-2", decoder="team/bart")]
    return write(tmp_path, *good, pair("owner/planned-3", encoder="team/missing"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path, pair("owner/planned-1"), pair("owner/planned-2", decoder="team/bart"))


def test_plan_prints_actions_and_writes_nothing(run: Run, several: Path, hub: LocalHub) -> None:
    before = heads(hub)
    outcome = run("plan", several)
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "build      owner/planned-1  New repo.",
        "build      owner/planned-2  New repo.",
        "refuse     owner/planned-3",
    ]
    # What is found of a pair is at its key's place, below the pair.
    assert lines[1].startswith(f"  {several}:1:12: notice: Pad and eos are both 384: ")
    column = several.read_text().index('"team/missing"') + 1
    error = f"  {several}:1:{column}: error: Cannot read team/missing: "
    assert lines[4].startswith(error)
    assert len(lines) == 5  # notices of a refused pair do not matter
    assert re.fullmatch(r"2 to build, 1 refused\.", outcome.err.splitlines()[-1])
    assert heads(hub) == before
    # Nothing but reading, in which the Hub's check of a card is included.
    posts = [exchange.path for exchange in hub.requests if exchange.method not in ("GET", "HEAD")]
    assert set(posts) <= {"/api/validate-yaml"}


def test_plan_of_a_published_pair_is_skip(
    run: Run, tmp_path: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    repo = "owner/already-there"
    manifest = write(tmp_path, pair(repo))
    assert run("build", manifest).status == 0
    url = f"{hub.endpoint}/{repo}/commit/{heads(hub)[repo]}"
    planned = run("plan", manifest, "--quiet")
    assert planned == Outcome(0, f"skip       {repo}  Up to date. {url}\n", "")


def test_plan_json_is_the_output_of_the_action(run: Run, several: Path, hub: LocalHub) -> None:
    outcome = run("plan", several, "--json")
    assert outcome.status == 1
    rows = json.loads(outcome.out)
    assert [(row["repo"], row["action"]) for row in rows] == [
        ("owner/planned-1", "build"),
        ("owner/planned-2", "build"),
        ("owner/planned-3", "refuse"),
    ]
    assert {frozenset(row) for row in rows} == {frozenset(Row.model_fields)}
    assert [len(row["fingerprint"]) for row in rows] == [64, 64, 0]
    assert rows[0]["bytes"] > rows[2]["bytes"] == 0
    # Each place is as in the text.
    text = several.read_text()
    columns = [text.index(f'{{"repo": "{row["repo"]}"') + 1 for row in rows]
    file = str(several)
    assert [row["place"] for row in rows] == [
        {"file": file, "line": 1, "column": column} for column in columns
    ]
    (error,) = rows[2]["errors"]
    assert error["code"] == ErrorCode.NO_SUCH_REPO
    column = text.index('"team/missing"') + 1
    assert error["place"] == {"file": file, "line": 1, "column": column}
    assert rows[0]["errors"] == []


def shards(run: Run, manifest: Path, count: int) -> list[dict[str, Any]]:
    outcome = run("plan", manifest, "--shards", count)
    assert outcome.status == 0
    matrix: dict[str, list[dict[str, Any]]] = json.loads(outcome.out)
    assert matrix.keys() == {"include"}
    return matrix["include"]


def test_plan_shards_distributes_pending_pairs(run: Run, good: Path, hub: LocalHub) -> None:
    (whole,) = shards(run, good, 1)
    assert (whole["shard"], whole["repos"]) == ("1/1", ["owner/planned-1", "owner/planned-2"])
    first, second = shards(run, good, 5)
    assert (first["shard"], first["repos"]) == ("1/2", ["owner/planned-1"])
    assert (second["shard"], second["repos"]) == ("2/2", ["owner/planned-2"])
    # The encoder that they share is downloaded for each of them then.
    assert max(first["bytes"], second["bytes"]) < whole["bytes"] < first["bytes"] + second["bytes"]


def test_plan_shards_explains_refused_pairs(run: Run, several: Path, hub: LocalHub) -> None:
    outcome = run("plan", several, "--shards", 1)
    assert outcome.status == 1
    (shard,) = json.loads(outcome.out)["include"]
    assert shard["repos"] == ["owner/planned-1", "owner/planned-2"]
    assert "refuse     owner/planned-3" in outcome.err
    assert ErrorCode.NO_SUCH_REPO.url in outcome.err


@pytest.mark.parametrize("count", [0, 257, -1])
def test_plan_shards_out_of_range_is_a_wrong_request(
    count: int, run: Run, good: Path, hub: LocalHub
) -> None:
    outcome = run("plan", good, f"--shards={count}")
    assert (outcome.status, outcome.out) == (2, "")
    assert "#wrong-input" in outcome.err
    assert hub.requests == []


def test_plan_with_a_wrong_token_is_a_wrong_request(
    run: Run, good: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    outcome = run("plan", good)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.endswith(f"  SEE {ErrorCode.TOKEN_NOT_VALID.url}\n")


@pytest.mark.parametrize("command", ["plan", "build"])
def test_cli_with_a_wrong_manifest_is_a_wrong_request(
    command: str, run: Run, tmp_path: Path, hub: LocalHub
) -> None:
    path = write(tmp_path, {"repo": "owner/x", "encoder": "team/vit"})
    outcome = run(command, path)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"{path}:1:12: missing key 'decoder'")
    assert hub.requests == []


# Build


def test_build_shard_builds_only_its_pairs(
    run: Run, good: Path, hub: LocalHub, tmp_path: Path
) -> None:
    first, _ = shards(run, good, 2)
    options = ["--no-push", "--output-dir", tmp_path / "built"]
    outcome = run("build", good, "--shard", json.dumps(first), *options)
    assert outcome.status == 0
    assert [path.name for path in (tmp_path / "built" / "owner").iterdir()] == ["planned-1"]


@pytest.mark.parametrize("command", ["plan", "build"])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--shard", "1/2"], ErrorCode.WRONG_INPUT),
        (["--shard", '{"repos": []}'], ErrorCode.WRONG_INPUT),
        (["--shard", '{"repos": ["owner/x"]}'], ErrorCode.NO_SUCH_PAIR),
        (["--max-disk", "10 apples"], ErrorCode.WRONG_INPUT),
        (["--max-disk", ""], ErrorCode.WRONG_INPUT),
        (["--shard", ""], ErrorCode.WRONG_INPUT),
        (["--only", ""], ErrorCode.NO_SUCH_PAIR),
        (["--only", " ,"], ErrorCode.NO_SUCH_PAIR),
        (["--max-disk", "0GB"], ErrorCode.WRONG_INPUT),
    ],
)
def test_cli_with_a_wrong_shard_or_size_is_a_wrong_request(
    command: str, options: list[str], error: ErrorCode, run: Run, good: Path, hub: LocalHub
) -> None:
    outcome = run(command, good, *options)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("ERROR ")
    assert "\n  TIP " in outcome.err
    assert outcome.err.endswith(f"\n  SEE {error.url}\n")
    assert hub.requests == []


def test_build_without_disk_refuses_the_pair(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    options = ["--no-push", "--output-dir", tmp_path / "built", "--max-disk", "10 kB"]
    outcome = run("build", manifest, *options)
    assert outcome.status == 1
    first, finding = outcome.out.splitlines()
    assert first == "refused    owner/of-the-command-line"
    assert finding.startswith(f"  {manifest}:1:")  # the place in the manifest
    assert "10.0 KB" in outcome.out
    assert outcome.out.endswith(f"See {ErrorCode.NOT_ENOUGH_DISK.url}\n")


def test_build_uses_the_token_of_the_environment(
    run: Run, manifest: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    outcome = run("build", manifest, "--endpoint", hub.endpoint)
    assert outcome.status == 0
    head = heads(hub)["owner/of-the-command-line"]
    url = f"{hub.endpoint}/owner/of-the-command-line/commit/{head}"
    line = rf"built      owner/of-the-command-line  Published .+ in \d+ s\. Reason: .+ {url}\n"
    assert re.fullmatch(line, outcome.out)
    assert re.fullmatch(r"1 built in \d+ s\.", outcome.err.splitlines()[-1])
    assert TOKEN not in outcome.out + outcome.err


def test_build_json_is_the_output_of_the_action(
    run: Run, several: Path, hub: LocalHub, tmp_path: Path
) -> None:
    options = ["--no-push", "--output-dir", tmp_path / "built", "--only", "planned-2,planned-3"]
    outcome = run("build", several, "--json", *options)
    assert outcome.status == 1
    rows = json.loads(outcome.out)
    assert [(row["repo"], row["action"]) for row in rows] == [
        ("owner/planned-2", "built"),
        ("owner/planned-3", "refused"),
    ]
    assert {frozenset(row) for row in rows} == {frozenset(Row.model_fields)}
    assert [error["place"]["line"] for error in rows[1]["errors"]] == [1]
    # Each problem is explained once: the log has its code only.
    assert "refuse     owner/planned-3  no-such-repo" in outcome.err
    assert ErrorCode.NO_SUCH_REPO.url not in outcome.err
    assert re.fullmatch(r"1 built, 1 refused in \d+ s\.", outcome.err.splitlines()[-1])


def test_build_quiet_prints_results_only(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    folder = tmp_path / "built"
    outcome = run("build", manifest, "--quiet", "--no-push", "--output-dir", folder)
    assert (outcome.status, outcome.err) == (0, "")
    place = folder / "owner" / "of-the-command-line"
    assert re.fullmatch(rf"built .+ Wrote .+ to {re.escape(str(place))} in .+\n", outcome.out)


def test_build_verbose_prints_times_and_the_error_in_full(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    outcome = run("build", manifest, "--verbose")
    assert outcome.status == 2
    assert re.match(r"\d\d:\d\d:\d\d ", outcome.err)
    assert "Traceback" in outcome.err
    assert outcome.err.endswith(f"  SEE {ErrorCode.NO_TOKEN.url}\n")


def test_commands_read_pairs_yaml_by_default(
    run: Run, manifest: Path, monkeypatch: pytest.MonkeyPatch, hub: LocalHub
) -> None:
    monkeypatch.chdir(manifest.parent)
    assert run("validate").status == 0
    assert run("plan", "--quiet").status == 0
    manifest.unlink()
    for command in ("validate", "plan", "build"):
        outcome = run(command)
        assert outcome.status == 2
        assert ErrorCode.MANIFEST_NOT_READABLE in outcome.err


@pytest.mark.parametrize(
    ("endpoint", "remedy"),
    [
        ("huggingface.co", "https://huggingface.co"),
        ("hub.example:8443/hub", "https://hub.example:8443/hub"),
        ("localhost:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_cli_adds_the_scheme_that_an_endpoint_lacks(
    endpoint: str, remedy: str, run: Run, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    outcome = run("plan", manifest, "--endpoint", endpoint)
    assert outcome.status == 2
    assert f" {remedy}." in outcome.err
    assert outcome.err.endswith(f"  SEE {ErrorCode.WRONG_INPUT.url}\n")


def test_build_without_a_token_is_a_wrong_request(run: Run, manifest: Path, hub: LocalHub) -> None:
    outcome = run("build", manifest)
    assert (outcome.status, outcome.out) == (2, "")
    labels = [line.split()[0] for line in outcome.err.splitlines()]
    assert labels == ["ERROR", "TIP", "SEE"]
    assert outcome.err.endswith(f"  SEE {ErrorCode.NO_TOKEN.url}\n")


def test_build_keeps_checkpoints_in_the_output_directory(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    before = heads(hub)
    outcome = run("build", manifest, "--no-push", "--output-dir", tmp_path / "new" / "built")
    assert outcome.status == 0
    checkpoint = tmp_path / "new" / "built" / "owner" / "of-the-command-line"
    assert outcome.out.startswith("built      owner/of-the-command-line  ")
    steps = [line for line in outcome.err.splitlines() if line.startswith("owner/")]
    assert [re.sub(r" [\d.]+ KB$", "", line) for line in steps if "Down" not in line] == [
        "owner/of-the-command-line: Assembling",
    ]
    assert "\r" not in outcome.err  # there is no bar where there is no terminal
    assert files_of(checkpoint).keys() >= {"model.safetensors", "README.md", "ved.json"}
    assert heads(hub) == before


def test_build_without_push_and_output_is_a_wrong_request(run: Run, manifest: Path) -> None:
    outcome = run("build", manifest, "--no-push")
    assert outcome.status == 2
    assert outcome.err.endswith(f"  SEE {ErrorCode.WRONG_INPUT.url}\n")


@pytest.mark.parametrize(
    "only",
    [
        ("--only", "owner/chosen-c", "--only", "owner/chosen-a"),
        ("--only", "owner/chosen-c, chosen-a,"),
    ],
    ids=["two arguments", "commas"],
)
def test_build_exits_with_1_for_a_refused_pair(
    only: tuple[str, ...], run: Run, hub: LocalHub, tmp_path: Path
) -> None:
    entries = [pair(f"owner/chosen-{name}", encoder="team/missing") for name in "abc"]
    path = write(tmp_path, *entries)
    options = ["--no-push", "--output-dir", tmp_path / "built"]
    outcome = run("build", path, *options, *only)
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert lines[::2] == ["refused    owner/chosen-a", "refused    owner/chosen-c"]
    assert all(line.startswith(f"  {path}:1:") for line in lines[1::2])


GPT2 = "openai-community/gpt2"
ENCODER, DECODER = ("--encoder-model-name-or-path",), ("--decoder-model-name-or-path",)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", f"https://huggingface.co/{GPT2}/tree/main"),
        ("assemble", *ENCODER, f"hf.co/{GPT2}", *DECODER, "x", "--output-dir", "built"),
    ],
    ids=["verify", "assemble"],
)
def test_cli_answers_a_url_with_the_id(arguments: tuple[str, ...], run: Run, hub: LocalHub) -> None:
    outcome = run(*arguments)
    assert outcome.status == 2
    assert outcome.err.endswith(f"  SEE {ErrorCode.WRONG_INPUT.url}\n")
    assert f"write {GPT2}." in outcome.err
    assert hub.requests == []


def test_build_of_an_unknown_pair_is_a_wrong_request(run: Run, manifest: Path) -> None:
    outcome = run("build", manifest, "--only", "owner/other")
    assert outcome.status == 2
    assert outcome.err.endswith(f"  SEE {ErrorCode.NO_SUCH_PAIR.url}\n")
    assert "owner/other" in outcome.err
    assert "owner/of-the-command-line" in outcome.err


def test_build_does_not_replace_a_file(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("years of work")
    for output in (tmp_path / "file", tmp_path / "file" / "built"):
        outcome = run("build", manifest, "--no-push", "--output-dir", output)
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.endswith(f"SEE {ErrorCode.DIRECTORY_IN_USE.url}\n")
    assert (tmp_path / "file").read_text() == "years of work"


def test_build_does_not_replace_a_foreign_directory(
    run: Run, manifest: Path, hub: LocalHub, tmp_path: Path
) -> None:
    theirs = tmp_path / "built" / "owner" / "of-the-command-line"
    theirs.mkdir(parents=True)
    (theirs / "thesis.txt").write_text("years of work")
    outcome = run("build", manifest, "--no-push", "--output-dir", tmp_path / "built")
    assert outcome.status == 1
    assert outcome.out.endswith(f"See {ErrorCode.DIRECTORY_IN_USE.url}\n")
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
    assert not json.loads(written["_"]["ved.json"]).keys() & {"pair", "card_digest"}


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
        *("assemble", "--encoder_model_name_or_path", "./encoder"),
        *("--encoder_config_name", "./other"),
        *("--decoder_model_name_or_path", sources["gpt2"], "--output_dir", "assembled"),
    )

    assert outcome.status == 0
    assert hub.requests == []
    written = json.loads(Path("assembled/config.json").read_bytes())
    assert written["encoder"]["hidden_dropout_prob"] == 0.25


def test_assemble_reads_chosen_weights_and_names_unknown_settings(
    run: Run, sources: dict[str, Path], tmp_path: Path
) -> None:
    source, output = tmp_path / "source", tmp_path / "assembled"
    shutil.copytree(sources["gpt2"], source)
    config = json.loads((source / "config.json").read_bytes())
    (source / "config.json").write_text(json.dumps({**config, "gain_of_next_year": 2}))
    arguments = ["assemble", "--encoder-model-name-or-path", sources["vit"], "--output-dir", output]
    arguments += ["--decoder-model-name-or-path", source]

    refused = run(*arguments, "--decoder-weights-from", "flax")
    assert refused.status == 1
    assert ErrorCode.NO_USABLE_WEIGHTS in refused.err
    assert not output.exists()

    outcome = run(*arguments, "--decoder-weights-from", "safetensors")
    assert outcome.status == 0
    assert re.search(r"^warning: decoder: .*gain_of_next_year", outcome.err, re.MULTILINE)


def test_assemble_replaces_only_its_own_checkpoint(
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
    assert outcome.err.endswith(f"  SEE {ErrorCode.DIRECTORY_IN_USE.url}\n")
    assert files_of(tmp_path / "assembled") == before


def test_assemble_prints_warnings(
    run: Run, sources: dict[str, Path], hub: LocalHub, tmp_path: Path
) -> None:
    encoder = checkpoints.vit(tmp_path / "vit", prefix=True)  # has no pooler
    outcome = run(
        *("assemble", "--encoder-model-name-or-path", encoder),
        *("--decoder-model-name-or-path", sources["gpt2"]),
        *("--output-dir", tmp_path / "assembled"),
    )
    assert outcome.status == 0
    (warning,) = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert "pooler" in warning


def test_assemble_refuses_a_directory_with_a_file_of_its_owner(
    run: Run, sources: dict[str, Path], hub: LocalHub, tmp_path: Path
) -> None:
    arguments = ["assemble", "--encoder-model-name-or-path", sources["vit"]]
    arguments += ["--decoder-model-name-or-path", sources["gpt2"]]
    arguments += ["--output-dir", tmp_path / "assembled"]
    assert run(*arguments).status == 0
    (tmp_path / "assembled" / "notes.txt").write_text("years of work")
    before = files_of(tmp_path / "assembled")

    outcome = run(*arguments)

    assert outcome.status == 1
    assert "notes.txt" in outcome.err
    assert outcome.err.endswith(f"  SEE {ErrorCode.DIRECTORY_IN_USE.url}\n")
    assert files_of(tmp_path / "assembled") == before


def test_assemble_exits_with_1_for_a_missing_source(
    run: Run, hub: LocalHub, tmp_path: Path
) -> None:
    sources = ["--encoder_model_name_or_path", "team/missing"]
    sources += ["--decoder_model_name_or_path", "team/gpt2"]
    outcome = run("assemble", *sources, "--output_dir", tmp_path / "assembled")
    assert outcome.status == 1
    assert outcome.err.endswith(f"  SEE {ErrorCode.NO_SUCH_REPO.url}\n")
    assert "team/missing" in outcome.err
    assert not (tmp_path / "assembled").exists()


# A Hub of one's own


@pytest.mark.hub
@pytest.mark.parametrize(("storage", "xet_status"), [([], 200), (["--no-xet"], 404)])
def test_localhub_serves_until_it_is_interrupted(
    tmp_path: Path, storage: list[str], xet_status: int
) -> None:
    options = ["--port", "0", "--root", str(tmp_path / "hub"), *storage]
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
        xet = f"{endpoint}/api/models/{user}/kept/xet-read-token/main"
        assert web.get(xet).status_code == xet_status
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "hub" / "repos" / "models" / user / "kept.git").is_dir()


def test_localhub_without_its_libraries_names_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ved.localhub", None)
    outcome = run("localhub")
    assert (outcome.status, outcome.out) == (2, "")
    assert 'pip install "ved[localhub] @ git+https://github.com/ved-action/ved@' in outcome.err


def test_localhub_explains_a_port_in_use(run: Run, module_hub: LocalHub) -> None:
    port = module_hub.endpoint.rpartition(":")[2]
    outcome = run("localhub", "--port", port)
    assert outcome.status == 1
    assert outcome.err.startswith(f"ERROR Port {port} of 127.0.0.1 cannot be served")
    assert "TIP Choose another port." in outcome.err


def test_cli_explains_a_directory_that_cannot_be_created(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    outcome = run("build", manifest, "--no-push", "--output-dir", tmp_path / "file" / "x")
    assert outcome.status == 1
    assert outcome.err.startswith("ERROR Not a directory (x)")


@pytest.mark.parametrize("name", ["a/b/c", "a b"])
def test_assemble_explains_an_invalid_name(run: Run, name: str, tmp_path: Path) -> None:
    outcome = run(
        *("assemble", "--encoder_model_name_or_path", name),
        *("--decoder_model_name_or_path", "team/gpt2", "--output_dir", tmp_path / "out"),
    )
    assert outcome.status == 2
    assert "is not a repo id or a local directory" in outcome.err


def test_assemble_accepts_revisions(run: Run, hub: LocalHub, tmp_path: Path) -> None:
    outcome = run(
        *("assemble", "--encoder_model_name_or_path", "team/vit@main"),
        *("--decoder_model_name_or_path", "team/gpt2", "--output_dir", tmp_path / "out"),
    )
    assert outcome.status == 0


@pytest.mark.unit
@pytest.mark.parametrize("arguments", [["families"], ["families", "--json"]])
def test_output_may_be_closed_early(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ved", *arguments]
    finished = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(writer)
    assert finished.returncode == ExitStatus.FAILED
    assert finished.stderr == b""


def test_families_prints_every_family_and_what_runs_it(run: Run) -> None:
    outcome = run("families", "--json")
    assert outcome.status == 0
    found = {(each["role"], each["family"]): each for each in json.loads(outcome.out)}
    expected = {
        "encoder": {**ENCODERS, **TWIN_ENCODERS},
        "decoder": {**DECODERS, **TWIN_DECODERS},
    }
    assert found.keys() == {(role, name) for role, names in expected.items() for name in names}
    assert found["decoder", "distilbert"]["published_as"] == "bert"
    works = {each["name"]: each["works"] for each in found["decoder", "bert"]["runs"]}
    fails = {name for name, each in works.items() if not each}
    assert fails == {
        "Flax, transformers' class: `generate`",
        'PyTorch, transformers 5: `pipeline("image-to-text")`',
    }
    text = run("families").out
    for _, name in found:
        assert re.search(rf"^{name} +(en|de)coder ", text, re.MULTILINE)


@pytest.mark.unit
@pytest.mark.parametrize("width", [40, 50, 80, 100, 140])
def test_families_fit_a_terminal_of_any_width(width: int) -> None:
    text = format_table(overview(), width)
    assert [line for line in text.splitlines() if len(line) > width and " " in line.strip()] == []
    for name in (*ENCODERS, *TWIN_ENCODERS, *DECODERS, *TWIN_DECODERS):
        assert re.search(rf"^{name}(:| +) ?(en|de)coder", text, re.MULTILINE)
    assert all(each.model in text for each in overview())
