"""The program that the container runs, isolated from the workspace: `python -I entrypoint.py`.

With `-I`, Python imports nothing from the working directory or the home, and ignores the variables
that begin with PYTHON. This file removes other variables by which a library loads code or settings,
or writes keys to a file, before anything reads them. LD_PRELOAD has had its effect by then.
"""

import os
import sys

_PREFIXES = ("FSSPEC_", "OPENSSL_", "PYDANTIC_", "PYTHON", "RUST_", "SSLKEYLOGFILE")
"""How the names of the removed variables begin. `ved.environment` removes those of jax and others.
Proxies and certificates are the workflow's own choice, and stay."""


def main() -> None:
    """Remove the variables, and run the action."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES):
            del os.environ[name]
    # requests would send the passwords in ~/.netrc, which are none of VED's.
    os.environ["NETRC"] = os.devnull
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

    from ved.action import run

    run()


if __name__ == "__main__":
    main()
