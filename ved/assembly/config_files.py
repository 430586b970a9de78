"""Read the config of a source with all defaults, and write config.json of a checkpoint.

Both do what the configuration classes of transformers 4.57 do, byte for byte, and need no
transformers. `ved.families.config_class` has the facts.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ved.assembly import generation_settings
from ved.assembly.config import CheckpointConfig, PartConfig, as_decoder, combine, not_a_part
from ved.assembly.special_tokens import DecoderSettings, SpecialTokens
from ved.errors import ErrorCode, VedError
from ved.families.config_class import COMMON, FORMAT, ConfigClass
from ved.families.config_classes import GPT2, VIT
from ved.manifest.fields import Dtype
from ved.modeling.families import DECODERS, ENCODERS
from ved.sources.snapshot import CONFIG
from ved.sources.source import ResolvedSource, Source

GENERATION_CONFIG = "generation_config.json"

_COMMON: Mapping[str, Any] = {**COMMON, **generation_settings.NEUTRAL}
"""The settings of every config, with their defaults."""

_NOT_KEPT = ("model_type", "num_labels", "torch_dtype", "transformers_version")
"""Settings that a config does not keep: others have what they say."""


def load_config(source: Source) -> PartConfig:
    """Return the config of a source: the known settings, without those of generation.

    Raises:
        VedError: a setting has a value that cannot be used.
    """
    resolved = source.resolved
    settings = generation_settings.without_task(resolved.config)
    # The config is published: it must have no path of this machine.
    settings["_name_or_path"] = resolved.config_snapshot.name
    try:
        completed = complete(resolved.family.config_class, settings).settings
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # of a damaged config
        raise VedError(
            f"The config of {resolved.config_snapshot} cannot be read: {error}.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        ) from error
    # Older forms of these settings have given them values.
    neutral = {**completed, **generation_settings.NEUTRAL}
    return PartConfig(resolved.family.config_class, neutral)


def complete(config_class: ConfigClass, given: Mapping[str, Any]) -> PartConfig:
    """Return a config with all settings of its class.

    Args:
        config_class: the class.
        given: some settings, by any of their names.
    """
    renamed = {
        config_class.other_names[name]: value
        for name, value in given.items()
        if name in config_class.other_names
    }
    kept = {
        name: value
        for name, value in given.items()
        if name not in config_class.other_names and name not in _NOT_KEPT
    }
    settings: dict[str, Any] = {**_COMMON, **_defaults(config_class), **kept, **renamed}
    if settings["dtype"] is None:
        settings["dtype"] = given.get("torch_dtype")
    settings |= _labels(given, config_class.num_labels)
    for name, compute in config_class.computed.items():
        settings[name] = compute(settings)
    return PartConfig(config_class, settings)


def _defaults(config_class: ConfigClass) -> Mapping[str, Any]:
    """Return the defaults of the settings of a class, besides those that every config has."""
    families: Mapping[str, Any] = {**ENCODERS, **DECODERS}
    computed = {
        config_class.names.get(field.name, field.name): _in_json(field.default)
        for field in fields(families[config_class.model_type].settings)
        if field.name not in config_class.without
    }
    return {**computed, **config_class.defaults, "model_type": config_class.model_type}


def _in_json(default: Any) -> Any:
    """Return a default of `ved.modeling` as configs have it: a square has one number."""
    if not isinstance(default, tuple):
        return default
    return default[0] if len(default) == 2 and default[0] == default[1] else [*default]


def _labels(given: Mapping[str, Any], default: int) -> dict[str, Any]:
    """Return the names of labels, which `num_labels` may stand for."""
    names = given.get("id2label")
    if names is not None:
        numbered = {str(int(number)): name for number, name in names.items()}
        return {"id2label": numbered, "label2id": given.get("label2id")}
    count = given.get("num_labels", default)
    labels = [f"LABEL_{number}" for number in range(2 if count is None else count)]
    return {
        "id2label": {str(number): name for number, name in enumerate(labels)},
        "label2id": {name: number for number, name in enumerate(labels)},
    }


def config_content(config: CheckpointConfig) -> dict[str, Any]:
    """Return the content of config.json: the settings that differ from their defaults."""
    return {
        **config.settings,
        "architectures": ["VisionEncoderDecoderModel"],
        "encoder": _published(config.encoder),
        "decoder": _published(config.decoder),
        "is_encoder_decoder": True,
        "model_type": "vision-encoder-decoder",
        "transformers_version": FORMAT,
    }


def _published(config: PartConfig) -> dict[str, Any]:
    """Return the settings of a part in config.json; all that not every config has are in it."""
    defaults = complete(config.config_class, {}).settings
    published = {
        name: value
        for name, value in config.settings.items()
        if name not in _COMMON or value != defaults[name]
    }
    published["model_type"] = config.config_class.model_type
    published.pop("transformers_version", None)
    if "id2label" in published:  # which is sorted by number
        published["id2label"] = {int(key): name for key, name in published["id2label"].items()}
    return published


def write_config(config: CheckpointConfig, directory: Path, dtype: Dtype) -> None:
    """Write config.json of a checkpoint.

    Args:
        config: the config of the checkpoint.
        directory: the directory of the checkpoint.
        dtype: the dtype that the manifest asks for.

    Raises:
        OSError: the file cannot be written.
    """
    content = config_content(config)
    if dtype != "source":
        for part in (content, content["encoder"], content["decoder"]):
            part["dtype"] = dtype
    _write_json(directory / CONFIG, content)


def write_trial_config(config: PartConfig, source: ResolvedSource, directory: Path) -> None:
    """Write the config of a checkpoint that has this half, for `trials.try_config`.

    The other half is a placeholder: a config has two halves side by side, and no setting of one
    changes the other.

    Args:
        config: the config of a source.
        source: the source.
        directory: an existing directory.

    Raises:
        VedError: the config cannot be a part of a checkpoint.
        OSError: the file cannot be written.
    """
    halves = {"encoder": complete(VIT, {}), "decoder": complete(GPT2, {}), source.role: config}
    combined = combine(halves["encoder"], as_decoder(halves["decoder"]))
    try:
        write_config(combined, directory, "source")
    except OSError:
        raise
    except Exception as error:  # of strange settings
        raise not_a_part(source.role, str(source.config_snapshot), error) from error


def write_generation_config(
    tokens: SpecialTokens, of_decoder: DecoderSettings, directory: Path
) -> None:
    """Write generation_config.json of a checkpoint.

    Args:
        tokens: its special tokens.
        of_decoder: the settings of its decoder.
        directory: the directory of the checkpoint.

    Raises:
        OSError: the file cannot be written.
    """
    ids = {f"{role}_token_id": token.id for role, token in vars(tokens.ids).items()}
    if tokens.bos is not None:
        ids["bos_token_id"] = tokens.bos
    kept = generation_settings.kept_settings(
        of_decoder.config, of_decoder.generation, of_decoder.loaded["vocab_size"]
    )
    _write_json(directory / GENERATION_CONFIG, {**kept, **ids, "transformers_version": FORMAT})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
