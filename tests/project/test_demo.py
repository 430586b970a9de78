"""The demo's manifest. `make demo` runs the demo itself."""

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from examples.demo.__main__ import TOKEN, reader_variables
from examples.demo.reading import print_summary, readable_log
from ved.action.log import StepLog
from ved.action.summary import render_summary
from ved.action.timeline import gantt
from ved.action.workflow_commands import WorkflowCommands
from ved.manifest import Location
from ved.manifest.loading import load
from ved.results.result import Step
from ved.results.rows import Row

PAIRS = Path(__file__).parents[2] / "examples" / "demo" / "pairs.yaml"


def test_demo_manifest_is_valid() -> None:
    assert [pair.repo for pair in load(PAIRS).pairs] == [
        *("demo/vit-gpt2", "demo/beit-bert", "demo/dinov2-bart"),
    ]


def test_demo_sends_the_local_hub_no_token_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    variables = reader_variables("http://127.0.0.1:1", tmp_path)
    assert "hf_of_the_user" not in variables.values()
    assert variables["HF_TOKEN"] == TOKEN


def test_demo_shows_a_log_without_workflow_commands() -> None:
    written = io.BytesIO()
    log = StepLog(written)
    commands = WorkflowCommands(log)
    log.command("::add-mask::secret")
    log.write("::error::text of a source\n")
    commands.annotate("Wrong: 100 %, really.", Location("a,b:c.yaml", 3, 5), "title")
    commands.annotate("Whole run.", level="warning")
    log.write("The end.\n")
    log.flush()
    raw = written.getvalue().decode()
    assert "::stop-commands::" in raw
    assert readable_log(raw).splitlines() == [
        "::error::text of a source",
        "a,b:c.yaml:3:5: error: Wrong: 100 %, really.",
        "warning: Whole run.",
        "The end.",
    ]


def summary(repo: str, chart: str = "") -> str:
    values = {
        **{"repo": repo, "encoder": "sources/vit", "decoder": "sources/gpt2", "action": "built"},
        **{"reason": "New repo.", "warnings": ["It's 50 % [new] <b>."], "commit": "0" * 40},
        **{"url": None, "fingerprint": "", "bytes": 1, "seconds": 1.0},
    }
    return render_summary([Row.model_validate(values)], [], "http://127.0.0.1:1", chart)


def test_demo_shows_a_summary_without_markup(capsys: pytest.CaptureFixture[str]) -> None:
    chart = gantt({"demo/x": [Step("Downloading", 0, 1)]})
    markdown = summary("demo/x", chart)
    assert "&#" in markdown
    print_summary(markdown)
    printed = capsys.readouterr().out
    assert "It's 50 % [new] <b>." in printed
    assert "New repo." in printed
    assert [mark for mark in ("&#", "```", "| ", "**", "mermaid") if mark in printed] == []


@pytest.mark.parametrize(("columns", "is_table"), [(40, False), (80, True), (100, True)])
def test_demo_cuts_no_name_in_a_narrow_terminal(
    columns: int,
    is_table: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    for repo in ("demo/x", f"demo/{'x' * 34}", f"demo/{'x' * 90}"):
        print_summary(summary(repo))
        printed = re.sub(r"\x1b(\[[\d;]*m|].*?\x1b\\)", "", capsys.readouterr().out)
        assert repo in printed.replace("\n", "")
        assert "sources/gpt2" in printed
        assert "…" not in printed
        assert max(map(cell_len, printed.splitlines())) <= columns
        assert ("checkpoint" in printed) == (is_table and repo == "demo/x")
