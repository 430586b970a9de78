"""CONTRIBUTING.md: its list of places to add a family, and each place's families."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from ved.families.family import Family
from ved.families.table import DECODERS, ENCODERS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def distinct(families: Mapping[str, Family]) -> set[str]:
    """Return one name for each entry of the table: some families share an entry."""
    first = {id(family): name for name, family in reversed([*families.items()])}
    return {*first.values()}


ALL = {**ENCODERS, **DECODERS}
TESTED = distinct(ALL)
WITH_FLAX_CLASS = {name for name in TESTED if ALL[name].has_flax_class}
# The code of a card is the same for all other decoders.
WITH_OWN_TEXTS = {
    name
    for name in TESTED & DECODERS.keys()
    if ALL[name].has_flax_class or ALL[name].begins_with_eos or ALL[name].starts_with_last
}

# For each place in the guide: the names that it assigns, and the families that these contain.
PLACES: Mapping[str, tuple[tuple[str, ...], set[str]]] = {
    "ved/families/table.py": (("ENCODERS", "DECODERS"), {*ALL}),
    "ved/modeling/families.py": (("ENCODERS", "DECODERS"), {*ALL}),
    "tests/checkpoints/__init__.py": (("ENCODERS", "DECODERS"), TESTED),
    "tests/checkpoints/test_checkpoints.py": (("UNEXPECTED",), WITH_FLAX_CLASS),
    "tests/support/reference.py": (("SCRIPT_PAIRS",), WITH_FLAX_CLASS),
    "tests/assembly/test_ledger.py": (
        ("MAY_LACK",),
        {name for name in TESTED if ALL[name].optional},
    ),
    "tests/planning/test_preflight.py": (("CASES",), TESTED),
    "tests/modeling/test_settings.py": (("STRATEGIES",), {*ALL}),
    "tests/modeling/test_sizes.py": (("ENCODERS",), distinct(ENCODERS)),
    "tests/modeling/test_modeling.py": (("TOKENS",), distinct(DECODERS)),
    "tests/record/test_snippets.py": (("PAIRS",), TESTED & ENCODERS.keys() | WITH_OWN_TEXTS),
    "ved/families/overview.py": (("MODELS",), {*ALL}),
}


def section(page: str, heading: str) -> str:
    """Return the text between a heading of the second level and the next one."""
    return re.split(r"^## ", page.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]


def families_in(path: str, names: tuple[str, ...]) -> set[str]:
    """Return the families among the strings that a module assigns to some names."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    found: set[str] = set()
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if {each.id for each in targets if isinstance(each, ast.Name)} & {*names}:
            strings = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
            found |= {value for value in strings if isinstance(value, str)} & {*ALL}
    return found


def test_family_guide_lists_every_place() -> None:
    items = re.findall(
        r"^\d+\. \[(.+?)\]\((.+?)\), ((?:`\w+`|\*.+?\*)(?: or `\w+`)?):",
        section(GUIDE, "Add a family"),
        re.MULTILINE,
    )
    assert [path for _, path, _ in items] == [*PLACES]
    for text, path, names in items:
        assert text.replace("\\", "") == path
        assert {*re.findall(r"[\w ]*\w", names.replace(" or ", "`"))} == {*PLACES[path][0]}


@pytest.mark.parametrize("path", PLACES)
def test_families_are_in_every_place(path: str) -> None:
    names, expected = PLACES[path]
    assert families_in(path, names) == expected
