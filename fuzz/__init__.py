"""Fuzz the readers of untrusted files: `make fuzz`.

`targets` has a function for each reader. `corpus/` has inputs for each, which the tests replay. New
findings go to `fuzz/findings/`.
"""
