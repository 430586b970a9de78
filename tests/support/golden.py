"""The bytes of a sample checkpoint, kept so that a change of them does not go unnoticed.

`python -m tests.support.golden` writes golden.json again, after a change of the libraries or of
ASSEMBLY_VERSION.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ved import environment

environment.prepare_once()  # before jax and transformers are imported

from tests import checkpoints  # noqa: E402
from tests.support import building  # noqa: E402
from ved.record import fingerprint  # noqa: E402
from ved.sources.digests import file_sha256  # noqa: E402

PATH = Path(__file__).with_name("golden.json")
INPUTS = ("assembly", "versions", "sources")


def describe(folder: Path) -> dict[str, Any]:
    """Assemble a sample in an empty folder; return digests, and all that may change them."""
    encoder, decoder = checkpoints.vit(folder / "vit"), checkpoints.gpt2(folder / "gpt2")
    building.assemble_pair(encoder, decoder, folder / "checkpoint")
    return {
        "assembly": fingerprint.ASSEMBLY_VERSION,
        "versions": {name: version(name) for name in fingerprint.REPRODUCIBILITY_LIBRARIES},
        "sources": {path.name: _digests(path) for path in (encoder, decoder)},
        "files": _digests(folder / "checkpoint"),
    }


def _digests(directory: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(directory.iterdir())}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PATH.write_text(json.dumps(describe(Path(name)), indent=2) + "\n")
