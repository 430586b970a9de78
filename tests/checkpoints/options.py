"""The options of test checkpoints, as keyword arguments."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from ved.localhub.samples import SampleOptions


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of every family.

    Args:
        seed: of the weights. The same options give the same files, byte for byte.
        hidden_size: width of the model, a multiple of its two attention heads.
        layout: "safetensors", one file; "sharded", two files and an index; "flax",
            flax_model.msgpack with the names of Flax, without buffers; "pickle",
            pytorch_model.bin.
        dtype: of all floating-point tensors. Integer buffers keep theirs.
        prefix: True: the file has the heads, and the base model's names have its prefix, as
            `ViTForImageClassification` saves them. False: neither, as `ViTModel` saves them.
            None: like the real checkpoint of the family.
        without: leave out tensors whose published names start with one of these.
        rename: replace texts in names, after everything else. With {"encoder.layer.": "blocks."}
            no name matches the model.
        config: values for config.json, which replace those of the family. Shapes follow them.
        license: the license in README.md. Empty: none. None: like the real checkpoint.
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

    @property
    def of_sample(self) -> SampleOptions:
        """The options of the sample that the checkpoint is a variant of."""
        return SampleOptions(
            seed=self.seed, hidden_size=self.hidden_size, dtype=self.dtype, config=self.config
        )


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(Options):
    """The options of vision encoders.

    Args:
        processor_size: size of the images of the image processor, in pixels per side.
    """

    processor_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class DecoderOptions(Options):
    """The options of text decoders.

    Args:
        tied: the names of the token embeddings, which the language-model head shares: only their
            own name, only the head's, or both (and the head's bias twice, too).
        tokenizer: "fast", as transformers 4 saves one; "slow", the same without tokenizer.json;
            "transformers5", as transformers 5 saves one whose class it does not know.
        extra_tokens: number of tokens that have no row in the embeddings.
    """

    tied: Literal["embedding", "head", "both"] = "embedding"
    tokenizer: Literal["fast", "slow", "transformers5"] = "fast"
    extra_tokens: int = 0


Keywords = ParamSpec("Keywords")
AnyOptions = TypeVar("AnyOptions")


def takes(
    options: Callable[Keywords, AnyOptions],
) -> Callable[[Callable[[Path, AnyOptions], None]], Callable[Concatenate[Path, Keywords], Path]]:
    """Return a decorator for `write(directory, options)`: it takes the options as keywords.

    The decorated function creates the directory if it is missing, and returns it.
    """

    def decorate(
        write: Callable[[Path, AnyOptions], None],
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
