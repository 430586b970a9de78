"""Hostile input, through the real entry points."""
