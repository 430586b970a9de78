"""The network of a container: on GitHub a bridge, where the runner's loopback is out of reach."""

import pytest

from tests.runner.act import Act, Repository, with_endpoint
from tests.runner.conftest import EXAMPLES, TOKEN
from tests.runner.pairs import manifest, pair
from ved.errors import ErrorCode
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow


def test_bridge_network_cannot_reach_hub_on_loopback(
    act_on_bridge: Act, runner_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    workflow = (EXAMPLES / "workflows/publish.yml").read_text()
    repository = Repository(
        act_on_bridge, tmp_path_factory.mktemp("repository"), {"HF_TOKEN": TOKEN}
    )
    repository.commit(
        {
            ".github/workflows/publish.yml": with_endpoint(workflow, runner_hub.endpoint),
            "pairs.yaml": manifest(pair("network")),
        }
    )

    run = repository.run("push", "publish.yml")

    assert run.status == 1
    assert ErrorCode.HUB_DOES_NOT_ANSWER in [code for _, code in run.errors], run.log
    assert "Traceback" not in run.log
