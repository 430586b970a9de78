"""ved.sources.licenses: which license a card may state, given the licenses of the sources."""

import string
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ved.sources.licenses import (
    NO_DERIVATIVES,
    PERMISSIVE,
    LicenseProblem,
    license_problems,
    parse_license,
    reasoning,
)

ENCODER, DECODER = "org/encoder", "org/decoder"
BINDING = ["gpl-3.0", "cc-by-nc-4.0", "llama2", "cc", "other"]


def of(encoder: str | None, decoder: str | None) -> dict[str, str | None]:
    return {ENCODER: encoder, DECODER: decoder}


def one_problem(stated: str | None, sources: Mapping[str, str | None]) -> LicenseProblem:
    (problem,) = license_problems(stated, sources)
    return problem


@pytest.mark.parametrize("stated", [None, "apache-2.0", "mit", "gpl-3.0", "other"])
def test_problems_of_permissive_sources_are_none(stated: str | None) -> None:
    assert license_problems(stated, of("apache-2.0", "mit")) == []


@pytest.mark.parametrize("license", BINDING)
def test_problems_of_stated_binding_license_are_none(license: str) -> None:
    assert license_problems(license, of("apache-2.0", license)) == []


@pytest.mark.parametrize("license", sorted({*BINDING} - {"other"}))
def test_problems_of_two_sources_with_same_binding_license(license: str) -> None:
    assert license_problems(license, of(license, license)) == []
    assert len(license_problems("mit", of(license, license))) == 2


@pytest.mark.parametrize(("stated", "shown"), [("mit", "states mit"), (None, "states no license")])
@pytest.mark.parametrize("license", BINDING)
def test_problem_if_binding_license_is_not_stated(
    license: str, stated: str | None, shown: str
) -> None:
    problem = one_problem(stated, of("mit", license))
    assert problem.cause.startswith(DECODER)
    assert shown in problem.cause
    assert f"license: {license}" in problem.remedy


@pytest.mark.parametrize("stated", [None, "gpl-3.0", "llama2", "mit"])
def test_problem_of_two_binding_licenses_names_both(stated: str | None) -> None:
    problem = one_problem(stated, of("gpl-3.0", "llama2"))
    assert f"{ENCODER} is under gpl-3.0 and {DECODER} is under llama2" in problem.cause


@pytest.mark.parametrize("stated", [None, "mit", "cc-by-nd-4.0"])
@pytest.mark.parametrize("license", sorted(NO_DERIVATIVES))
def test_problem_if_license_allows_no_derivatives(license: str, stated: str | None) -> None:
    problem = one_problem(stated, of("gpl-3.0", license))
    assert problem.cause.startswith(f"{DECODER} is under {license}")


def test_problem_of_two_sources_under_other_terms() -> None:
    problem = one_problem("other", of("other", "other"))
    for name in (ENCODER, DECODER):
        assert f"{name} is under terms of its own" in problem.cause


@pytest.mark.parametrize(("stated", "shown"), [(None, "license:"), ("mit", "allow mit")])
def test_problem_if_source_states_no_license(stated: str | None, shown: str) -> None:
    problem = one_problem(stated, of(None, "mit"))
    assert problem.cause.startswith(ENCODER)
    assert shown in problem.remedy


def test_problems_begin_with_sources_without_license() -> None:
    first, second = license_problems("mit", of("gpl-3.0", None))
    assert first.cause.startswith(DECODER)
    assert second.cause.startswith(ENCODER)
    sources = {"org/one": "gpl-3.0", "org/two": "llama2", "org/three": None}
    first, second = license_problems("mit", sources)
    assert first.cause.startswith("org/three")
    assert second.cause.startswith("org/one is under gpl-3.0 and org/two is under llama2")


def test_problem_is_two_sentences() -> None:
    assert str(LicenseProblem("It differs", "Read its terms")) == "It differs. Read its terms."


@pytest.mark.parametrize(
    ("stated", "sources", "shown"),
    [
        ("mit", ("mit", "mit"), "mit is permissive"),
        ("gpl-3.0", ("mit", "isc"), "mit and isc are permissive"),
        (None, ("mit", "mit"), "publisher"),
        ("gpl-3.0", ("mit", "gpl-3.0"), "org/decoder is under gpl-3.0"),
        ("gpl-3.0", ("gpl-3.0", "gpl-3.0"), "org/encoder and org/decoder are under gpl-3.0"),
        ("other", ("mit", "other"), "license: other"),
    ],
)
def test_reasoning_names_licenses_if_there_are_no_problems(
    stated: str | None, sources: tuple[str, str], shown: str
) -> None:
    assert license_problems(stated, of(*sources)) == []
    assert shown in reasoning(stated, of(*sources))
    assert ("guessed" in reasoning(stated, of(*sources))) == (stated is None)


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
def test_parse_license_returns_one_well_formed_id(value: object, license: str | None) -> None:
    assert parse_license(value) == license


@given(st.text("aZ9-.+`\u212a\n |", max_size=4) | st.text())
def test_parse_license_returns_nothing_that_is_markup(value: str) -> None:
    assert set(parse_license(value) or "") <= set(f"{string.ascii_lowercase}{string.digits}.+-")


def test_permissive_licenses_are_ids_of_cards() -> None:
    assert set(map(parse_license, PERMISSIVE)) == PERMISSIVE
