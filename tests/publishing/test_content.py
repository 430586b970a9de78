"""ved.publishing.content: repos whose description lacks digests, and new repos with a card."""

from collections.abc import Iterator

import pytest
from huggingface_hub import CommitOperationAdd

from tests.support.publishing import TOKEN, build_pair, client, manifest, pair
from tests.support.web import web
from ved.commands import RunOptions, plan
from ved.errors import ErrorCode
from ved.localhub import LocalHub
from ved.planning import PlannedAction
from ved.publishing import content
from ved.publishing.repos import read_published_record, read_repo

REPO = "owner/undigested"


@pytest.fixture(scope="module")
def built(module_hub: LocalHub) -> str:
    assert build_pair(module_hub, pair(REPO)).action == "built"
    return REPO


@pytest.fixture
def bare_listings(hub: LocalHub, built: str) -> Iterator[None]:
    hub.behavior.lists_digests = False
    yield
    hub.behavior.lists_digests = True


def planned(hub: LocalHub, **keys: object) -> PlannedAction:
    (action,) = plan(manifest(pair(REPO, **keys)), RunOptions(), client(hub)).actions
    return action


def problems(action: PlannedAction) -> list[tuple[str, str]]:
    return [(each.level, each.code) for each in action.findings if each.level != "notice"]


def commit(hub: LocalHub, repo: str, name: str, text: bytes) -> None:
    operations = [CommitOperationAdd(name, text)]
    client(hub).create_commit(repo, operations, commit_message="By hand")


@pytest.mark.usefixtures("bare_listings")
def test_find_changes_takes_digests_of_the_tree(hub: LocalHub) -> None:
    assert planned(hub).name == "skip"
    assert planned(hub, seed=1).name == "build"
    commit(hub, REPO, "config.json", b"{}")
    action = planned(hub, seed=1)
    assert problems(action) == [("error", ErrorCode.CHANGED_SINCE)]


@pytest.mark.usefixtures("bare_listings")
def test_find_changes_hashes_small_files_without_tree(hub: LocalHub) -> None:
    hub.faults.add("GET", "/tree/", status=404, times=100)
    action = planned(hub, seed=1)
    assert (action.name, problems(action)) == ("build", [])
    commit(hub, REPO, "config.json", b"{}")
    assert planned(hub, seed=1).name == "refuse"


@pytest.mark.usefixtures("bare_listings")
def test_find_changes_does_not_know_large_files_without_tree(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_GIT_BLOB_BYTES", 10)
    hub.faults.add("GET", "/tree/", status=404, times=100)
    target = read_repo(REPO, client(hub))
    published = read_published_record(target, client(hub))
    changed, unknown = content.find_changes(target, published, client(hub))
    assert (changed, unknown) == ([], sorted(published.files))
    action = planned(hub, seed=1)
    assert action.name == "build"
    assert problems(action) == [("warning", ErrorCode.CHANGED_SINCE)]


def create_with_license(hub: LocalHub, name: str) -> str:
    body = {"name": name, "organization": "owner", "license": "mit"}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{hub.endpoint}/api/repos/create"
    web.post(url, json=body, headers=headers).raise_for_status()
    return f"owner/{name}"


def test_is_new_has_card_of_the_hub(hub: LocalHub) -> None:
    repo = create_with_license(hub, "licensed")
    assert content.is_new(read_repo(repo, client(hub)), client(hub))
    assert build_pair(hub, pair(repo)).action == "built"


@pytest.mark.parametrize(
    "card",
    [
        b"---\nlicense: mit\n---\n# Mine\n",
        b"---\nlicense: mit\ntags: [mine]\n---\n",
        b"---\npipeline_tag: image-to-text\n---\n",
        b"# Mine\n",
        b"",
    ],
)
def test_is_new_is_false_for_a_card_of_somebody(card: bytes, hub: LocalHub) -> None:
    client(hub).create_repo("owner/theirs")
    commit(hub, "owner/theirs", "README.md", card)
    assert not content.is_new(read_repo("owner/theirs", client(hub)), client(hub))
    assert build_pair(hub, pair("owner/theirs")).codes == [ErrorCode.FOREIGN_REPO]


def test_is_new_is_false_with_another_file(hub: LocalHub) -> None:
    repo = create_with_license(hub, "licensed-more")
    commit(hub, repo, "notes.txt", b"mine")
    assert not content.is_new(read_repo(repo, client(hub)), client(hub))
