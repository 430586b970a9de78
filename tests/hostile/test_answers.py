"""Answers of a Hub or a proxy that look like success, and listings without an end."""

from pathlib import Path

import pytest

from tests.support import hostile_hub
from tests.support.action import Action, rows_of
from tests.support.hostile_hub import Attack, hostile_server
from tests.support.publishing import TOKEN, client, pair
from ved.errors import ErrorCode
from ved.hub import pages
from ved.localhub import LocalHub


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test, with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


LOGIN = {"GET /login": hostile_hub.sending(b'{"name": "x", "commitOid": "' + b"0" * 40 + b'"}')}
"""What a proxy answers instead of the Hub."""

WRITING = {
    "visibility": "PUT /api/models/owner/bad-{}/settings",
    "commit": "POST /api/models/owner/bad-{}/commit",
    "batch": r"POST /owner/bad-{}\.git/info/lfs",
}
STATUSES: dict[str, Attack] = {
    "moved": hostile_hub.redirect_to("/login", 301),
    "found": hostile_hub.redirect_to("/login", 302),
    "see-other": hostile_hub.redirect_to("/login", 303),
    "choices": lambda request: request.start(300, Content_Length=0),
    "not-modified": lambda request: request.start(304),
    "temporary-to-nowhere": lambda request: request.start(307, Content_Length=0),
}
NO_SUCCESS = {ErrorCode.HUB_DOES_NOT_ANSWER, ErrorCode.VISIBILITY_NOT_CHANGED}


@pytest.mark.parametrize("request_kind", WRITING)
def test_redirect_is_no_success(request_kind: str, action: Action, hub: LocalHub) -> None:
    bad = [f"owner/bad-{status}" for status in STATUSES]
    if request_kind == "visibility":
        for repo in bad:
            client(hub).create_repo(repo, private=False)
    with hostile_server(hub.endpoint) as server:
        path = WRITING[request_kind]
        server.attacks = {path.format(status): attack for status, attack in STATUSES.items()}
        server.attacks |= LOGIN
        run = action.run(
            [pair(repo, private=True) for repo in [*bad, "owner/good"]],
            {"HF_HUB_DISABLE_XET": "1"} if request_kind == "batch" else {},
            endpoint=server.endpoint,
        )
    rows = {row["repo"]: row for row in rows_of(run)}
    assert rows["owner/good"]["action"] == "built"
    for repo in bad:
        assert rows[repo]["action"] in ("failed", "refuse"), "\n".join(server.asked)
        assert {*rows[repo]["codes"]} <= NO_SUCCESS
        files = client(hub).list_repo_files(repo) if client(hub).repo_exists(repo) else []
        assert set(files) <= {".gitattributes"}
    assert "GET /login" not in server.asked


@pytest.mark.parametrize("status", STATUSES)
def test_redirected_card_is_no_success(status: str, action: Action, hub: LocalHub) -> None:
    with hostile_server(hub.endpoint) as server:
        server.attacks = {"POST /api/validate-yaml": STATUSES[status], **LOGIN}
        run = action.run([pair("owner/card")], mode="plan", endpoint=server.endpoint)
    (row,) = rows_of(run)
    assert row["action"] == "build", "\n".join(server.asked)  # the check only helps
    assert "POST /api/validate-yaml" in server.asked
    assert "GET /login" not in server.asked


@pytest.mark.parametrize("status", ["choices", "not-modified", "temporary-to-nowhere"])
@pytest.mark.parametrize(
    "request_kind", ["GET /api/models/team/bert", "HEAD /team/bert/resolve", "GET /team/bert/"]
)
def test_redirect_to_nowhere_is_no_content(
    request_kind: str, status: str, action: Action, hub: LocalHub
) -> None:
    pairs = [pair("owner/bad", decoder="team/bert"), pair("owner/good")]
    with hostile_server(hub.endpoint) as server:
        server.attacks = {request_kind: STATUSES[status]}
        run = action.run(pairs, mode="plan", endpoint=server.endpoint)
    rows = {row["repo"]: row for row in rows_of(run)}
    assert rows["owner/good"]["action"] == "build"
    assert rows["owner/bad"]["codes"] == [ErrorCode.HUB_DOES_NOT_ANSWER]


LISTING = r"GET /api/models\?author=owner"
LISTINGS: dict[str, Attack] = {
    "pages without an end": hostile_hub.pages_to("/api/models?author=owner&cursor={n}"),
    "itself": hostile_hub.pages_to("/api/models?author=owner"),
    "chunks without an end": hostile_hub.endless_chunks,
    "bomb": hostile_hub.bomb_of("gzip"),
    "no list": hostile_hub.sending(b"{}"),
    "no JSON": hostile_hub.sending(b"<html>"),
    "nested": hostile_hub.sending(b"[" * 500_000),
    "next page elsewhere": hostile_hub.pages_to("http://10.0.0.1/"),
    "next page is a file": hostile_hub.pages_to("file:///etc/passwd"),
    "strange entries": hostile_hub.sending(b'[[], {"id": 1}, {"id": "owner/x", "siblings": 1}]'),
    "large pages": hostile_hub.pages_to(
        "/api/models?author=owner&cursor={n}", b'["' + b"x" * 300_000 + b'"]'
    ),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_listing_that_is_none_refuses_no_pair(
    case: str, action: Action, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 20)
    monkeypatch.setattr(pages, "MAX_LIST_BYTES", 2**20)
    with hostile_server(hub.endpoint) as server:
        server.attacks = {LISTING: LISTINGS[case]}
        run = action.run([pair("owner/new")], mode="plan", endpoint=server.endpoint)
    (row,) = rows_of(run)
    assert row["action"] == "build"
    assert any(asked.startswith("GET /api/models/owner/new") for asked in server.asked)
    assert sum("author=owner" in asked for asked in server.asked) <= 20
    if case == "large pages":
        assert sum("author=owner" in asked for asked in server.asked) <= 5
