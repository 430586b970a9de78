"""ved.hub.upload_counter: how many bytes of a commit are really uploaded."""

import pytest
from huggingface_hub.utils import get_session

from tests.support.publishing import build_pair, client, pair
from ved.hub import http
from ved.hub.upload_counter import count_uploads
from ved.localhub import LocalHub
from ved.results.rows import Row


def sizes(hub: LocalHub, repo: str) -> dict[str, int]:
    """Return the sizes of the weight files in a repo."""
    siblings = client(hub).model_info(repo, files_metadata=True).siblings or []
    return {each.rfilename: each.lfs.size for each in siblings if each.lfs}


def test_result_counts_only_files_that_the_hub_lacks(hub: LocalHub, without_xet: None) -> None:
    first = build_pair(hub, pair("owner/sent", weights="flax"))
    second = build_pair(hub, pair("owner/sent", weights=["flax", "safetensors"]))
    third = build_pair(hub, pair("owner/sent", weights=["safetensors"]))

    assert [result.action for result in (first, second, third)] == ["built"] * 3
    assert first.uploaded == Row.of(first).uploaded
    assert first.size > (first.uploaded or 0) > 0
    (name,) = sizes(hub, "owner/sent")
    assert name == "model.safetensors"
    assert second.uploaded == sizes(hub, "owner/sent")[name]
    assert third.uploaded == 0


def test_result_counts_bytes_that_xet_sends(hub: LocalHub) -> None:
    result = build_pair(hub, pair("owner/sent-by-xet", seed=271828))
    bodies = [each.bytes_in for each in hub.requests if each.path.startswith("/xet/bucket/")]
    assert result.uploaded is not None
    assert result.size > result.uploaded > 0
    # Beside the content, each chunk has a header of a few bytes; some content is compressed.
    assert 0.5 * result.uploaded < sum(bodies) < 1.01 * result.uploaded + 1000


def test_result_of_card_has_no_count(hub: LocalHub) -> None:
    build_pair(hub, pair("owner/sent-card"))
    renewed = build_pair(hub, pair("owner/sent-card", tags=["new"]))
    assert (renewed.action, renewed.uploaded) == ("card-only", None)


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (b'{"objects": [{"size": 5}, {"size": 7, "actions": {"upload": {}}}]}', 7),
        (b'{"objects": [], "transfer": "multipart"}', 0),
        (b'{"objects": [], "transfer": "xet"}', 0),
        (b'{"objects": 5}', None),
        (b'{"objects": [{"size": -5, "actions": {}}, {"size": -5, "actions": {"a": 1}}]}', None),
        (b'{"objects": [{"size": 1e400, "actions": {"upload": {}}}]}', None),
        (b'{"objects": [{"size": 1180591620717411303424, "actions": {"upload": {}}}]}', None),
        (b"[]", None),
        (b"{", None),
    ],
    ids=str,
)
def test_counter_adds_sizes_of_requested_files(
    answer: bytes, sent: int | None, hub: LocalHub
) -> None:
    hub.faults.add("POST", "/batch$", body=answer)
    url = f"{hub.endpoint}/owner/x.git/info/lfs/objects/batch"
    http.connect()
    with count_uploads() as uploads:
        get_session().post(url, timeout=10)
    get_session().post(url, timeout=10)  # not counted: after the block
    assert uploads.sent == sent


def test_counter_is_unknown_after_one_unknown_answer(hub: LocalHub) -> None:
    for size in (7, -7, 7):
        answer = b'{"objects": [{"size": %d, "actions": {"upload": {}}}]}' % size
        hub.faults.add("POST", "/batch$", body=answer)
    http.connect()
    with count_uploads() as uploads:
        for _ in range(3):
            get_session().post(f"{hub.endpoint}/x/y.git/info/lfs/objects/batch", timeout=10)
    assert uploads.sent is None
