"""The reusable workflow's jobs, run one after the other with what its steps hand to the action."""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.demo.runner import Run, run_action
from tests.project.test_workflows import BUILD_PAIRS, filled, uploaded
from tests.support.publishing import TOKEN, build_pair, heads, pair, tables
from ved.localhub import LocalHub

MANIFEST = "config/pairs.yaml"
ACTION = 1  # the column of the summary's table


class Workflow:
    """A call of the workflow, with the artifacts that its jobs hand on.

    Args:
        endpoint: the Hub.
        pairs: the manifest's.
        folder: where each job has its own machine.
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
        matrix = {"toJSON(matrix)": json.dumps(element, indent=2), "strategy.job-index": str(index)}
        return self._run("build", {**self.values, **matrix})

    def summary(self) -> Run:
        workspace, home = self._machine()
        downloaded = workspace / BUILD_PAIRS["jobs"]["summary"]["steps"][0]["with"]["path"]
        downloaded.mkdir()
        for name, content in self.artifacts.items():
            (downloaded / name).write_text(content)
        return run_action(inputs_of("summary", self.values), workspace, home)

    def _run(self, job: str, values: Mapping[str, str]) -> Run:
        """Run a job that checks the repository out, and keep its results."""
        workspace, home = self._machine()
        (workspace / MANIFEST).parent.mkdir()
        (workspace / MANIFEST).write_text(self.manifest)
        run = run_action(inputs_of(job, values), workspace, home)
        _, file = uploaded(job, values)
        self.artifacts[Path(file).name] = (workspace / file).read_text()
        return run

    def _machine(self) -> tuple[Path, Path]:
        machine = self.folder / str(uuid.uuid4())
        for name in ("workspace", "home"):
            (machine / name).mkdir(parents=True)
        return machine / "workspace", machine / "home"


def inputs_of(job: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return what the job's step gives to the action."""
    described = BUILD_PAIRS["jobs"][job]
    (step,) = (each for each in described["steps"] if "mode" in each.get("with", {}))
    variables = {
        f"env.{name}": filled(text, values) for name, text in described.get("env", {}).items()
    }
    return {name: filled(text, {**values, **variables}) for name, text in step["with"].items()}


def actions(run: Run) -> dict[str, str]:
    """Return what the summary says of each repo."""
    ((_, rows),) = tables(run.summary).items()
    return {row[0]: row[ACTION] for row in rows}


def test_pairs_are_planned_built_in_shards_and_summed_up(hub: LocalHub, tmp_path: Path) -> None:
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
        assert actions(build) == {element["repos"][0]: "✅ built"}
    report = workflow.summary()
    assert report.status == 0
    assert actions(report) == {
        **{"owner/flow-bart": "✅ built", "owner/flow-gpt2": "✅ built"},
        "owner/flow-done": "💤 skipped",
    }
    now = heads(hub)
    assert {each["repo"]: each["commit"] for each in json.loads(report.outputs["results"])} == {
        repo: now[repo] for repo in actions(report)
    }


def test_a_job_that_died_is_told_and_may_be_run_again(hub: LocalHub, tmp_path: Path) -> None:
    pairs = [
        pair("owner/flow-refused", encoder="team/missing"),
        pair("owner/flow-lives", decoder="team/bart", seed=1),
        pair("owner/flow-dies", decoder="team/gpt2", seed=1),
    ]
    workflow = Workflow(hub.endpoint, pairs, tmp_path)
    plan = workflow.plan()
    assert (plan.status, plan.outputs["pending"], plan.outputs["failed"]) == (1, "2", "1")
    lives, dies = json.loads(plan.outputs["matrix"])["include"]

    assert workflow.build(0, lives).status == 0
    report = workflow.summary()
    assert (report.status, report.outputs["failed"]) == (1, "2")
    assert actions(report) == {
        **{"owner/flow-refused": "⛔ refused", "owner/flow-dies": "❌ failed"},
        "owner/flow-lives": "✅ built",
    }

    workflow.values["github.run_attempt"] = "2"
    assert workflow.build(1, dies).status == 0
    report = workflow.summary()
    assert (report.status, report.outputs["failed"]) == (1, "1")
    assert actions(report)["owner/flow-dies"] == "✅ built"
