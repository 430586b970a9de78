"""ved.sources.metadata: what a source states, and what of it a checkpoint's card repeats."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.hub.repo_info import RepoInfo, parse_repo
from ved.sources.metadata import MAX_VALUES, SourceMetadata, merge_languages, merge_tags


def metadata_of(gated: Any = False, **card: Any) -> SourceMetadata:
    """Return what VED reads in the Hub's answer about a repo with a card."""
    return SourceMetadata.of(answer(gated=gated, cardData=card))


def answer(**content: Any) -> RepoInfo:
    return parse_repo({"id": "team/x", **content})


@pytest.mark.parametrize(
    ("language", "read"),
    [
        ("en", ("en",)),
        (["en", "no", "en"], ("en", "no")),
        (["multilingual", "zh-Hant", "zh", "qq"], ("multilingual", "zh")),
        (["English", "en"], ("en",)),
        ("en\n", ()),
        ("[en](https://x.example)", ()),
        ([["en"]], ()),
        (True, ()),
        (None, ()),
    ],
)
def test_metadata_reads_codes_of_languages(language: object, read: tuple[str, ...]) -> None:
    assert metadata_of(language=language).language == read


@pytest.mark.parametrize(
    ("tag", "is_read"),
    [
        *(("vision", True), ("image captioning", True), ("c++", True), ("v1.0", True)),
        *(("license:mit", False), ("dataset:coco", False), ("", False), ("a\nb", False)),
        *(("`a`", False), ("a|b", False), ("<b>", False), ("x" * 101, False), (1, False)),
    ],
)
def test_metadata_reads_tags_that_are_words(tag: object, is_read: bool) -> None:
    assert metadata_of(tags=[tag]).tags == ((tag,) if is_read else ())


@pytest.mark.parametrize(
    ("gated", "read"),
    [(False, False), (None, False), ("auto", "auto"), ("manual", "manual"), (True, "manual")],
)
def test_metadata_takes_unknown_gates_for_manual(gated: object, read: object) -> None:
    assert metadata_of(gated).gated == read


def test_metadata_of_repo_without_card_is_empty() -> None:
    assert SourceMetadata.of(answer()) == SourceMetadata()


def test_metadata_limits_number_of_tags() -> None:
    assert len(metadata_of(tags=[f"tag {number}" for number in range(5000)]).tags) == MAX_VALUES


@given(value=st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_metadata_of_any_card_survives_a_record(value: object) -> None:
    found = metadata_of(
        license=value, language=value, tags=value if isinstance(value, list) else None
    )
    assert SourceMetadata.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("card", [5, "text", [1]])
def test_metadata_of_malformed_card_are_empty(card: object) -> None:
    assert SourceMetadata.of(answer(cardData=card)) == SourceMetadata()


SILENT, ENGLISH, BOTH = (
    SourceMetadata(),
    SourceMetadata(language=("en",)),
    SourceMetadata(language=("no", "en")),
)


@pytest.mark.parametrize(
    ("own", "encoder", "decoder", "expected"),
    [
        ([], SILENT, SILENT, []),
        ([], SILENT, BOTH, ["no", "en"]),
        ([], BOTH, SILENT, ["no", "en"]),
        ([], ENGLISH, BOTH, ["en"]),
        ([], ENGLISH, SourceMetadata(language=("de",)), []),
        (["de"], ENGLISH, BOTH, ["de"]),
        (["de"], SILENT, SILENT, ["de"]),
    ],
)
def test_merge_languages_prefers_manifest_then_common_languages(
    own: list[str], encoder: SourceMetadata, decoder: SourceMetadata, expected: list[str]
) -> None:
    assert merge_languages(own, [encoder, decoder]) == expected


@pytest.mark.parametrize(
    ("own", "encoder", "decoder", "expected"),
    [
        ([], ("a", "b"), ("b", "c"), ["b"]),
        ([], (), ("b",), []),
        (["own"], ("b",), ("b",), ["b", "own"]),
        (["b"], ("b",), ("b",), ["b"]),
        ([], ("pytorch", "JAX", "b"), ("pytorch", "JAX", "b"), ["b"]),
    ],
)
def test_merge_tags_returns_common_tags_then_manifest(
    own: list[str], encoder: tuple[str, ...], decoder: tuple[str, ...], expected: list[str]
) -> None:
    assert merge_tags(own, [SourceMetadata(tags=encoder), SourceMetadata(tags=decoder)]) == expected
