"""The fields of a manifest: which texts are repo ids, revisions and so on."""

import json

import pytest
from dulwich.refs import Ref, check_ref_format
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.manifests import load_one, one_pair
from ved.manifest import ManifestError, loads


def accepts(**keys: object) -> bool:
    try:
        loads(one_pair(**{key: json.dumps(value) for key, value in keys.items()}))
    except ManifestError:
        return False
    return True


@given(st.text("aZ0_-./g it", max_size=12) | st.from_regex(r"[\w.-]{95,98}", fullmatch=True))
@example("a.git")
@example("o/" + "n" * 96)
@example("a\n")
def test_repo_field_accepts_the_ids_of_the_hub_client(text: str) -> None:
    try:
        validate_repo_id(text)
        # The client also accepts letters of all scripts, and a line break at the end.
        is_valid = text.isascii() and not text.endswith("\n")
    except HFValidationError:
        is_valid = False
    repo = text if "/" in text else f"o/{text}"
    if "/" in text:
        assert accepts(repo=repo) == is_valid
    if not text.startswith(("./", "../", "/")) and text not in (".", ".."):
        assert accepts(encoder={"model": text}) == is_valid


@given(st.text("aZ0_-./+@{~^:?*[\\ \x7f\n", min_size=1, max_size=8) | st.text(max_size=8))
@example("a.lock")
@example("a.lock/b")
@example("a/.b")
@example("a//b")
def test_revision_field_accepts_only_names_that_git_accepts(text: str) -> None:
    if accepts(decoder=f"d/d@{text}"):
        assert check_ref_format(Ref(f"refs/heads/{text}".encode()))
        assert not text.startswith("-")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/12", "fp16", "a" * 40, "x_y-z+1"])
def test_revision_field_accepts_usual_revisions(revision: str) -> None:
    assert accepts(decoder=f"d/d@{revision}")


@pytest.mark.parametrize(
    "commit", ["1e3", "0123456", "607e10", "0x1f", "2024-01-01", "1_000", "12"]
)
def test_revision_field_keeps_text_that_looks_like_a_number(commit: str) -> None:
    assert load_one(decoder=f"{{model: d/d, revision: {commit}}}").decoder.revision == commit
    assert load_one(decoder=f"d/d@{commit}").decoder.revision == commit


def test_text_fields_keep_text_that_looks_like_another_type() -> None:
    pair = load_one(
        tags="[1e3, 2024-01-01, true, off]", description="012", language="no", decoder="123"
    )
    assert pair.tags == ("1e3", "2024-01-01", "true", "off")
    assert pair.description == "012"
    assert pair.language == ("no",)
    assert pair.decoder.model == "123"
