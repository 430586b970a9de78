"""Measures what VED costs, against the script of today and against what a wire allows."""
