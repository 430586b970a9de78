"""What the Hub refuses a token that can write: private repos that stay public, and 403s."""

from collections.abc import Iterator

import pytest

from tests.support.publishing import TOKEN, build_pair, client, heads, manifest, pair
from ved.commands import RunOptions, build
from ved.errors import ErrorCode, VedError
from ved.hub.oidc import Publisher
from ved.localhub import LocalHub, Organization, Restriction
from ved.publishing.commits import set_visibility


@pytest.fixture(autouse=True)
def plain_behavior(hub: LocalHub) -> Iterator[None]:
    """Restore the behavior of the Hub after a test."""
    before = {**vars(hub.behavior), "restrictions": {}}
    yield
    vars(hub.behavior).update(before)


@pytest.mark.parametrize("exists", [False, True])
def test_publish_pushes_nothing_private_to_a_repo_that_stays_public(
    exists: bool, hub: LocalHub
) -> None:
    hub.behavior.obeys_private = False
    if exists:
        client(hub).create_repo("owner/secret")
    result = build_pair(hub, pair("owner/secret", private=True))
    assert (result.action, result.codes) == ("failed", [ErrorCode.VISIBILITY_NOT_CHANGED])
    assert client(hub).list_repo_files("owner/secret") == [".gitattributes"]


@pytest.mark.parametrize("private", [False, True])
def test_set_visibility_reads_the_setting_back(private: bool, hub: LocalHub) -> None:
    client(hub).create_repo("owner/seen", private=not private)
    hub.behavior.obeys_private = False
    with pytest.raises(VedError) as caught:
        set_visibility("owner/seen", private, client(hub))
    assert caught.value.code == ErrorCode.VISIBILITY_NOT_CHANGED
    hub.behavior.obeys_private = True
    set_visibility("owner/seen", private, client(hub))


@pytest.mark.parametrize(
    ("restriction", "code", "words"),
    [
        ("private-storage", ErrorCode.STORAGE_REFUSED, "limit reached"),
        ("storage-patterns", ErrorCode.STORAGE_REFUSED, "website@huggingface.co"),
    ],
)
def test_publish_explains_restricted_storage(
    restriction: Restriction, code: ErrorCode, words: str, hub: LocalHub
) -> None:
    hub.behavior.restrictions["owner"] = restriction
    result = build_pair(hub, pair("owner/full", private=True))
    assert (result.action, result.codes) == ("failed", [code])
    assert words in result.reason


def test_publish_explains_disabled_repo(hub: LocalHub) -> None:
    assert build_pair(hub, pair("owner/disabled")).action == "built"
    hub.behavior.restrictions["owner/disabled"] = "disabled"
    before = heads(hub)
    result = build_pair(hub, pair("owner/disabled", seed=1))
    assert (result.action, result.codes) == ("refused", [ErrorCode.REPO_DISABLED])
    assert heads(hub) == before


def test_publish_explains_resource_group(hub: LocalHub) -> None:
    hub.add_organization("team", Organization(demands_resource_group=True))
    result = build_pair(hub, pair("team/ungrouped"))
    assert (result.action, result.codes) == ("failed", [ErrorCode.RESOURCE_GROUP])


def test_publish_explains_read_only_publisher(hub: LocalHub) -> None:
    client(hub).create_repo("owner/keyless")
    hub.add_publisher("owner/keyless", repository="octo/repo", read_only=True)
    job = hub.add_job(repository="octo/repo", workflow="w.yml")
    publisher = Publisher(hub.endpoint, job, lambda _: None)
    entries = manifest(pair("owner/keyless"))
    (result,) = build(entries, RunOptions(), client(hub, None), publisher=publisher)
    assert (result.action, result.codes) == ("failed", [ErrorCode.TOKEN_MAY_NOT_WRITE])
    assert "read-only" in result.reason


def test_publish_bounds_and_cleans_the_words_of_the_hub(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ved.localhub import restrictions

    text = f"storage \x1b[31m {TOKEN} " + "x" * 50_000
    monkeypatch.setitem(restrictions._TEXTS, "storage-patterns", text)
    hub.behavior.restrictions["owner"] = "storage-patterns"
    result = build_pair(hub, pair("owner/long"))
    assert result.codes == [ErrorCode.STORAGE_REFUSED]
    assert len(result.reason) < 2500
    assert TOKEN not in result.reason
    assert "\x1b" not in result.reason
