"""examples/repository, copied as its README describes, on each event of its workflow."""

import pytest
from huggingface_hub import HfApi

from tests.runner.act import FORK, Repository, with_endpoint
from tests.runner.conftest import EXAMPLES, NewRepository
from ved.errors import ErrorCode
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

WORKFLOW = "checkpoints.yml"
REPOS = {"vit-gpt2", "dinov2-bert"}


def copy_example(new_repository: NewRepository, hub: LocalHub, prefix: str) -> Repository:
    """Copy the repository, with repos of the Hub's user whose names begin with a prefix."""
    source = EXAMPLES / "repository"
    files = {
        str(path.relative_to(source)): path.read_text()
        for path in source.rglob("*")
        if path.is_file()
    }
    workflow = f".github/workflows/{WORKFLOW}"
    files[workflow] = with_endpoint(files[workflow], hub.endpoint)
    text = files["pairs.yaml"].replace("namespace: my-org", "namespace: me")
    files["pairs.yaml"] = text.replace("repo: ", f"repo: {prefix}")
    return new_repository(files)


def test_repository_plans_then_publishes_then_skips(
    new_repository: NewRepository, runner_hub: LocalHub, hub_api: HfApi
) -> None:
    repository = copy_example(new_repository, runner_hub, "copy-")
    repos = {f"copy-{name}" for name in REPOS}

    run = repository.run("pull_request", WORKFLOW, head=FORK)
    assert run.status == 0, run.log
    assert run.actions == dict.fromkeys(repos, "build")
    assert len(run.jobs) == 1
    assert all(name in run.summaries[-1] for name in repos)
    assert not any(hub_api.repo_exists(f"me/{name}") for name in repos)

    run = repository.run("push", WORKFLOW)
    assert run.status == 0, run.log
    assert run.summaries[-1].count("✅ built") == 2
    assert all(hub_api.repo_exists(f"me/{name}") for name in repos)

    for event in ("schedule", "workflow_dispatch"):
        run = repository.run(event, WORKFLOW)
        assert (run.status, run.output("pending")) == (0, "0"), run.log
        assert all(name in run.summaries[-1] for name in repos)


def test_repository_reports_forgotten_secret(
    new_repository: NewRepository, runner_hub: LocalHub, hub_api: HfApi
) -> None:
    repository = copy_example(new_repository, runner_hub, "forgotten-")
    repository.secrets.clear()

    run = repository.run("push", WORKFLOW)

    assert run.status == 1
    assert {code for _, code in run.errors} == {ErrorCode.EMPTY_TOKEN}, run.log
    assert any(ErrorCode.EMPTY_TOKEN in summary for summary in run.summaries)
    assert not [
        name for name in run.jobs if "Build" in name.removeprefix("checkpoints/Build pairs")
    ]
    assert not any(hub_api.repo_exists(f"me/forgotten-{name}") for name in REPOS)
