"""What no validator can see in the workflows: that they fit the action, and who is given what."""

import json
import re
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


# What fits together


@every_workflow
def test_action_and_called_workflow_are_given_inputs_that_they_have(path: Path) -> None:
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
def test_called_workflow_has_the_defaults_of_the_action(name: str) -> None:
    inputs = BUILD_PAIRS["on"]["workflow_call"]["inputs"]

    assert inputs[name]["default"] == ACTION["inputs"][name]["default"]


def outputs_of(step: Mapping[str, Any]) -> set[str]:
    if VED.fullmatch(step.get("uses", "")):
        return set(ACTION["outputs"])
    return set(re.findall(r'echo "([\w-]+)=', step["run"]))


@every_workflow
def test_outputs_and_results_that_are_referred_to_exist(path: Path) -> None:
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
    """Put values for the expressions of a text."""
    return re.sub(r"\$\{\{\s*(.+?)\s*\}\}", lambda match: values[match[1]], text)


def uploaded(job: str, values: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of a job's artifact and that of the file in it."""
    values = {**values, "env.RESULTS": filled(BUILD_PAIRS["jobs"][job]["env"]["RESULTS"], values)}
    (ved,) = (step for step in BUILD_PAIRS["jobs"][job]["steps"] if "mode" in step.get("with", {}))
    upload = BUILD_PAIRS["jobs"][job]["steps"][-1]["with"]
    file = filled(upload["path"], values)
    assert file == filled(ved["with"]["results-file"], values)
    return filled(upload["name"], values), file


def test_summary_takes_the_results_of_every_job_in_order() -> None:
    call = {"steps.call.outputs.id": "b6c1", "needs.plan.outputs.call": "b6c1"}
    first, second = ({**call, "github.run_attempt": attempt} for attempt in "12")
    artifacts = [
        uploaded("plan", first),
        uploaded("build", {**first, "strategy.job-index": "0"}),
        uploaded("build", {**first, "strategy.job-index": "1"}),
        uploaded("build", {**second, "strategy.job-index": "0"}),
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
def test_every_example_is_explained(path: Path) -> None:
    assert f"(../examples/workflows/{path.name})" in (ROOT / "docs/workflows.md").read_text()


# Who is given what


@every_workflow
def test_no_expression_is_put_into_a_script(path: Path) -> None:
    for step in all_steps(path):
        assert "${{" not in step.get("run", "")


@every_workflow
def test_jobs_may_read_the_repository_and_no_more(path: Path) -> None:
    assert load(path)["permissions"] == {}
    if path.name == "release.yml":
        return  # test_release.py says what each of its jobs may do
    for job in all_jobs(path).values():
        assert job["permissions"] in ({}, {"contents": "read"})


@every_workflow
def test_actions_of_others_are_pinned_to_a_commit(path: Path) -> None:
    for step in all_steps(path):
        uses = step.get("uses", "./")
        assert VED.fullmatch(uses) or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", uses)


@every_workflow
def test_checked_out_repository_holds_no_credentials(path: Path) -> None:
    for step in all_steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


@every_workflow
def test_no_secret_is_for_every_job(path: Path) -> None:
    assert "secrets." not in json.dumps(load(path).get("env", {}))


@pytest.mark.parametrize(
    "path", [p for p in PATHS if p.stem != "build-pairs"], ids=lambda p: p.name
)
def test_no_job_has_a_secret_where_pull_requests_start_the_workflow(path: Path) -> None:
    if set(load(path)["on"]) & set(FORKS_REACH):
        # What a called workflow does with a secret is its own matter: see below.
        jobs = [job for job in all_jobs(path).values() if "uses" not in job]
        assert "secrets." not in json.dumps(jobs)


# Which jobs of the called workflow run


def holds(condition: str, **contexts: object) -> bool:
    """Evaluate the few parts of GitHub's expression language that the conditions use."""
    python = condition.removeprefix("${{").removesuffix("}}").strip()
    for github, own in (("&&", " and "), ("||", " or "), ("!", " not ")):
        python = python.replace(github, own)
    functions = {"contains": lambda items, item: item in items, "fromJSON": json.loads}
    return bool(eval(python.strip(), {**functions, **contexts}))


def jobs_that_run(
    event: str, *, plan: str = "success", pending: int = 3, failed: int = 0, cancelled: bool = False
) -> list[str]:
    """Return which jobs run, in order, if the plan ends so."""
    results: dict[str, str] = {}
    for name, job in BUILD_PAIRS["jobs"].items():
        needed = {other: SimpleNamespace(result=results[other]) for other in needs_of(job)}
        if "plan" in needed:
            made = results["plan"] != "skipped"
            needed["plan"].outputs = SimpleNamespace(
                pending=pending if made else 0, failed=failed if made else 0
            )
        condition = job["if"]
        # GitHub puts `success() &&` before a condition that asks for no status.
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
def test_other_events_than_known_ones_run_one_job_that_has_no_secret(event: str) -> None:
    assert jobs_that_run(event) == ["preview"]
    assert "secrets" not in json.dumps(BUILD_PAIRS["jobs"]["preview"])


@pytest.mark.parametrize("event", ["push", "schedule", "workflow_dispatch"])
def test_push_schedule_and_hand_build(event: str) -> None:
    assert jobs_that_run(event) == ["plan", "build", "summary"]


def test_refused_pair_holds_up_no_other() -> None:
    ran = jobs_that_run("push", plan="failure", pending=2, failed=1)

    assert ran == ["plan", "build", "summary"]
    assert BUILD_PAIRS["jobs"]["build"]["strategy"]["fail-fast"] == "false"


def test_nothing_pending_makes_no_matrix() -> None:
    assert jobs_that_run("push", pending=0) == ["plan", "summary"]


def test_wrong_request_ends_with_the_plan() -> None:
    assert jobs_that_run("push", plan="failure", pending=0) == ["plan"]


def test_cancelled_run_goes_no_further_than_the_plan() -> None:
    assert jobs_that_run("push", cancelled=True) == ["plan"]


def test_builds_wait_for_each_other_and_are_not_cancelled() -> None:
    cancel = BUILD_PAIRS["concurrency"]["cancel-in-progress"]

    assert cancel == "${{ startsWith(github.event_name, 'pull_request') }}"
    assert "github.ref" in BUILD_PAIRS["concurrency"]["group"]
