"""Mode `report` with results files that no honest job writes, and outputs that are too long."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.action import Action, annotations, code_of, rows_of, summary_rows
from ved.action.outputs import OUTPUT_BYTES
from ved.action.workflow_commands import _MAX_ANNOTATIONS
from ved.errors import ErrorCode
from ved.results import merging
from ved.results.rows import RESULTS_FILE_BYTES


def row(repo: str, **values: Any) -> dict[str, Any]:
    """Return a row of a results file."""
    texts = {"encoder": "team/vit", "decoder": "team/gpt2", "reason": "", "warnings": []}
    known = {"commit": None, "url": None, "fingerprint": "", "bytes": 0, "seconds": 0.0}
    return {"repo": repo, "action": "built", **texts, **known, **values}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the results of a good pair."""
    folder = tmp_path / "runner" / "workspace" / "results"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps([row("owner/good")]))
    return folder


@pytest.fixture
def action(tmp_path: Path) -> Action:
    """Return the action in mode `report`."""
    return Action(tmp_path / "runner", {"mode": "report", "results": "results"})


def write_sparse(path: Path, size: int) -> None:
    """Write a file of zeros, which take no disk."""
    with path.open("wb") as file:
        file.truncate(size)


def write_spaces(folder: Path, count: int) -> None:
    """Write results files that are large and valid."""
    content = b"[" + b" " * (RESULTS_FILE_BYTES - 2) + b"]"
    for number in range(count):
        (folder / f"z{number}.json").write_bytes(content)


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "8 TiB": lambda folder: write_sparse(folder / "z.json", 2**43),
    "a byte too long": lambda folder: write_sparse(folder / "z.json", RESULTS_FILE_BYTES + 1),
    "large together": lambda folder: write_spaces(folder, 5),
    "pipe": lambda folder: os.mkfifo(folder / "z.json"),
    "device": lambda folder: (folder / "z.json").symlink_to("/dev/zero"),
    "link": lambda folder: (folder / "z.json").symlink_to(folder / "a.json"),
    "link out": lambda folder: (folder / "z.json").symlink_to("/proc/self/environ"),
    "nested": lambda folder: (folder / "z.json").write_text("[" * 500_000),
    "more pairs than a manifest": lambda folder: (folder / "z.json").write_text(
        json.dumps([row(f"owner/x{number}") for number in range(10_001)])
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_report_refuses_file_that_is_no_results_file(
    case: str, action: Action, folder: Path
) -> None:
    BAD_FILES[case](folder)
    run = action.run(None)
    assert [code_of(error) for error in annotations(run)] == [ErrorCode.JOB_WITHOUT_RESULTS]
    assert run.status == 2


def test_report_refuses_too_many_files(
    action: Action, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_FILES", 3)
    for name in ("b", "c", "d"):
        (folder / f"{name}.json").write_text("[]")
    run = action.run(None)
    assert [code_of(error) for error in annotations(run)] == [ErrorCode.JOB_WITHOUT_RESULTS]


LONG_PLACE = {"file": "f" * 500, "line": 1, "column": 1}
LONG_ROWS: dict[str, dict[str, Any]] = {
    "reasons": {"reason": "r" * 3_900},
    "warnings": {"warnings": ["w" * 3_000] * 3},
    "codes and errors": {
        "codes": ["x" * 60] * 50,
        "place": LONG_PLACE,
        "errors": [{"code": "x" * 60, "message": "m" * 1_900, "place": LONG_PLACE}] * 2,
    },
    "names": {"encoder": "e" * 500, "url": "u" * 500, "fingerprint": "f" * 500},
    "many": {},
}


@pytest.mark.parametrize("case", LONG_ROWS)
def test_report_has_outputs_that_the_runner_accepts(
    case: str, action: Action, folder: Path
) -> None:
    count = 9_000 if case == "many" else 1_500
    rows = [row(f"owner/{case[:5]}-{number}", **LONG_ROWS[case]) for number in range(count)]
    rows[-1]["action"] = "failed"
    (folder / "z.json").write_text(json.dumps(rows))
    run = action.run(None, results_file="merged.json")
    assert run.outputs["built"] == str(count)
    assert run.outputs["failed"] == "1"
    assert all(len(value.encode()) <= OUTPUT_BYTES for value in run.outputs.values())
    kept = [each["repo"] for each in rows_of(run)]
    assert rows[-1]["repo"] in kept
    if case != "many":
        assert "owner/good" in kept
    assert len(run.log) < 8 * 2**20
    # Every pair is in the file, which mode `report` can read again.
    merged = (action.workspace / "merged.json").read_text()
    assert len(json.loads(merged)) == count + 1
    assert len(merged) <= RESULTS_FILE_BYTES + 1
    assert len(summary_rows(run)) > 0


def test_manifest_with_very_many_problems_has_some_annotations(action: Action) -> None:
    text = "".join(f"key{number}: 1\n" for number in range(3_000))
    run = action.run(text, mode="plan")
    assert len(annotations(run)) == _MAX_ANNOTATIONS
    assert len(annotations(run, "notice")) == 1
