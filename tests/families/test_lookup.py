"""The family of a config, and the refusal of unsupported families."""

import re
from pathlib import Path

import pytest
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto.configuration_auto import model_type_to_module_name

from ved.errors import VedError
from ved.families import DECODERS, ENCODERS, Family, Role, find_family
from ved.families.refusals import NO_CROSS_ATTENTION, REFUSED_BY_ROLE, UNKNOWN
from ved.families.twins import TWIN_DECODERS, TWIN_ENCODERS

SUPPORTED: list[tuple[Role, str, Family]] = [
    *(("encoder", name, family) for name, family in ENCODERS.items()),
    *(("decoder", name, family) for name, family in DECODERS.items()),
]
REFUSED = [
    (role, name, refusal)
    for role, families in REFUSED_BY_ROLE.items()
    for name, refusal in families.items()
]


def refused(role: Role, model_type: object) -> VedError:
    with pytest.raises(VedError) as caught:
        find_family(role, model_type, "team/source")
    return caught.value


def test_find_family_returns_each_supported_family() -> None:
    assert SUPPORTED
    for role, name, family in SUPPORTED:
        assert find_family(role, name, "team/source") is family


def test_find_family_gives_the_reason_of_each_refused_family() -> None:
    assert REFUSED
    for role, name, (reason, use) in REFUSED:
        error = refused(role, name)
        assert error.code == "unsupported-family"
        for part in ("team/source", f"'{name}'", role, reason):
            assert part in error.cause
        assert use in error.remedy


@pytest.mark.parametrize(
    ("role", "supported"),
    [
        ("encoder", f"{', '.join(sorted((*ENCODERS, *TWIN_ENCODERS)))}."),
        ("decoder", f"{', '.join(sorted({*DECODERS, *TWIN_DECODERS}))}."),
    ],
)
def test_find_family_refuses_unknown_family_and_lists_supported(role: Role, supported: str) -> None:
    error = refused(role, "focalnet")
    assert error.code == "unsupported-family"
    assert supported in error.remedy


@pytest.mark.parametrize("model_type", [None, 3, ["vit"]])
def test_find_family_refuses_config_without_model_type(model_type: object) -> None:
    error = refused("encoder", model_type)
    assert error.code == "config-not-usable"
    assert "team/source" in error.cause


def test_families_are_refused_only_in_roles_that_they_do_not_support() -> None:
    supported = {"encoder": {*ENCODERS, *TWIN_ENCODERS}, "decoder": {*DECODERS, *TWIN_DECODERS}}
    for role, refusals in REFUSED_BY_ROLE.items():
        assert not refusals.keys() & supported[role]


def test_families_are_in_one_table() -> None:
    assert not TWIN_ENCODERS.keys() & ENCODERS.keys()


def test_refusals_for_want_of_cross_attention_are_true_of_pytorch() -> None:
    models = Path(transformers.__file__).parent / "models"
    names = {name for _, name, refusal in REFUSED if refusal.reason == NO_CROSS_ATTENTION}
    known = [name for name in names if name in CONFIG_MAPPING]  # releases drop old models
    assert len(known) > 10
    for name in known:
        folder = models.joinpath(*model_type_to_module_name(name).split("."))
        paths = [*folder.glob("modeling_*.py")]
        pytorch = [path for path in paths if not re.search("_(flax|tf)_", path.name)]
        assert pytorch, name
        for path in pytorch:
            found = re.search(r"crossattention|encoder_attn|add_cross_attention", path.read_text())
            assert not found, path


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_refusals_name_a_model_of_a_supported_family(role: Role) -> None:
    known = {"google/vit-base-patch16-224-in21k", "openai/clip-vit-base-patch32"}
    if role == "decoder":
        known = {"openai-community/gpt2", "google-bert/bert-base-uncased", "facebook/bart-base"}
        known.add("facebook/mbart-large-50")
    assert {each.use for each in (*REFUSED_BY_ROLE[role].values(), UNKNOWN[role])} <= known
