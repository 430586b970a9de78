"""The process of one target. Its arguments are the target's name, and those of libFuzzer."""

import sys

import atheris

with atheris.instrument_imports(include=["ved"], enable_loader_override=False):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
