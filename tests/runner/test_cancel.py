"""Cancelling a run: GitHub's runner sends SIGINT to the container, and kills it 10 s later."""

import http.client
import json
import socket
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.runner.act import Act, with_endpoint
from tests.runner.conftest import EXAMPLES, NewRepository
from tests.runner.pairs import BART, BEIT, manifest, pair
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

MOST_SECONDS = 7


class Connection(http.client.HTTPConnection):
    """A connection to a socket of this machine."""

    def __init__(self, address: Path) -> None:
        super().__init__("engine")
        self.address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.address))


def request(engine: Path, method: str, path: str) -> bytes:
    connection = Connection(engine)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()


class Canceller:
    """Interrupts the running container when a line of the log first has a text."""

    def __init__(self, engine: Path, text: str) -> None:
        self.engine, self.text, self.time = engine, text, 0.0

    def __call__(self, line: str) -> None:
        if self.time or self.text not in line:
            return
        self.time = time.monotonic()
        (container,) = json.loads(request(self.engine, "GET", "/v1.41/containers/json"))
        request(self.engine, "POST", f"/v1.41/containers/{container['Id']}/kill?signal=SIGINT")


@pytest.mark.parametrize("phase", ["Downloading", "Assembling", "Publishing", "Checking"])
def test_cancelled_run_reports_what_was_done(
    act: Act, new_repository: NewRepository, runner_hub: LocalHub, hub_api: HfApi, phase: str
) -> None:
    workflow = (EXAMPLES / "workflows/publish.yml").read_text()
    names = [f"cancel-{phase.lower()}-{each}" for each in ("vit-gpt2", "beit-bart")]
    files = {
        ".github/workflows/publish.yml": with_endpoint(workflow, runner_hub.endpoint),
        "pairs.yaml": manifest(pair(names[0]), pair(names[1], BEIT, BART)),
    }
    cancel = Canceller(act.engine, phase)

    run = new_repository(files).run("push", "publish.yml", on_line=cancel)

    assert run.status == 1
    assert cancel.time, run.log
    assert time.monotonic() - cancel.time < MOST_SECONDS
    assert run.actions.keys() == {*names}, run.log
    # When the first pair is checked, the second one may be published already.
    assert "failed" in run.actions.values() or phase == "Checking"
    for name, action in run.actions.items():
        published = hub_api.repo_exists(f"me/{name}") and len(
            hub_api.list_repo_commits(f"me/{name}")
        )
        assert (action == "built") == (published == 2), (name, action, published)
        assert name in run.summaries[-1]
