"""What pydantic finds wrong with a manifest, in words for the person who wrote it."""

import difflib
from collections.abc import Iterable, Iterator
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ved.manifest.yaml_nodes import Location, Node, Problem, describe_value
from ved.text import quoted

# pydantic's types of error, in words. The value found is described from the file, not from what
# validation had made of it by then.
_MESSAGES = {
    "refused": "{refused} {why}",
    "missing": "missing key {missing}",
    "neither": "missing key {missing}",
    "extra_forbidden": "unknown key {unknown}; {advice}",
    "model_type": "expected {form} with the keys {keys}; found {found}",
    "tuple_type": "expected a list, found {found}",
    "too_short": "expected at least one, found an empty list",
    "too_long": "expected at most {max_length}, found {count}",
    "string_type": "expected text, found {found}",
    "bool_type": "expected true or false, found {found}",
    "int_type": "expected a whole number, found {found}",
    "greater_than_equal": "expected a whole number of at least {ge}, found {found}",
    "literal_error": "expected {expected}, found {found}",
    "less_than": "expected a whole number below {lt}, found {found}",
}


def problems_in(error: ValidationError, root: Node, model: type[BaseModel]) -> Iterator[Problem]:
    """Translate what pydantic found wrong with a file, and find the place of each mistake.

    Args:
        root: the file's content.
        model: the type that it was held against.
    """
    details = error.errors(include_url=False)
    nearest = {
        detail["loc"]: _nearest_key(model, detail["loc"])
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    misspelt = {(*loc[:-1], key) for loc, key in nearest.items()}
    for detail in details:
        # A misspelt key is one mistake, not an unknown key and a missing one.
        if any((*detail["loc"][:-1], key) in misspelt for key in _missing_keys(detail)):
            continue
        # pydantic counts only the items that are right.
        if detail["type"] == "too_short" and root.find(detail["loc"]).value != []:
            continue
        yield _problem(detail, root, model, nearest.get(detail["loc"]))


def first_at_each_place(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Count the problems that differ only in the cell of a grid, instead of repeating them."""
    by_place: dict[Location, list[str]] = {}
    for problem in dict.fromkeys(problems):
        where = Location(problem.file, problem.line, problem.column)
        by_place.setdefault(where, []).append(problem.message)
    for where, (message, *others) in by_place.items():
        count = f" (and {len(others)} more like it)" if others else ""
        yield Problem.at(where, f"{message}{count}")


def _missing_keys(detail: ErrorDetails) -> tuple[str | int, ...]:
    """Return the key that is missing, or the keys one of which is."""
    match detail["type"]:
        case "missing":
            return detail["loc"][-1:]
        case "neither":
            return tuple(detail["ctx"]["keys"])
        case _:
            return ()


def _problem(
    detail: ErrorDetails, root: Node, model: type[BaseModel], nearest: str | None
) -> Problem:
    *path, key = detail["loc"] or ("",)
    node = root.find(detail["loc"])
    words = {
        "found": describe_value(node.value),
        "count": len(node.children),
        "missing": " or ".join(f"'{missing}'" for missing in _missing_keys(detail)),
        **detail.get("ctx", {}),
    }
    where = node.where
    if detail["type"] == "extra_forbidden":
        keys = ", ".join(_model_at(model, path).model_fields)
        words["unknown"] = quoted(str(key))
        words["advice"] = f"did you mean '{nearest}'?" if nearest else f"the keys here are {keys}"
        where = root.find(path).keys[str(key)]
    elif detail["type"] == "model_type":
        expected = _model_at(model, detail["loc"])
        words["form"] = getattr(expected, "form", "a mapping")
        words["keys"] = ", ".join(expected.model_fields)
    return Problem.at(where, _MESSAGES[detail["type"]].format(**words))


def _nearest_key(model: type[BaseModel], loc: tuple[int | str, ...]) -> str | None:
    near = difflib.get_close_matches(str(loc[-1]), _model_at(model, loc[:-1]).model_fields, n=1)
    return near[0] if near else None


def _model_at(model: type[BaseModel], path: Iterable[int | str]) -> type[BaseModel]:
    """Return the type of the mapping at a path from the root, whose type is `model`."""
    for part in path:
        if isinstance(part, str):
            model = next(_models_in(model.model_fields[part].annotation))
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
