"""What the authors of a source state, and what of it a checkpoint's card says, too."""

from typing import Any

import pytest
from huggingface_hub import ModelInfo
from hypothesis import given
from hypothesis import strategies as st

from ved.sources.metadata import MAX_VALUES, SourceMetadata, merge_languages, merge_tags


def said(gated: Any = False, **card: Any) -> SourceMetadata:
    """Return what VED reads in the Hub's answer about a repo with this card."""
    return SourceMetadata.of(answer(gated=gated, cardData=card))


def answer(**content: Any) -> ModelInfo:
    return ModelInfo(id="team/x", **content)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("language", "read"),
    [
        ("en", ("en",)),
        (["en", "no", "en"], ("en", "no")),
        (["multilingual", "zh-Hant"], ("multilingual", "zh-Hant")),
        (["English", "en"], ("en",)),
        ("en\n", ()),
        ("[en](https://x.example)", ()),
        ([["en"]], ()),
        (True, ()),
        (None, ()),
    ],
)
def test_languages_are_codes(language: object, read: tuple[str, ...]) -> None:
    assert said(language=language).language == read


@pytest.mark.parametrize(
    ("tag", "is_read"),
    [
        *(("vision", True), ("image captioning", True), ("c++", True), ("v1.0", True)),
        *(("license:mit", False), ("dataset:coco", False), ("", False), ("a\nb", False)),
        *(("`a`", False), ("a|b", False), ("<b>", False), ("x" * 101, False), (1, False)),
    ],
)
def test_tags_are_words(tag: object, is_read: bool) -> None:
    assert said(tags=[tag]).tags == ((tag,) if is_read else ())


@pytest.mark.parametrize(
    ("gated", "read"),
    [(False, False), (None, False), ("auto", "auto"), ("manual", "manual"), (True, "manual")],
)
def test_what_is_gated_in_another_way_is_gated(gated: object, read: object) -> None:
    assert said(gated).gated == read


def test_a_repo_without_a_card_states_nothing() -> None:
    assert SourceMetadata.of(answer()) == SourceMetadata()


def test_a_record_does_not_grow_without_limit() -> None:
    assert len(said(tags=[f"tag {number}" for number in range(5000)]).tags) == MAX_VALUES


@given(value=st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_whatever_a_card_says_is_read_or_left_out(value: object) -> None:
    found = said(license=value, language=value, tags=value if isinstance(value, list) else None)
    # It is read back from a record as it was written.
    assert SourceMetadata.model_validate_json(found.model_dump_json()) == found


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
def test_language_is_the_manifests_or_what_the_sources_that_speak_agree_on(
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
def test_tags_are_those_that_both_sources_have_and_the_manifests(
    own: list[str], encoder: tuple[str, ...], decoder: tuple[str, ...], expected: list[str]
) -> None:
    assert merge_tags(own, [SourceMetadata(tags=encoder), SourceMetadata(tags=decoder)]) == expected
