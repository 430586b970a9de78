"""Flax models for people who train or serve a published checkpoint."""

from ved.modeling.vision_encoder_decoder import FlaxVisionEncoderDecoderModel

__all__ = ["FlaxVisionEncoderDecoderModel"]
