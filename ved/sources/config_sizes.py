"""Check the sizes in a config before a class of transformers reads it.

The classes allocate as they read: a label for each of `num_labels`, a name for each layer. They
also accept values of any type, and fail with them only much later.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ved import limits
from ved.errors import ErrorCode, VedError
from ved.sources.snapshot import Snapshot
from ved.text import join_limited, quoted_value


def check_sizes(config: Mapping[str, Any], snapshot: Snapshot) -> None:
    """Check the settings that are sizes, also those of configs inside of the config.

    Args:
        config: the content of config.json.
        snapshot: its origin, for the error.

    Raises:
        VedError: a size is not an integer, or out of range.
    """
    problems = [problem for each in _mappings(config) for problem in _problems(each)]
    if problems:
        raise VedError(
            f"The config of {snapshot} has sizes that VED does not accept: "
            f"{join_limited(problems, '; ')}.",
            "Use the config that belongs to the weights.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        )


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield a mapping, and all mappings inside of it. `strict_json` bounds the nesting."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _mappings(member)


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name, value in config.items():
        if value is None:  # the default of the class
            continue
        if name in limits.CONFIG_SIZES:
            low, high = limits.CONFIG_SIZES[name]
            members = value if isinstance(value, list) else [value]
            most = limits.CONFIG_SIZE_LISTS.get(name, 0) if members is value else 1
            # True is an int, too.
            valid = all(type(each) is int and low <= each <= high for each in members)
            if not valid or not 1 <= len(members) <= most:
                yield f"{name} is {quoted_value(value)} instead of an integer from {low} to {high}"
        elif name == "mlp_ratio":
            if type(value) not in (int, float) or not 0 < value <= limits.MLP_RATIO:
                yield (
                    f"{name} is {quoted_value(value)} instead of a number up to {limits.MLP_RATIO}"
                )
        elif isinstance(value, dict | list):
            limit = limits.CONFIG_LISTS.get(name, limits.LIST_LENGTH)
            if len(value) > limit:
                yield f"{quoted_value(name)} has {len(value)} members instead of up to {limit}"
