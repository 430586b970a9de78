"""The workflows: their use of the action, their permissions, and the conditions of their jobs."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/workflows").glob("*.yml"))
PATHS = [
    *sorted((ROOT / ".github/workflows").glob("*.yml")),
    *EXAMPLES,
    ROOT / "examples/repository/.github/workflows/checkpoints.yml",
    *sorted((ROOT / "ved/starter").glob("*.yml")),
]
VED = re.compile(r"\./|ved-action/ved@.+")
CALLED = re.compile(r"ved-action/ved/(.+)@.+")
FORKS_REACH = ("pull_request", "pull_request_target", "pull_request_review", "issue_comment")

every_workflow = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)


def load(path: Path) -> dict[str, Any]:
    """Read YAML with every scalar as text, `on` included, which otherwise is true."""
    value: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)
    return value


ACTION = load(ROOT / "action.yml")
BUILD_PAIRS = load(ROOT / ".github/workflows/build-pairs.yml")


def all_jobs(path: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = load(path)["jobs"]
    return jobs


def all_steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in all_jobs(path).values():
        yield from job.get("steps", ())


def needs_of(job: Mapping[str, Any]) -> list[str]:
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else needs


# Inputs and outputs


@every_workflow
def test_workflows_pass_existing_inputs(path: Path) -> None:
    for step in all_steps(path):
        if VED.fullmatch(step.get("uses", "")):
            assert step.get("with", {}).keys() <= ACTION["inputs"].keys()
    for job in all_jobs(path).values():
        if "uses" in job:
            called = CALLED.fullmatch(job["uses"])
            assert called is not None
            interface = load(ROOT / called[1])["on"]["workflow_call"]
            assert job.get("with", {}).keys() <= interface["inputs"].keys()
            assert job.get("secrets", {}).keys() <= interface["secrets"].keys()


@pytest.mark.parametrize("name", ["manifest", "endpoint", "max-disk"])
def test_build_pairs_has_defaults_of_action(name: str) -> None:
    inputs = BUILD_PAIRS["on"]["workflow_call"]["inputs"]

    assert inputs[name]["default"] == ACTION["inputs"][name]["default"]


def outputs_of(step: Mapping[str, Any]) -> set[str]:
    if VED.fullmatch(step.get("uses", "")):
        return set(ACTION["outputs"])
    return set(re.findall(r'echo "([\w-]+)=', step["run"]))


@every_workflow
def test_workflows_use_existing_outputs(path: Path) -> None:
    jobs = all_jobs(path)
    for job in jobs.values():
        text = json.dumps(job)
        steps = {step["id"]: step for step in job.get("steps", ()) if "id" in step}
        for identifier, name in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
            assert name in outputs_of(steps[identifier])
        for needed, name in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", text):
            assert name in jobs[needed]["outputs"]
        assert set(re.findall(r"needs\.([\w-]+)\.", text)) <= set(needs_of(job))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace the expressions of a text with values."""
    return re.sub(r"\$\{\{\s*(.+?)\s*\}\}", lambda match: values[match[1]], text)


def uploaded(job: str, values: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of a job's artifact and that of the file in it."""
    values = {**values, "env.RESULTS": filled(BUILD_PAIRS["jobs"][job]["env"]["RESULTS"], values)}
    (ved,) = (step for step in BUILD_PAIRS["jobs"][job]["steps"] if "mode" in step.get("with", {}))
    upload = BUILD_PAIRS["jobs"][job]["steps"][-1]["with"]
    file = filled(upload["path"], values)
    assert file == filled(ved["with"]["results-file"], values)
    return filled(upload["name"], values), file


def test_build_pairs_summary_merges_results_in_order() -> None:
    call = {"steps.call.outputs.id": "b6c1", "needs.plan.outputs.call": "b6c1"}
    first, second = ({**call, "github.run_attempt": attempt} for attempt in "12")
    artifacts = [
        uploaded("plan", first),
        uploaded("build", {**first, "matrix.index": "0"}),
        uploaded("build", {**first, "matrix.index": "1"}),
        uploaded("build", {**second, "matrix.index": "0"}),
    ]
    names, files = zip(*artifacts, strict=True)
    download, report = (step["with"] for step in BUILD_PAIRS["jobs"]["summary"]["steps"])

    pattern = filled(download["pattern"], call)
    assert all(fnmatchcase(name, pattern) for name in names)
    assert not any(re.search(r'[\\/":<>|*?]', name) for name in names)  # not in an artifact's name
    assert len(set(names)) == len(names)
    assert sorted(files) == list(files)
    assert {str(Path(file).parent) for file in files} == {download["path"]} == {report["results"]}
    assert not any(part.startswith(".") for file in files for part in Path(file).parts)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_workflows_are_documented(path: Path) -> None:
    assert f"(../examples/workflows/{path.name})" in (ROOT / "docs/workflows.md").read_text()


# Permissions and secrets


@every_workflow
def test_scripts_contain_no_expressions(path: Path) -> None:
    for step in all_steps(path):
        assert "${{" not in step.get("run", "")


@every_workflow
def test_jobs_have_read_permission_only(path: Path) -> None:
    assert load(path)["permissions"] == {}
    if path.name == "release.yml":
        return  # test_release.py checks the permissions of its jobs
    for name, job in all_jobs(path).items():
        allowed = [{}, {"contents": "read"}]
        if "keyless" in path.name and (name == "build" or "uses" in job):
            allowed = [{"contents": "read", "id-token": "write"}]
        if (path.name, name) == ("dependencies.yml", "report"):
            allowed = [{"issues": "write"}]
        if (path.name, name) == ("pages.yml", "publish"):
            allowed = [{"pages": "write", "id-token": "write"}]
        assert job["permissions"] in allowed


@every_workflow
def test_third_party_actions_are_pinned_to_commits(path: Path) -> None:
    for step in all_steps(path):
        uses = step.get("uses", "./")
        assert VED.fullmatch(uses) or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", uses)


@every_workflow
def test_checkout_persists_no_credentials(path: Path) -> None:
    for step in all_steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


@every_workflow
def test_secrets_are_not_in_workflow_environment(path: Path) -> None:
    assert "secrets." not in json.dumps(load(path).get("env", {}))


@pytest.mark.parametrize(
    "path", [p for p in PATHS if not p.stem.startswith("build-pairs")], ids=lambda p: p.name
)
def test_jobs_for_pull_requests_have_no_secrets(path: Path) -> None:
    if set(load(path)["on"]) & set(FORKS_REACH):
        # The tests of build-pairs.yml below cover the secret of a called workflow.
        jobs = [job for job in all_jobs(path).values() if "uses" not in job]
        assert "secrets." not in json.dumps(jobs)


# Conditions of the jobs in build-pairs.yml


def holds(condition: str, **contexts: object) -> bool:
    """Evaluate a condition in the subset of GitHub's expression language that we use."""
    python = condition.removeprefix("${{").removesuffix("}}").strip()
    for github, own in (("&&", " and "), ("||", " or "), ("!=", "≠"), ("!", " not "), ("≠", "!=")):
        python = python.replace(github, own)
    functions = {"contains": lambda items, item: item in items, "fromJSON": json.loads}
    return bool(eval(python.strip(), {**functions, **contexts}))


def jobs_that_run(
    event: str, *, plan: str = "success", pending: int = 3, failed: int = 0, cancelled: bool = False
) -> list[str]:
    """Return the names of the jobs that run, in order, for an event and a result of the plan."""
    results: dict[str, str] = {}
    for name, job in BUILD_PAIRS["jobs"].items():
        needed = {other: SimpleNamespace(result=results[other]) for other in needs_of(job)}
        if "plan" in needed:
            made = results["plan"] != "skipped"
            needed["plan"].outputs = SimpleNamespace(
                pending=pending if made else 0, failed=failed if made else 0
            )
        condition = job["if"]
        # GitHub adds `success() &&` to a condition without a status function.
        asked = "cancelled()" in condition or {results[n] for n in needed} <= {"success"}
        runs = asked and holds(
            condition,
            github=SimpleNamespace(event_name=event),
            needs=SimpleNamespace(**needed),
            cancelled=lambda: cancelled,
        )
        results[name] = (plan if name == "plan" else "success") if runs else "skipped"
    return [name for name, result in results.items() if result != "skipped"]


@pytest.mark.parametrize("event", [*FORKS_REACH, "merge_group", "workflow_run"])
def test_build_pairs_runs_only_preview_for_untrusted_events(event: str) -> None:
    assert jobs_that_run(event) == ["preview"]
    assert "secrets" not in json.dumps(BUILD_PAIRS["jobs"]["preview"])


@pytest.mark.parametrize("event", ["push", "release", "schedule", "workflow_dispatch"])
def test_build_pairs_builds_for_trusted_events(event: str) -> None:
    assert jobs_that_run(event) == ["plan", "build", "summary"]


def test_build_pairs_goes_on_after_refused_pair() -> None:
    ran = jobs_that_run("push", plan="failure", pending=2, failed=1)

    assert ran == ["plan", "build", "summary"]
    assert BUILD_PAIRS["jobs"]["build"]["strategy"]["fail-fast"] == "false"


def test_build_pairs_skips_build_if_nothing_is_pending() -> None:
    assert jobs_that_run("push", pending=0) == ["plan", "summary"]


def test_build_pairs_ends_after_failed_plan() -> None:
    assert jobs_that_run("push", plan="failure", pending=0) == ["plan"]


def test_build_pairs_ends_after_cancelled_plan() -> None:
    assert jobs_that_run("push", cancelled=True) == ["plan"]


def test_build_pairs_queues_builds_and_cancels_only_previews() -> None:
    cancel = BUILD_PAIRS["concurrency"]["cancel-in-progress"]

    assert cancel == "${{ startsWith(github.event_name, 'pull_request') }}"
    assert "github.ref" in BUILD_PAIRS["concurrency"]["group"]


# The issue of dependencies.yml

GH = """#!/bin/sh
if [ "$2" = list ]; then echo "$OPEN"; else printf '%s\\n' "$@" >> "$CALLS"; fi
"""


@pytest.mark.parametrize(
    ("open_issues", "call"), [("", ["create", "--title"]), ("7\n5", ["comment", "7"])]
)
def test_dependencies_opens_one_issue(open_issues: str, call: list[str], tmp_path: Path) -> None:
    gh = tmp_path / "gh"
    gh.write_text(GH)
    gh.chmod(0o755)
    calls = tmp_path / "calls"
    (step,) = all_jobs(ROOT / ".github/workflows/dependencies.yml")["report"]["steps"]
    variables = {"TITLE": step["env"]["TITLE"], "RUN": "address of the run"}
    path = f"{tmp_path}:{os.environ['PATH']}"

    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        env={**variables, "PATH": path, "OPEN": open_issues, "CALLS": str(calls)},
        check=True,
    )

    arguments = calls.read_text().splitlines()
    assert arguments[:3] == ["issue", *call]
    assert variables["RUN"] in arguments[-1]


def test_dependencies_reports_whatever_ends_its_tests() -> None:
    jobs = all_jobs(ROOT / ".github/workflows/dependencies.yml")

    assert needs_of(jobs["report"]) == [name for name in jobs if name != "report"]
    for result, expected in {"success": False, "failure": True, "cancelled": True}.items():
        needs = SimpleNamespace(test=SimpleNamespace(result=result))
        condition = jobs["report"]["if"]
        assert holds(condition, needs=needs, cancelled=lambda: False) == expected
    assert not holds(jobs["report"]["if"], needs=needs, cancelled=lambda: True)


def test_dependencies_installs_the_lowest_and_the_newest() -> None:
    (job, _) = all_jobs(ROOT / ".github/workflows/dependencies.yml").values()

    lowest, *newest = (each["options"].split() for each in job["strategy"]["matrix"]["include"])
    assert lowest == ["--require-hashes", "--requirement", "requirements/lowest.txt"]
    main = ["transformers", "flax", "jax", "huggingface_hub", "safetensors"]
    assert newest == [["--upgrade", *main], ["--upgrade", "--pre", *main]]
    assert "$OPTIONS" in "".join(step.get("run", "") for step in job["steps"])


def test_tests_run_on_every_version_of_the_classifiers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    jobs = all_jobs(ROOT / ".github/workflows/ci.yml")
    slow = [
        step["with"]["python-version"]
        for step in jobs["test"]["steps"]
        if "python-version" in step.get("with", {})
    ]

    assert slow + jobs["versions"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"
