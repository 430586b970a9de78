"""A sample checkpoint in memory, its options, and its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ved.localhub.samples.formats import ConfigForm, SampleConfig, Settings, write_json
from ved.localhub.samples.vocabularies import SampleTokenizer, TokenizerFormat
from ved.localhub.samples.weights import (
    DType,
    Layout,
    Tensors,
    cast,
    under,
    without_tied_names,
    write_weights,
)


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """The options of a sample.

    Attributes:
        seed: of the weights. The same options give the same files, byte for byte.
        hidden_size: width of the model, a multiple of its two attention heads.
        dtype: of all floating-point tensors.
        layout: of the weights: one safetensors file, two "sharded" ones with an index, or
            "flax" for flax_model.msgpack.
        tokenizer_format: of the tokenizer's files: those of transformers 4, or those that
            "transformers5" saves if it does not know the class of the tokenizer.
        config: values for config.json, which replace those of the family. Shapes follow them.
    """

    seed: int = 0
    hidden_size: int = 32
    dtype: DType = "float32"
    layout: Layout = "safetensors"
    tokenizer_format: TokenizerFormat = "transformers4"
    config: Mapping[str, Any] = field(default_factory=dict)

    def build_config(self, form: ConfigForm, **family: Any) -> SampleConfig:
        """Return a config with two small layers.

        Args:
            form: the class of the config.
            family: values of the family.
        """
        small = {
            "hidden_size": self.hidden_size,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "dtype": self.dtype,
        }
        return form(**{**small, **family, **self.config})


DEFAULT_OPTIONS = SampleOptions()


@dataclass(frozen=True, kw_only=True)
class SampleCheckpoint:
    """A sample checkpoint in memory.

    Several names may share one array. Such weights are tied, and only the first name is written.

    Attributes:
        options: the options of the sample.
        config: the config.
        base: the tensors of the base model, by their names in the base model.
        base_architecture: the class in config.json if the file has no heads.
        heads: the tensors of the heads, by their names in a file with heads.
        head_architecture: the class in config.json if the file has the heads.
        prefix: the first part of the base model's names in a file with heads.
        has_heads: whether the real checkpoint has the heads.
        license: the license in README.md. Empty: none.
        language: the language in README.md, as YAML, if any.
        image_processor: preprocessor_config.json of an encoder.
        tokenizer: the tokenizer of a decoder.
        has_generation_config: whether the real checkpoint has generation_config.json.
    """

    options: SampleOptions
    config: SampleConfig
    base: Tensors
    base_architecture: str
    heads: Tensors
    head_architecture: str
    prefix: str
    has_heads: bool
    license: str
    language: str | None = None
    image_processor: Settings | None = None
    tokenizer: SampleTokenizer | None = None
    has_generation_config: bool = False

    @property
    def tensors(self) -> Tensors:
        """All tensors by their names in the file, with all names of tied ones."""
        return under(self.prefix, self.base) | self.heads if self.has_heads else self.base

    @property
    def flax_prefix(self) -> str:
        """The beginning of all names in a file of Flax: a head's class has a name for its base."""
        names_head = self.base_architecture == self.head_architecture
        return f"{self.prefix}." if names_head and not self.has_heads else ""

    def write(self, directory: Path) -> Path:
        """Write the checkpoint into a directory, which is created if missing, and return it."""
        self.write_settings(directory)
        tensors = cast(without_tied_names(self.tensors), self.options.dtype)
        write_weights(directory, tensors, self.options.layout, self.flax_prefix)
        if self.tokenizer:
            self.tokenizer.write(directory, self.options.tokenizer_format)
        return directory

    def write_settings(self, directory: Path) -> None:
        """Write all files except the weights and the tokenizer's."""
        directory.mkdir(parents=True, exist_ok=True)
        architecture = self.head_architecture if self.has_heads else self.base_architecture
        write_json(
            directory / "config.json", {**self.config.written(), "architectures": [architecture]}
        )
        (directory / "README.md").write_text(self._readme())
        if self.image_processor:
            write_json(directory / "preprocessor_config.json", self.image_processor)
        if self.has_generation_config:
            write_json(directory / "generation_config.json", self.config.generation())

    def _readme(self) -> str:
        metadata = {"language": self.language, "license": self.license}
        lines = [f"{key}: {value}" for key, value in metadata.items() if value]
        note = "Tiny, with random weights: for demonstrations and tests only."
        return "\n".join(["---", *lines, "---", "", f"# {self.config.model_type}", "", note, ""])
