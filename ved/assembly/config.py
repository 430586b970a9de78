"""The config of a checkpoint as data: that of its encoder, that of its decoder, and its own.

`ved.assembly.config_files` reads the configs of sources, and writes that of a checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ved.errors import ErrorCode, VedError
from ved.families.config_class import ConfigClass
from ved.families.family import Role
from ved.text import first_line


@dataclass(frozen=True)
class PartConfig:
    """The config of an encoder or a decoder. Settings can be read under all of their names.

    Attributes:
        config_class: the facts about the configs of its family.
        settings: all settings by their usual names, with values that JSON has.
    """

    config_class: ConfigClass
    settings: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.settings[self.config_class.other_names.get(name, name)]

    def __contains__(self, name: str) -> bool:
        return self.config_class.other_names.get(name, name) in self.settings

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or a default if the family has no such setting."""
        return self.settings.get(self.config_class.other_names.get(name, name), default)

    def changed(self, **settings: Any) -> "PartConfig":
        """Return a config with other values of some settings."""
        return replace(self, settings={**self.settings, **settings})


@dataclass(frozen=True)
class CheckpointConfig:
    """The config of a checkpoint.

    Attributes:
        encoder: the config of its encoder.
        decoder: the config of its decoder.
        settings: the settings of both together.
    """

    encoder: PartConfig
    decoder: PartConfig
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_projection(self) -> bool:
        """Whether a projection gives the encoder's states the width of the decoder."""
        return bool(self.encoder["hidden_size"] != self.decoder["hidden_size"])


def combine(encoder: PartConfig, decoder: PartConfig) -> CheckpointConfig:
    """Return the config of a checkpoint with two halves.

    Args:
        encoder: the config of the encoder.
        decoder: the config of the decoder, which `as_decoder` returns.
    """
    config = CheckpointConfig(encoder, decoder)
    # transformers reads initializer_range of every decoder to draw the projection, also whenever
    # the checkpoint is loaded. BART calls this setting init_std.
    if config.has_projection and "initializer_range" not in decoder:
        decoder = decoder.changed(initializer_range=decoder["init_std"])
    return replace(config, decoder=decoder)


def as_decoder(config: PartConfig) -> PartConfig:
    """Return the config that a source has as the decoder of a checkpoint."""
    changes: dict[str, Any] = {
        "is_decoder": True,
        "add_cross_attention": True,
        "is_encoder_decoder": False,  # only the decoder of BART is in the checkpoint
    }
    # PyTorch with transformers 4.57 sizes the cache of BART's decoder by the layers of the encoder,
    # which is not in the checkpoint: it needs as many as the decoder has, or more.
    layers = config.get("decoder_layers", 0)
    if config.get("encoder_layers", layers) < layers:
        changes |= {"encoder_layers": layers, "num_hidden_layers": layers}
    return config.changed(**changes)


def not_a_part(role: Role, origin: str, error: Exception) -> VedError:
    """Return the error for a config that is read, and cannot be a part of a checkpoint.

    Args:
        role: the role of its source.
        origin: the origin of the config.
        error: the reason.
    """
    return VedError(
        f"The config of {origin} cannot be a part of a checkpoint: transformers fails to write "
        f"or read its settings ({first_line(error)}).",
        f"Use another config: {role}: {{model: ..., config: ...}}.",
        code=ErrorCode.CONFIG_NOT_USABLE,
    )
