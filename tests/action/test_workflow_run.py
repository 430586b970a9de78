"""The jobs of the reusable workflow, run one after the other with the inputs of their steps."""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.demo.runner import Run
from tests.project.test_workflows import BUILD_PAIRS, filled, uploaded
from tests.support.action import rows_of, run_in_process, summary_rows
from tests.support.publishing import TOKEN, build_pair, heads, pair
from ved.errors import ErrorCode
from ved.localhub import LocalHub

MANIFEST = "config/pairs.yaml"


class Workflow:
    """A call of the workflow, with the artifacts that its jobs upload.

    Args:
        endpoint: the address of the Hub.
        pairs: the entries of the manifest.
        folder: the parent of the folders that are each job's machine.
    """

    def __init__(self, endpoint: str, pairs: Sequence[Mapping[str, Any]], folder: Path) -> None:
        call = str(uuid.uuid4())
        inputs = BUILD_PAIRS["on"]["workflow_call"]["inputs"]
        self.values = {
            **{f"inputs.{name}": each["default"] for name, each in inputs.items()},
            **{"inputs.endpoint": endpoint, "inputs.manifest": MANIFEST, "inputs.shards": "2"},
            **{"secrets.token": TOKEN, "github.run_attempt": "1"},
            **{"steps.call.outputs.id": call, "needs.plan.outputs.call": call},
        }
        self.manifest = json.dumps({"pairs": pairs})
        self.folder = folder
        self.artifacts: dict[str, str] = {}

    def plan(self) -> Run:
        return self._run("plan", self.values)

    def build(self, index: int, element: object) -> Run:
        """Run the job of one element of the matrix."""
        matrix = {"toJSON(matrix)": json.dumps(element, indent=2), "matrix.index": str(index)}
        return self._run("build", {**self.values, **matrix})

    def summary(self) -> Run:
        workspace, home = self._machine()
        downloaded = workspace / BUILD_PAIRS["jobs"]["summary"]["steps"][0]["with"]["path"]
        downloaded.mkdir()
        for name, content in self.artifacts.items():
            (downloaded / name).write_text(content)
        return run_in_process(inputs_of("summary", self.values), workspace, home)

    def _run(self, job: str, values: Mapping[str, str]) -> Run:
        """Run a job that checks out the repository, and keep its results."""
        workspace, home = self._machine()
        (workspace / MANIFEST).parent.mkdir()
        (workspace / MANIFEST).write_text(self.manifest)
        run = run_in_process(inputs_of(job, values), workspace, home)
        _, file = uploaded(job, values)
        self.artifacts[Path(file).name] = (workspace / file).read_text()
        return run

    def _machine(self) -> tuple[Path, Path]:
        machine = self.folder / str(uuid.uuid4())
        for name in ("workspace", "home"):
            (machine / name).mkdir(parents=True)
        return machine / "workspace", machine / "home"


def inputs_of(job: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs that a job's step gives to the action."""
    described = BUILD_PAIRS["jobs"][job]
    (step,) = (each for each in described["steps"] if "mode" in each.get("with", {}))
    variables = {
        f"env.{name}": filled(text, values) for name, text in described.get("env", {}).items()
    }
    return {name: filled(text, {**values, **variables}) for name, text in step["with"].items()}


def shown_actions(run: Run) -> dict[str, str]:
    """Return the action that the summary shows for each repo."""
    return {row[0]: row[1] for row in summary_rows(run)}


def test_workflow_plans_builds_in_shards_and_reports(hub: LocalHub, tmp_path: Path) -> None:
    done = pair("owner/flow-done", decoder="team/bart")
    build_pair(hub, done)
    new = [pair(f"owner/flow-{name}", decoder=f"team/{name}") for name in ("bart", "gpt2")]
    workflow = Workflow(hub.endpoint, [*new, done], tmp_path)

    plan = workflow.plan()

    assert (plan.status, plan.outputs["pending"]) == (0, "2")
    elements = json.loads(plan.outputs["matrix"])["include"]
    assert [element["repos"] for element in elements] == [["owner/flow-bart"], ["owner/flow-gpt2"]]
    for index, element in enumerate(elements):
        build = workflow.build(index, element)
        assert (build.status, build.outputs["built"]) == (0, "1")
        assert shown_actions(build) == {element["repos"][0]: "✅ built"}
    report = workflow.summary()
    assert report.status == 0
    assert shown_actions(report) == {
        **{"owner/flow-bart": "✅ built", "owner/flow-gpt2": "✅ built"},
        "owner/flow-done": "💤 skipped",
    }
    now = heads(hub)
    assert {each["repo"]: each["commit"] for each in rows_of(report)} == {
        repo: now[repo] for repo in shown_actions(report)
    }


def test_workflow_reports_a_job_that_died_and_runs_it_again(hub: LocalHub, tmp_path: Path) -> None:
    pairs = [
        pair("owner/flow-refused", encoder="team/missing"),
        pair("owner/flow-lives", decoder="team/bart", seed=1),
        pair("owner/flow-dies", decoder="team/gpt2", seed=1),
    ]
    workflow = Workflow(hub.endpoint, pairs, tmp_path)
    workflow.values["github.run_attempt"] = "9"
    plan = workflow.plan()
    assert (plan.status, plan.outputs["pending"], plan.outputs["failed"]) == (1, "2", "1")
    lives, dies = json.loads(plan.outputs["matrix"])["include"]

    assert workflow.build(0, lives).status == 0
    report = workflow.summary()
    assert (report.status, report.outputs["failed"]) == (1, "2")
    assert shown_actions(report) == {
        **{"owner/flow-refused": "⛔ refused", "owner/flow-dies": "❌ failed"},
        "owner/flow-lives": "✅ built",
    }

    workflow.values["github.run_attempt"] = "10"
    assert workflow.build(1, dies).status == 0
    report = workflow.summary()
    assert (report.status, report.outputs["failed"]) == (1, "1")
    assert shown_actions(report)["owner/flow-dies"] == "✅ built"


def test_workflow_without_its_secret_builds_nothing_and_reports_why(
    hub: LocalHub, tmp_path: Path
) -> None:
    workflow = Workflow(hub.endpoint, [pair("owner/flow-a"), pair("owner/flow-b")], tmp_path)
    workflow.values["secrets.token"] = ""

    plan = workflow.plan()
    assert (plan.status, plan.outputs["pending"], plan.outputs["failed"]) == (2, "0", "2")

    report = workflow.summary()
    assert report.status == 1
    assert [row["codes"] for row in rows_of(report)] == [[ErrorCode.EMPTY_TOKEN]] * 2


def test_workflow_reports_why_a_job_failed_as_a_whole(hub: LocalHub, tmp_path: Path) -> None:
    workflow = Workflow(hub.endpoint, [pair("owner/flow-a"), pair("owner/flow-b")], tmp_path)
    first, second = json.loads(workflow.plan().outputs["matrix"])["include"]
    workflow.values["secrets.token"] = "hf_revoked"
    for element in (first, second):
        assert workflow.build(element["index"], element).status == 2

    report = workflow.summary()
    assert report.status == 1
    assert [row["codes"] for row in rows_of(report)] == [[ErrorCode.TOKEN_NOT_VALID]] * 2
