"""A Hugging Face Hub on loopback, with real git repositories and LFS objects behind it.

For demonstrations and tests: the unmodified huggingface_hub client, at 0.36.2 and at 2.x, publishes
to it and downloads from it. What it speaks and what it leaves out: docs/localhub.md.
"""

from ved.localhub.faults import Exchange, Faults
from ved.localhub.server import LocalHub

__all__ = ["Exchange", "Faults", "LocalHub"]
