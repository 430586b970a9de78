"""A pasted URL: of which page, and the id to write."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.manifest.fields import REPO_PATTERN
from ved.manifest.pasted_urls import advice_for_url


def test_pasted_urls_know_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:8080/me/vit-gpt2"
    assert "me/vit-gpt2" not in str(advice_for_url(url, "source"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:8080/")
    assert "write me/vit-gpt2" in str(advice_for_url(url, "source"))
    assert "write me/vit-gpt2" in str(advice_for_url(f"{url}/tree/main", "source"))
    assert "write me/vit-gpt2" in str(advice_for_url("127.0.0.1:8080/me/vit-gpt2", "source"))
    assert "me/vit-gpt2" not in str(advice_for_url(url.replace("8080", "9090"), "source"))


@given(st.from_regex(REPO_PATTERN, fullmatch=True))
def test_pasted_urls_are_no_ids(name: str) -> None:
    assert not advice_for_url(name, "source") or re.match(r"(www\.)?hf\.co/|datasets/", name)


@given(st.text(max_size=50) | st.text("htps:/.cofug@?#[]%1 ", max_size=50))
def test_pasted_urls_may_be_any_text(text: str) -> None:
    for prefix in ("", "https://huggingface.co/", "git@hf.co:", "hf://", "https://"):
        advice_for_url(prefix + text, "source")
