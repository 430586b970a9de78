"""Measures assembly against the script that people use today; `make bench` runs it."""
