"""The workflows in examples/workflows, each as it is but for the address of the Hub."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from huggingface_hub import HfApi

from tests.runner.act import FORK, Repository, with_endpoint
from tests.runner.conftest import EXAMPLES, NewRepository
from tests.runner.pairs import BART, BEIT, BERT, DINOV2, NOWHERE, manifest, pair
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

CopyWorkflow = Callable[..., Repository]


@pytest.fixture
def copy_workflow(new_repository: NewRepository, runner_hub: LocalHub) -> CopyWorkflow:
    """Return a function that creates a repository with one of the workflows and pairs."""

    def copy(name: str, *pairs: dict[str, Any]) -> Repository:
        workflow = (EXAMPLES / "workflows" / name).read_text()
        files = {
            f".github/workflows/{name}": with_endpoint(workflow, runner_hub.endpoint),
            "pairs.yaml": manifest(*pairs),
        }
        return new_repository(files)

    return copy


@pytest.mark.parametrize("name", ["pull-request.yml", "matrix.yml", "matrix-keyless.yml"])
def test_workflow_plans_for_pull_request_of_fork(
    copy_workflow: CopyWorkflow, hub_api: HfApi, name: str
) -> None:
    repository = copy_workflow(name, pair("planned"))

    run = repository.run("pull_request", name, head=FORK)

    assert run.status == 0, run.log
    assert run.actions == {"planned": "build"}
    assert not hub_api.repo_exists("me/planned")


def test_publish_and_schedule_workflows_publish(copy_workflow: CopyWorkflow) -> None:
    first = copy_workflow("publish.yml", pair("published")).run("push", "publish.yml")
    schedule = copy_workflow("schedule.yml", pair("published"), pair("scheduled", BEIT, BART))
    second = schedule.run("schedule", "schedule.yml")
    third = schedule.run("workflow_dispatch", "schedule.yml")

    assert (first.status, first.actions) == (0, {"published": "built"}), first.log
    assert (second.status, third.status) == (0, 0), second.log + third.log
    assert second.actions == {"published": "skipped", "scheduled": "built"}
    assert set(third.actions.values()) == {"skipped"}


def test_matrix_workflow_builds_in_shards(copy_workflow: CopyWorkflow, hub_api: HfApi) -> None:
    pairs = [
        pair("matrix-vit-gpt2"),
        pair("matrix-beit-bart", BEIT, BART),
        pair("matrix-dinov2-bert", DINOV2, BERT),
    ]
    repository = copy_workflow("matrix.yml", *pairs, pair("matrix-bad", NOWHERE))

    run = repository.run("push", "matrix.yml")

    assert run.status == 1
    shards = [name for name in run.jobs if re.search(r"Build \d+/\d+", name)]
    assert len(shards) == 3, run.jobs
    assert [run.jobs[name] for name in shards] == ["success"] * 3, run.log
    assert all(hub_api.repo_exists(f"me/{each['repo']}") for each in pairs)
    (summary,) = (text for text in run.summaries if text.count("✅ built") == 3)
    assert "refused" in summary

    repository.commit({"pairs.yaml": manifest(*pairs)})
    run = repository.run("push", "matrix.yml")
    assert (run.status, run.output("pending")) == (0, "0"), run.log
    assert all(each["repo"] in run.summaries[-1] for each in pairs)
