"""Decide what to do for each pair, and why, before anything is downloaded or written."""
