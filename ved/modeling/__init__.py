"""Flax models for people who train or serve a published checkpoint.

They need jax, flax, safetensors and huggingface_hub. They need neither transformers nor the rest of
VED, and work beside any version of transformers.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ved.modeling.model import FlaxVisionEncoderDecoderModel

__all__ = ["FlaxVisionEncoderDecoderModel"]


def __getattr__(name: str) -> Any:
    # The modules of the models are used without the class, whose import takes longer.
    if name == "FlaxVisionEncoderDecoderModel":
        from ved.modeling.model import FlaxVisionEncoderDecoderModel

        return FlaxVisionEncoderDecoderModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
