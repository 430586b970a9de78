"""ved.execution.pipeline: a repo that stays private after its commit fails with the commit."""

import pytest

from tests.support.publishing import build_pair, client, heads, pair
from ved.errors import ErrorCode
from ved.localhub import LocalHub


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"description": "Another card"}], ids=["checkpoint", "card"]
)
def test_result_has_commit_if_repo_stays_private(change: dict[str, object], hub: LocalHub) -> None:
    assert build_pair(hub, pair("owner/x", private=True)).action == "built"
    hub.faults.add("PUT", "/owner/x/settings$", status=403)

    result = build_pair(hub, pair("owner/x", private=False, **change))

    assert (result.action, result.code) == ("failed", ErrorCode.VISIBILITY_NOT_CHANGED)
    assert result.commit == heads(hub)["owner/x"]
    assert result.url == f"{hub.endpoint}/owner/x/commit/{result.commit}"
    assert bool(result.checksums) == ("seed" in change)
    assert client(hub).model_info("owner/x").private
    again = build_pair(hub, pair("owner/x", private=False, **change))
    assert (again.action, again.commit) == ("card-only", result.commit)
    assert not client(hub).model_info("owner/x").private
