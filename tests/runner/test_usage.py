"""The workflow of README.md, as a new user copies it."""

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from tests.runner.act import FORK, Repository, with_endpoint
from tests.runner.conftest import TOKEN, NewRepository
from tests.runner.pairs import BART, BEIT, NOWHERE, manifest, pair
from ved.errors import ErrorCode
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"
WORKFLOW = "checkpoints.yml"
OUTPUTS = ("results", "built", "failed")
USE_OUTPUTS = """
echo "built=$BUILT failed=$FAILED"
if [ "$RESULTS" = "$(cat out/results.json)" ]; then echo "results-file is the output"; fi
if [ -s out/checksums.txt ]; then echo "checksums-file has lines"; fi
echo "other files: $(git status --porcelain | grep --invert-match ' out/')."
"""


def readme_workflow(endpoint: str) -> str:
    """Return the workflow of README.md, for more events, with a step that uses the outputs."""
    blocks = re.findall(r"```yaml\n(.+?)```", README.read_text(), re.DOTALL)
    (text,) = (block for block in blocks if "\njobs:\n" in block)
    workflow = yaml.safe_load(with_endpoint(text, endpoint))
    workflow["on"] |= {"pull_request": {}, "pull_request_target": {}}
    steps = workflow["jobs"]["publish"]["steps"]
    steps[-1]["id"] = "ved"
    steps[-1]["with"] |= {
        "results-file": "out/results.json",
        "checksums-file": "out/checksums.txt",
    }
    outputs = {name.upper(): f"${{{{ steps.ved.outputs.{name} }}}}" for name in OUTPUTS}
    steps.append({"if": "${{ !cancelled() }}", "env": outputs, "run": USE_OUTPUTS})
    return yaml.safe_dump(workflow, sort_keys=False)


@pytest.fixture
def repository(new_repository: NewRepository, runner_hub: LocalHub) -> Repository:
    return new_repository({f".github/workflows/{WORKFLOW}": readme_workflow(runner_hub.endpoint)})


def test_usage_does_only_what_is_needed(repository: Repository, hub_api: HfApi) -> None:
    one, two = pair("usage-vit-gpt2"), pair("usage-beit-bart", BEIT, BART)
    repository.commit({"pairs.yaml": manifest(one, two)})
    run = repository.run("push", WORKFLOW)
    assert run.status == 0, run.log
    assert run.actions == {"usage-vit-gpt2": "built", "usage-beit-bart": "built"}
    assert "**2 built.**" in run.summaries[-1]
    assert all(hub_api.repo_exists(f"me/{name}") for name in run.actions)
    assert "built=2 failed=0" in run.log
    assert "results-file is the output" in run.log
    assert "checksums-file has lines" in run.log
    assert "other files: ." in run.log
    assert TOKEN not in run.log

    run = repository.run("push", WORKFLOW)
    assert (run.status, set(run.actions.values())) == (0, {"skipped"}), run.log

    one["description"] = "Another text."
    bad = pair("usage-bad", NOWHERE)
    repository.commit({"pairs.yaml": manifest(one, two, bad)})
    run = repository.run("push", WORKFLOW)
    assert run.status == 1
    assert list(run.actions.values()) == ["card-only", "skipped", "refused"], run.log
    text = manifest(one, two, bad)
    line = text[: text.index(NOWHERE)].count("\n") + 1
    assert run.errors == [(f"pairs.yaml:{line}", ErrorCode.NO_SUCH_REPO)]
    assert "built=0 failed=1" in run.log

    repository.commit({"pairs.yaml": manifest(one, two)})
    assert repository.run("push", WORKFLOW).status == 0


def test_usage_annotates_misspelled_key(repository: Repository) -> None:
    text = manifest(pair("usage-misspelled")).replace("encoder:", "encodr:")
    repository.commit({"pairs.yaml": text})

    run = repository.run("push", WORKFLOW)

    assert run.status == 1
    assert "exit with `FAILURE`: 2" in run.log
    assert ("pairs.yaml:4", ErrorCode.UNKNOWN_KEY) in run.errors, run.log


def test_usage_reports_forgotten_secret(repository: Repository, hub_api: HfApi) -> None:
    repository.commit({"pairs.yaml": manifest(pair("usage-forgotten"))})
    repository.secrets.clear()

    run = repository.run("push", WORKFLOW)

    assert run.status == 1
    assert [code for _, code in run.errors] == [ErrorCode.EMPTY_TOKEN], run.log
    assert not hub_api.repo_exists("me/usage-forgotten")


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target"])
def test_usage_publishes_nothing_for_forks(
    repository: Repository, hub_api: HfApi, event: str
) -> None:
    repository.commit({"pairs.yaml": manifest(pair("usage-fork"))})

    run = repository.run(event, WORKFLOW, head=FORK)

    assert run.status == 1
    assert [code for _, code in run.errors] == [ErrorCode.PULL_REQUESTS_NEVER_PUBLISH], run.log
    assert not hub_api.repo_exists("me/usage-fork")
