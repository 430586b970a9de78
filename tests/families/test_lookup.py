"""The family of a config, and the refusal of unsupported families."""

import pytest

from ved.errors import VedError
from ved.families import DECODERS, ENCODERS, Family, Role, find_family
from ved.families.table import REFUSED_DECODERS, REFUSED_ENCODERS
from ved.families.twins import TWIN_DECODERS, TWIN_ENCODERS

SUPPORTED: list[tuple[Role, str, Family]] = [
    *(("encoder", name, family) for name, family in ENCODERS.items()),
    *(("decoder", name, family) for name, family in DECODERS.items()),
]
REFUSED: list[tuple[Role, str, str]] = [
    *(("encoder", name, reason) for name, reason in REFUSED_ENCODERS.items()),
    *(("decoder", name, reason) for name, reason in REFUSED_DECODERS.items()),
]


def refusal(role: Role, model_type: object) -> VedError:
    with pytest.raises(VedError) as caught:
        find_family(role, model_type, "team/source")
    return caught.value


def test_find_family_returns_each_supported_family() -> None:
    assert SUPPORTED
    for role, name, family in SUPPORTED:
        assert find_family(role, name, "team/source") is family


def test_find_family_gives_the_reason_of_each_refused_family() -> None:
    assert REFUSED
    for role, name, reason in REFUSED:
        error = refusal(role, name)
        assert error.code == "unsupported-family"
        for part in ("team/source", f"'{name}'", role, reason):
            assert part in error.cause


@pytest.mark.parametrize(
    ("role", "supported"),
    [
        ("encoder", f"{', '.join(sorted((*ENCODERS, *TWIN_ENCODERS)))}."),
        ("decoder", f"{', '.join(sorted((*DECODERS, *TWIN_DECODERS)))}."),
    ],
)
def test_find_family_refuses_unknown_family_and_lists_supported(role: Role, supported: str) -> None:
    error = refusal(role, "cvt")
    assert error.code == "unsupported-family"
    assert supported in error.remedy


@pytest.mark.parametrize("model_type", [None, 3, ["vit"]])
def test_find_family_refuses_config_without_model_type(model_type: object) -> None:
    error = refusal("encoder", model_type)
    assert error.code == "config-not-usable"
    assert "team/source" in error.cause


def test_families_are_refused_only_in_roles_that_they_do_not_support() -> None:
    assert not REFUSED_ENCODERS.keys() & ENCODERS.keys()
    assert not REFUSED_DECODERS.keys() & DECODERS.keys()
