"""ved.hub.access: which client reads and publishes a repo."""

from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.access import HubAccess
from ved.hub.oidc import Publisher
from ved.localhub import LocalHub

JOB: dict[str, Any] = {"repository": "octo-org/octo-repo", "workflow": "checkpoints.yml"}
STORED = "hf_alice"


@pytest.fixture(scope="module")
def own_hub() -> Iterator[LocalHub]:
    """Run a Hub with two repos, of which one trusts the job."""
    with LocalHub() as hub:
        hub.add_user("alice", token=STORED)
        for repo in ("alice/trusting", "alice/other"):
            HfApi(hub.endpoint, token=STORED).create_repo(repo)
        hub.add_publisher("alice/trusting", repository=JOB["repository"])
        yield hub


def access(hub: LocalHub, token: str | None) -> HubAccess:
    publisher = Publisher(hub.endpoint, hub.add_job(**JOB), lambda _: None)
    return HubAccess(HfApi(hub.endpoint, token=token), publisher)


def test_access_without_publisher_uses_stored_token(own_hub: LocalHub) -> None:
    api = HfApi(own_hub.endpoint, token=STORED)
    assert HubAccess(api).client_for("alice/trusting") is api
    assert HubAccess(api).has_token


def test_access_prefers_identity_of_job(own_hub: LocalHub) -> None:
    api = access(own_hub, STORED).client_for("alice/trusting")
    assert api.token not in (None, STORED)
    assert api.endpoint == own_hub.endpoint


def test_access_falls_back_to_stored_token(own_hub: LocalHub) -> None:
    assert access(own_hub, STORED).client_for("alice/other").token == STORED


def test_access_without_stored_token_raises_refusal(own_hub: LocalHub) -> None:
    without = access(own_hub, None)
    assert not without.has_token
    with pytest.raises(VedError) as caught:
        without.client_for("alice/other")
    assert caught.value.code == ErrorCode.TRUSTED_PUBLISHER
