"""The files that the action writes: outputs, job summary, results and checksums."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from tests.action.test_log import TEXTS
from tests.support.action import (
    NO_OUTPUTS,
    Action,
    annotations,
    code_of,
    explanations,
    rows_of,
    text_blocks,
)
from tests.support.publishing import pair
from ved.action import outputs
from ved.errors import ErrorCode

REFUSED = [pair("owner/x", encoder="team/missing")]


@given(value=TEXTS)
def test_set_output_sets_one_output_for_any_text(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("runner") / "output"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_OUTPUT", str(file))
        outputs.set_output("results", value)
        outputs.set_output("built", "1")
    first, *lines = file.read_bytes().decode().split("\n")
    delimiter = first.removeprefix("results<<")
    end = lines.index(delimiter)
    assert "\n".join(lines[:end]) == value
    assert [line.partition("<<")[0] for line in lines[end + 1 :]][:1] == ["built"]


@pytest.mark.parametrize("line", ["x" * 99 + "\n", "é" * 49 + "\n", "\ud800\n"])
def test_write_summary_truncates_after_a_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    outputs.write_summary(line * (2**21 // len(line.encode(errors="backslashreplace"))))
    written = file.read_text()
    assert 990_000 < len(written.encode()) < 2**20
    assert written.endswith("\n\nThis summary is truncated; see the log.\n")
    body = written.splitlines()[2:-2]
    assert set(body) == {line.rstrip().encode(errors="backslashreplace").decode()}


def test_write_summary_does_nothing_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    outputs.write_summary("text")


def test_summary_of_many_mistakes_is_truncated(action: Action) -> None:
    wrong = "".join(f"  - {{repo: '{'!' * 60}{number}'}}\n" for number in range(2500))
    run = action.run(f"pairs:\n{wrong}")
    assert run.status == 2
    assert len(run.summary.encode()) < 2**20
    assert ErrorCode.VALUE_NOT_ALLOWED in explanations(run.summary)[0]  # after the mistakes


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
def test_results_file_can_be_read_by_everybody(action: Action) -> None:
    run = action.run(REFUSED, mode="plan", results_file="results/of/plan.json")
    file = action.workspace / "results" / "of" / "plan.json"
    assert json.loads(file.read_text()) == rows_of(run) != []
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_results_file_behind_links_in_a_circle_is_an_error(action: Action) -> None:
    action.workspace.mkdir(parents=True, exist_ok=True)
    (action.workspace / "circle").symlink_to("circle")
    run = action.run(REFUSED, mode="plan", results_file="circle/results.json")
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == ErrorCode.FILE_NOT_WRITABLE
    assert run.outputs.keys() == NO_OUTPUTS.keys()
    assert run.summary


def test_results_file_is_written_whatever_fails(action: Action) -> None:
    file = action.workspace / "results.json"
    run = action.run(REFUSED, results_file="results.json")
    assert run.status == 1
    assert json.loads(file.read_text()) == rows_of(run) != []
    run = action.run("pairs: nonsense", results_file="results.json")
    assert run.status == 2
    assert file.read_text() == "[]\n"


@pytest.mark.parametrize("name", ["../results.json", "{folder}/results.json", "link/results.json"])
@pytest.mark.parametrize("kind", ["results", "checksums"])
def test_file_outside_the_workspace_is_refused(kind: str, name: str, action: Action) -> None:
    action.workspace.mkdir(parents=True)
    (action.workspace / "link").symlink_to(action.folder)
    run = action.run(REFUSED, mode="plan", **{f"{kind}_file": name.format(folder=action.folder)})
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == ErrorCode.OUTSIDE_THE_WORKSPACE
    blocks = text_blocks(run.summary)
    assert blocks[1] == "Nothing was done."
    assert error.message.startswith(blocks[2])
    assert list(action.folder.rglob("results.json")) == []


@pytest.mark.parametrize("kind", ["results", "checksums"])
def test_file_that_cannot_be_written_is_explained(kind: str, action: Action) -> None:
    run = action.run(REFUSED, mode="plan", **{f"{kind}_file": "pairs.yaml/x.json"})
    assert run.status == 2
    *_, error = annotations(run)
    assert code_of(error) == ErrorCode.FILE_NOT_WRITABLE
    assert "(pairs.yaml)" in error.message
    assert run.outputs["failed"] == "1"
    assert "owner/x" in run.summary


@pytest.mark.parametrize("variable", ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"])
def test_file_of_the_runner_that_cannot_be_written_is_named_and_the_rest_is_written(
    variable: str, action: Action, tmp_path: Path
) -> None:
    inputs = {"results-file": "results.json"}
    run = action.run(REFUSED, {variable: str(tmp_path)}, **inputs)  # a directory
    assert run.status == 2
    (error,) = (each for each in annotations(run) if code_of(each) == ErrorCode.FILE_NOT_WRITABLE)
    assert variable in error.message
    (row,) = json.loads((action.workspace / "results.json").read_text())
    assert row["repo"] == "owner/x"
    if variable == "GITHUB_OUTPUT":
        assert variable in text_blocks(run.summary)[1]
    else:
        assert run.outputs["failed"] == "1"
