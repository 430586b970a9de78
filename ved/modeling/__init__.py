"""Flax models for people who train or serve a published checkpoint."""

from typing import Any

__all__ = ["FlaxVisionEncoderDecoderModel"]


def __getattr__(name: str) -> Any:
    """Import the class when it is used: it imports transformers, which the modules do not need."""
    if name == "FlaxVisionEncoderDecoderModel":
        from ved.modeling.vision_encoder_decoder import FlaxVisionEncoderDecoderModel

        return FlaxVisionEncoderDecoderModel
    raise AttributeError(name)
