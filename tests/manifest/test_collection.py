"""ved.manifest: the key `collection`."""

import json

import pytest

from tests.support.publishing import manifest, pair
from ved.manifest.loading import ManifestError, loads


@pytest.mark.parametrize(
    ("entry", "collection"),
    [
        ({"repo": "owner/x"}, None),
        ({"repo": "owner/x", "collection": "Warm starts"}, "my-org/Warm starts"),
        ({"repo": "x", "collection": "other/Vision / text"}, "other/Vision / text"),
    ],
)
def test_collection_without_owner_is_of_namespace(
    entry: dict[str, str], collection: str | None
) -> None:
    (found,) = loads(json.dumps({"namespace": "my-org", "pairs": [pair(**entry)]}).encode()).pairs
    assert found.collection == collection


def test_collection_without_namespace_is_of_owner_of_repo() -> None:
    (found,) = manifest(pair("owner/x", collection="Warm starts")).pairs
    assert found.collection == "owner/Warm starts"


def test_collection_in_defaults_and_grid() -> None:
    grid = {"encoders": ["t/v"], "decoders": ["t/g"], "collection": "Grid"}
    content = {
        "namespace": "me",
        "defaults": {"collection": "All"},
        "pairs": [pair("x")],
        "grid": grid,
    }
    found = loads(json.dumps(content).encode()).pairs
    assert [each.collection for each in found] == ["me/All", "me/Grid"]


@pytest.mark.parametrize(
    "title", ["", " a", "a  b", "a\nb", "a/b ", "-/a", "x" * 61, f"me/{'x' * 61}", "/a"]
)
def test_collection_that_is_not_a_title_is_refused(title: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest(pair("me/x", collection=title))
    assert "collection" in str(caught.value)
