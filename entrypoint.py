"""The program that the container runs, isolated from the workspace: `python -I entrypoint.py`.

With `-I`, Python imports nothing from the working directory or the home, and ignores the variables
that begin with PYTHON. This file removes other variables by which a library loads code, or
settings, or writes keys to a file. It imports nothing that reads them before.
"""

import os
import sys

_LIBRARIES = (
    *("FSSPEC_", "FLAX_", "HF_MODULES_CACHE", "HF_XET_LOG", "JAX_", "NPY_", "NUMPY_"),
    *("OPENSSL_", "PYDANTIC_", "PYTHON", "PYTORCH_", "RUST_", "SSLKEYLOGFILE", "TF_", "TORCH_"),
    *("TRANSFORMERS_", "USE_", "XLA_"),
)
"""How the names of the removed variables begin. Proxies, certificates and the Hub's cache are the
workflow's own choice, and stay. LD_PRELOAD has had its effect before Python starts."""


def main() -> None:
    """Remove the variables, and run the action."""
    for name in list(os.environ):
        if name.startswith(_LIBRARIES):
            del os.environ[name]
    # requests would send the passwords in ~/.netrc, which are none of VED's.
    os.environ["NETRC"] = os.devnull
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

    from ved.action import run

    run()


if __name__ == "__main__":
    main()
