"""The files with settings that transformers 4.57.6 writes for its classes, without the classes.

A release of transformers writes the settings that it has, so the files would change with each one.
formats.json has the default settings of each class. Tests have classes of their own in a file of
the same form.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

Settings: TypeAlias = dict[str, Any]

VERSION = "4.57.6"


class SampleConfig:
    """The settings of a sample. Each is an attribute, under all of its names.

    Args:
        form: the class of the config.
        given: settings that differ from the defaults of the class.
    """

    def __init__(self, form: "ConfigForm", given: Mapping[str, Any]) -> None:
        self.form = form
        self.settings = form.defaults | form.with_own_names(given)
        form.derive(self.settings, given)

    def __getattr__(self, name: str) -> Any:
        if name == "num_labels":
            return len(self.settings["id2label"])
        try:
            return self.settings[self.form.aliases.get(name, name)]
        except KeyError:
            raise AttributeError(name) from None

    def written(self) -> Settings:
        """Return the content of config.json. Settings of every class are only there if unusual."""
        return {
            name: value
            for name, value in self.settings.items()
            if name not in _EVERY_CONFIG
            or value != _EVERY_CONFIG[name]
            or value != self.form.defaults[name]
        } | {"transformers_version": VERSION}

    def generation(self) -> Settings:
        """Return the content of generation_config.json."""
        found = {
            name: value
            for name, value in self.settings.items()
            if name in _GENERATION and value is not None and value != _GENERATION[name]
        }
        return {**found, "_from_model_config": True, "transformers_version": VERSION}


@dataclass(frozen=True)
class ConfigForm:
    """A class of configs.

    Attributes:
        name: its name, without `Config`.
        own: the settings that not every class has, with the defaults.
        aliases: other names of settings.
    """

    name: str
    own: Mapping[str, Any]
    aliases: Mapping[str, str]

    @cached_property
    def defaults(self) -> Settings:
        """All settings of the class, with the defaults."""
        return {**_EVERY_CONFIG, **self.own}

    @property
    def _has_stages(self) -> bool:
        return "depths" in self.own

    def __call__(self, **given: Any) -> SampleConfig:
        """Return a config with some settings."""
        return SampleConfig(self, given)

    def with_own_names(self, given: Mapping[str, Any]) -> Settings:
        """Return settings under their own names; other names count more, as in transformers."""
        own = {name: value for name, value in given.items() if name not in self.aliases}
        if self._has_stages:  # the classes with stages ignore the other names
            return own
        others = {self.aliases[name]: given[name] for name in given if name in self.aliases}
        return own | others

    def derive(self, settings: Settings, given: Mapping[str, Any]) -> None:
        """Set the settings that follow from others."""
        if self._has_stages:
            depths = settings["depths"]
            settings["num_layers"] = len(depths)
            settings["hidden_size"] = settings["embed_dim"] * 2 ** (len(depths) - 1)
        if "pooler_output_size" in self.own and not given.get("pooler_output_size"):
            settings["pooler_output_size"] = settings["hidden_size"]
        if "stage_names" in self.own:
            last = len(settings["depths"]) if self._has_stages else settings["num_hidden_layers"]
            settings["stage_names"] = ["stem", *(f"stage{each + 1}" for each in range(last))]
            settings["out_features"], settings["out_indices"] = [f"stage{last}"], [last]
        if "num_labels" in settings:
            labels = {str(each): f"LABEL_{each}" for each in range(settings.pop("num_labels"))}
            settings["id2label"] = labels
            settings["label2id"] = {label: int(number) for number, label in labels.items()}


@dataclass(frozen=True)
class Formats:
    """The classes in a file.

    Attributes:
        configs: classes of configs, by their names without `Config`.
        image_processors: preprocessor_config.json, by class.
        tokenizers: by class: `tokenizer`, `config` and `special_tokens_map`.
    """

    configs: Mapping[str, ConfigForm]
    image_processors: Mapping[str, Settings]
    tokenizers: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> "Formats":
        """Read a file with classes."""
        content = json.loads(path.read_text("utf-8"))
        configs = {
            name: ConfigForm(name, form["settings"], form["aliases"])
            for name, form in content["configs"].items()
        }
        return cls(configs, content["image_processors"], content["tokenizers"])


def write_json(path: Path, content: Mapping[Any, Any]) -> None:
    """Write a file as transformers does."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(f"{text}\n", "utf-8")


_PATH = Path(__file__).with_name("formats.json")
_EVERY_CONFIG: Settings = json.loads(_PATH.read_text("utf-8"))["every_config"]
_GENERATION: Settings = json.loads(_PATH.read_text("utf-8"))["generation"]
FORMATS = Formats.read(_PATH)
