"""What can be asked of a checkpoint, and the decorator that lets it be asked by keyword."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every family can be asked for; None leaves the habit of the family's real repository.

    Args:
        seed: of the weights; the same seed gives the same files, byte for byte.
        hidden_size: width of the model, a multiple of its two attention heads.
        layout: "safetensors", one file; "sharded", two of them and an index; "flax",
            flax_model.msgpack with what the Flax class finds among the tensors; "pickle",
            pytorch_model.bin.
        dtype: of every floating-point tensor; integer buffers keep theirs.
        prefix: whether the base model's names start with its prefix and its heads are there (as
            `ViTForImageClassification` saves), or neither (as `ViTModel` saves).
        without: tensors whose published names start with one of these are left out.
        rename: text in names -> what to write instead, after all else. {"encoder.layer.":
            "blocks."} makes names that match nothing.
        config: values of config.json that go before the family's own: {"num_hidden_layers": 3},
            {"pad_token_id": 5000}. Shapes follow them.
        license: in the README's front matter; "" writes none.
    """

    seed: int = 0
    hidden_size: int = 32
    layout: Literal["safetensors", "sharded", "flax", "pickle"] = "safetensors"
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    prefix: bool | None = None
    without: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    license: str | None = None

    def prefixed(self, *, by_default: bool) -> bool:
        """Whether names start with the base model's prefix, given the family's habit."""
        return by_default if self.prefix is None else self.prefix

    def configure(self, config_class: Callable[..., Any], **family: Any) -> Any:
        """Return a config of two small layers with the family's values and those asked for."""
        small = {
            "hidden_size": self.hidden_size,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "dtype": self.dtype,
        }
        return config_class(**{**small, **family, **self.config})


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(Options):
    """What a vision encoder can be asked for besides.

    Args:
        processor_size: pixels on a side of the images that the processor makes.
    """

    processor_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class DecoderOptions(Options):
    """What a text decoder can be asked for besides.

    Args:
        tied: where the token embeddings, which the language-model head shares, are written: under
            their own name, under the head's, or under both (and the head's bias twice, too).
        tokenizer: "fast", as transformers 4 saves one; "slow", the same without tokenizer.json;
            "transformers5", as transformers 5 saves one whose class it does not know.
        extra_tokens: how many tokens the tokenizer has beyond the rows of the embeddings.
    """

    tied: Literal["embedding", "head", "both"] = "embedding"
    tokenizer: Literal["fast", "slow", "transformers5"] = "fast"
    extra_tokens: int = 0


Keywords = ParamSpec("Keywords")
Asked = TypeVar("Asked")


def asked_by(
    options: Callable[Keywords, Asked],
) -> Callable[[Callable[[Path, Asked], None]], Callable[Concatenate[Path, Keywords], Path]]:
    """Turn a writer that takes `options` into one that takes their fields as keywords.

    The result makes the directory if need be and returns it.
    """

    def decorate(
        write: Callable[[Path, Asked], None],
    ) -> Callable[Concatenate[Path, Keywords], Path]:
        @functools.wraps(write)
        def checkpoint(
            directory: Path, /, *args: Keywords.args, **keywords: Keywords.kwargs
        ) -> Path:
            directory.mkdir(parents=True, exist_ok=True)
            write(directory, options(*args, **keywords))
            return directory

        return checkpoint

    return decorate
