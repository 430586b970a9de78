"""The action, with the Hub of the tests and its owner's token."""

from pathlib import Path

import pytest

from tests.support.action import Action
from tests.support.publishing import TOKEN
from ved.localhub import LocalHub


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test, with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


@pytest.fixture
def reporting_action(action: Action) -> Action:
    """Return the action with both files, `results.json` and `checksums.txt`."""
    files = {"results-file": "results.json", "checksums-file": "checksums.txt"}
    return Action(action.folder, {**action.inputs, **files})
