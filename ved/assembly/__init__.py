"""Assemble one checkpoint from two sources: parameters, special tokens, processor files."""
