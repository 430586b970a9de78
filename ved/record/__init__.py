"""Describe a checkpoint: the build record (ved.json), its fingerprint, and the model card."""
