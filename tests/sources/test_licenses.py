"""What a checkpoint's card may say of its licence, given what the sources' cards say."""

import string
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.sources import licenses
from ved.sources.licenses import NO_DERIVATIVES, PERMISSIVE, of_card, reasoning

ENCODER, DECODER = "org/encoder", "org/decoder"
BINDING = ["gpl-3.0", "cc-by-nc-4.0", "llama2", "cc", "other"]


def problems(stated: str | None, sources: Mapping[str, str | None]) -> list[str]:
    return [str(problem) for problem in licenses.license_problems(stated, sources)]


def of(encoder: str | None, decoder: str | None) -> dict[str, str | None]:
    return {ENCODER: encoder, DECODER: decoder}


@pytest.mark.parametrize("metadata", [None, "apache-2.0", "mit", "gpl-3.0", "other"])
def test_permissive_sources_let_anything_be_stated(stated: str | None) -> None:
    assert problems(stated, of("apache-2.0", "mit")) == []


@pytest.mark.parametrize("license", BINDING)
def test_stating_the_one_licence_that_binds_is_right(license: str) -> None:
    assert problems(license, of("apache-2.0", license)) == []


@pytest.mark.parametrize("license", sorted({*BINDING} - {"other"}))
def test_two_sources_under_one_licence_that_binds_agree(license: str) -> None:
    assert problems(license, of(license, license)) == []
    assert len(problems("mit", of(license, license))) == 2


@pytest.mark.parametrize(
    ("metadata", "card_digest"),
    [("mit", "the checkpoint states mit"), (None, "the checkpoint states no licence")],
)
@pytest.mark.parametrize("license", BINDING)
def test_licence_that_binds_has_to_be_the_one_stated(
    license: str, stated: str | None, words: str
) -> None:
    (problem,) = problems(stated, of("mit", license))
    assert problem.startswith(f"{DECODER} is under ")
    assert words in problem
    assert "read its terms" in problem
    assert f"say license: {license} in the pair" in problem


@pytest.mark.parametrize("metadata", [None, "gpl-3.0", "llama2", "mit"])
def test_two_licences_that_bind_are_one_conflict_whatever_is_stated(stated: str | None) -> None:
    assert problems(stated, of("gpl-3.0", "llama2")) == [
        "org/encoder is under gpl-3.0 and org/decoder is under llama2, and one may forbid what the"
        " other demands: read the terms of both, and publish this checkpoint only if they allow it"
        " together."
    ]


@pytest.mark.parametrize("metadata", [None, "mit", "cc-by-nd-4.0"])
@pytest.mark.parametrize("license", sorted(NO_DERIVATIVES))
def test_what_allows_nothing_to_be_made_of_it_is_a_problem_whatever_is_stated(
    license: str, stated: str | None
) -> None:
    (problem,) = problems(stated, of("gpl-3.0", license))
    assert problem == (
        f"org/decoder is under {license}, which allows nothing that is made of it to be published:"
        " ask its authors, or take another source."
    )


def test_other_names_no_licence_so_two_of_them_need_not_agree() -> None:
    (problem,) = problems("other", of("other", "other"))
    assert "org/encoder is under terms of its own (license: other)" in problem
    assert "org/decoder is under terms of its own (license: other)" in problem


@pytest.mark.parametrize(
    ("metadata", "remedy"),
    [
        (None, "say it with license: in the pair"),
        ("mit", "make sure that its authors allow mit"),
    ],
)
def test_silent_source_is_a_warning_and_never_a_guess(stated: str | None, remedy: str) -> None:
    (problem,) = problems(stated, of(None, "mit"))
    assert problem.startswith(f"{ENCODER} does not state one licence, and none is guessed")
    assert remedy in problem


def test_silent_sources_come_first() -> None:
    first, second = problems("mit", of("gpl-3.0", None))
    assert first.startswith(DECODER)
    assert second.startswith(ENCODER)
    first, second = problems("mit", {"org/one": "gpl-3.0", "org/two": "llama2", "org/three": None})
    assert first.startswith("org/three")
    assert second.startswith("org/one is under gpl-3.0 and org/two is under llama2")


@pytest.mark.parametrize(
    ("metadata", "sources", "card_digest"),
    [
        ("mit", ("mit", "mit"), "mit is permissive: "),
        ("gpl-3.0", ("mit", "isc"), "where their conditions are kept for what is copied"),
        (None, ("mit", "mit"), "only the publisher can say: it is not guessed."),
        ("gpl-3.0", ("mit", "gpl-3.0"), "org/decoder is under gpl-3.0, which may ask for more"),
        ("gpl-3.0", ("gpl-3.0", "gpl-3.0"), "org/encoder and org/decoder are under gpl-3.0"),
        ("other", ("mit", "other"), "license: other, too, which names no terms of its own."),
    ],
)
def test_that_nothing_stands_against_a_licence_has_a_reason(
    stated: str | None, sources: tuple[str, str], words: str
) -> None:
    assert problems(stated, of(*sources)) == []
    assert words in reasoning(stated, of(*sources))
    assert ("not guessed" in reasoning(stated, of(*sources))) == (stated is None)


@pytest.mark.parametrize(
    ("value", "license"),
    [
        ("apache-2.0", "apache-2.0"),
        ("Apache-2.0", "apache-2.0"),
        ("openrail++", "openrail++"),
        (["mit"], "mit"),
        (["mit", "apache-2.0"], None),
        ([["mit"]], None),
        ([], None),
        ("unknown", None),
        ("", None),
        ("MIT License", None),
        ("mit\n", None),
        ("mit`](https://evil.example)", None),
        ("a" * 101, None),
        (2.0, None),
        (None, None),
        ({"name": "mit"}, None),
    ],
)
def test_card_states_one_well_formed_id_or_nothing(value: object, license: str | None) -> None:
    assert of_card(value) == license


@given(st.text("aZ9-.+`\u212a\n |", max_size=4) | st.text())
def test_whatever_a_card_says_is_safe_to_show(value: str) -> None:
    assert set(of_card(value) or "") <= set(f"{string.ascii_lowercase}{string.digits}.+-")


def test_permissive_licences_are_ids_as_cards_give_them() -> None:
    assert set(map(of_card, PERMISSIVE)) == PERMISSIVE
