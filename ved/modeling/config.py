"""The config of a checkpoint, whose settings are attributes."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ved.modeling.errors import ModelingError


class Config:
    """The content of config.json. Settings are attributes; nested ones are configs, too.

    Args:
        values: the settings.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            nested = isinstance(value, Mapping) and name in ("encoder", "decoder")
            setattr(self, name, Config(value) if nested else copy.deepcopy(value))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"The config has no setting {name!r}.")

    def __repr__(self) -> str:
        return f"Config {json.dumps(self.to_dict(), indent=2, sort_keys=True)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as nested dictionaries."""
        return {
            name: value.to_dict() if isinstance(value, Config) else copy.deepcopy(value)
            for name, value in vars(self).items()
        }


def read_settings(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; nothing if there is no file.

    Raises:
        ModelingError: it is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ModelingError(f"{path.name} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ModelingError(f"{path.name} is not a JSON object.")
    return content
