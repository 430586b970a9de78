"""Convert pydantic's validation errors to problems: a plain message, a place and a code each."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ved.errors import ErrorCode
from ved.manifest.guessed_keys import known_word, meant_key, with_value
from ved.manifest.pair_models import SourceRef
from ved.manifest.problems import Problem
from ved.manifest.yaml_messages import KEY_WITHOUT_SPACE, SPACE_AFTER_COLON, SPACE_AFTER_DASH
from ved.manifest.yaml_nodes import Node, Scalar, Value, describe_value
from ved.text import quoted

# The message for each of pydantic's error types. The value is described as the file has it, since
# pydantic only knows the converted value.
_MESSAGES: dict[str, tuple[ErrorCode, str]] = {
    "refused": (ErrorCode.VALUE_NOT_ALLOWED, "{refused} {why}"),
    "missing": (ErrorCode.MISSING_KEY, "missing key {missing}"),
    "neither": (ErrorCode.MISSING_KEY, "missing key {missing}"),
    "extra_forbidden": (ErrorCode.UNKNOWN_KEY, "unknown key {unknown}; {advice}"),
    "model_type": (
        ErrorCode.WRONG_TYPE,
        "expected {forms} with the keys {keys}; found {found}{hint}",
    ),
    "tuple_type": (ErrorCode.WRONG_TYPE, "expected a list, found {found}{hint}"),
    "string_type": (ErrorCode.WRONG_TYPE, "expected text, found {found}"),
    "bool_type": (ErrorCode.WRONG_TYPE, "expected true or false, found {found}"),
    "int_type": (ErrorCode.WRONG_TYPE, "expected a whole number, found {found}"),
    "too_short": (ErrorCode.VALUE_NOT_ALLOWED, "expected at least one item, found an empty list"),
    "too_long": (ErrorCode.TOO_MANY_PAIRS, "expected at most {max_length} items, found {count}"),
    "greater_than_equal": (
        ErrorCode.VALUE_NOT_ALLOWED,
        "expected a whole number of at least {ge}, found {found}",
    ),
    "less_than": (ErrorCode.VALUE_NOT_ALLOWED, "expected a whole number below {lt}, found {found}"),
    "literal_error": (ErrorCode.VALUE_NOT_ALLOWED, "expected {expected}, found {found}"),
}

_KEYS_OF_SOURCE = {*SourceRef.model_fields} - {"model"}
_LISTS_OF_MAPPINGS = ("pairs", "exclude", "overrides")
_WORD = re.compile(r"[\w./@-]{1,80}")


def problems_in(error: ValidationError, root: Node, model: type[BaseModel]) -> Iterator[Problem]:
    """Yield a problem for each mistake that pydantic found.

    Args:
        error: the validation error.
        root: the parsed file.
        model: the model that the file was validated with.
    """
    details = error.errors(include_url=False)
    nearest = {
        detail["loc"]: _nearest_key(model, detail["loc"], root)
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    misspelled = {(*loc[:-1], key) for loc, key in nearest.items()}
    for detail in details:
        # A misspelled key is one mistake, not an unknown key and a missing one.
        if any((*detail["loc"][:-1], key) in misspelled for key in _missing_keys(detail)):
            continue
        # pydantic counts only the valid items of a list.
        if detail["type"] == "too_short" and root.find(detail["loc"]).value != []:
            continue
        yield _problem(detail, root, model, nearest.get(detail["loc"]))


def _missing_keys(detail: ErrorDetails) -> tuple[str | int, ...]:
    """Return the missing key, or the keys of which one is required."""
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
    context = detail.get("ctx", {})
    parts = {
        "found": describe_value(node.value),
        "hint": _hint(key, node.value, is_list=detail["type"] == "tuple_type"),
        "count": len(node.children),
        "missing": " or ".join(f"'{missing}'" for missing in _missing_keys(detail)),
        **context,
    }
    where = node.where
    if detail["type"] == "extra_forbidden":
        parts["unknown"] = quoted(str(key))
        parts["advice"] = _advice(str(key), node.value, model, path, root, nearest)
        where = root.find(path).keys[str(key)]
    elif detail["type"] == "model_type":
        expected = _model_at(model, detail["loc"])
        parts["forms"] = getattr(expected, "forms", "a mapping")
        parts["keys"] = ", ".join(expected.model_fields)
    code, message = _MESSAGES[detail["type"]]
    return Problem.at(where, message.format(**parts), context.get("code", code))


def _hint(key: int | str, value: Value, *, is_list: bool) -> str:
    """Return what to write in place of a value that should be a list or a mapping.

    Args:
        key: the key of the value.
        value: the value.
        is_list: whether it should be a list.
    """
    if isinstance(value, Scalar):
        if KEY_WITHOUT_SPACE.match(value.text):
            return f": {SPACE_AFTER_COLON}"
        takes_text = is_list and key not in _LISTS_OF_MAPPINGS
        return f": write [{value.text}]" if takes_text and _WORD.fullmatch(value.text) else ""
    if isinstance(value, dict) and is_list:
        if next(iter(value), "").startswith("-"):
            return f": {SPACE_AFTER_DASH}"
        return f": each {'pair' if key == 'pairs' else 'entry'} begins with '- '"
    return ""


def _advice(
    key: str,
    value: Value,
    model: type[BaseModel],
    path: Sequence[int | str],
    root: Node,
    nearest: str | None,
) -> str:
    """Return what to write in place of an unknown key.

    Args:
        key: the key.
        value: its value.
        model: the model of the file.
        path: where the mapping is that has the key.
        root: the parsed file.
        nearest: the key of that mapping that is meant; None if there is none.
    """
    if re.match(r"\w+:\S", key):
        return SPACE_AFTER_COLON
    text = value.text if isinstance(value, Scalar) else ""
    half, _, inner_key = key.partition("_")
    if half in ("encoder", "decoder") and inner_key in _KEYS_OF_SOURCE:
        return f"write {half}: {{model: ..., {inner_key}: ...}}"
    if nearest:
        return f"did you mean '{with_value(nearest, key, text)}'?"
    fields = _model_at(model, path).model_fields
    for name, field in fields.items():
        inner = {each for found in _models_in(field.annotation) for each in found.model_fields}
        if key in inner:
            return f"it is a key of '{name}': indent it below '{name}'"
        if "private" in inner and known_word(key, ["private"]):
            return f"did you mean '{with_value('private', key, text)}' below '{name}'?"
    outer = _key_of_outer_mapping(key, model, path, root)
    return outer or f"the keys here are {', '.join(fields)}"


def _key_of_outer_mapping(
    key: str, model: type[BaseModel], path: Sequence[int | str], root: Node
) -> str:
    """Return where to write a key that belongs further out; empty if it belongs nowhere."""
    for depth in reversed(range(len(path))):
        beside = next((part for part in path[depth:] if isinstance(part, str)), "exclude")
        meant = known_word(key, _model_at(model, path[:depth]).model_fields)
        # A pair is excluded by its sources alone.
        if meant and beside != "exclude" and meant not in root.find(path[:depth]).keys:
            written = "it" if meant == key else f"'{meant}'"
            return f"write {written} beside '{beside}', not below it"
    return ""


def _nearest_key(model: type[BaseModel], loc: tuple[int | str, ...], root: Node) -> str | None:
    """Return the key that an unknown key means; None if nothing is certain."""
    present = root.find(loc[:-1]).keys
    return meant_key(str(loc[-1]), _model_at(model, loc[:-1]).model_fields, present)


def _model_at(model: type[BaseModel], path: Iterable[int | str]) -> type[BaseModel]:
    """Return the model of the mapping at a path from the root, whose model is `model`."""
    for part in path:
        if isinstance(part, str):
            model = next(_models_in(model.model_fields[part].annotation))
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
