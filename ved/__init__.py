"""Warm-start vision encoder-decoder checkpoints from a manifest and publish them to the Hub."""

__version__ = "0.1.0"
