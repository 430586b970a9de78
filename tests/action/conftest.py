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
