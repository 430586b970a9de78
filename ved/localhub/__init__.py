"""A Hugging Face Hub on loopback, with real git repositories, LFS objects and Xet.

It is for demonstrations and tests. The unmodified huggingface_hub client, 0.36.2 and 2.x, publishes
to it and downloads from it. docs/localhub.md lists its endpoints and its limits.

Everything that this package exports is public API. The sample checkpoints are in
`ved.localhub.samples`, which imports huggingface_hub and tokenizers.
"""

from ved.localhub.behavior import Behavior, Restriction
from ved.localhub.faults import Exchange, Faults
from ved.localhub.identities import Organization, Role
from ved.localhub.limits import ActionLimit, RateLimit
from ved.localhub.server import LocalHub

__all__ = [
    "ActionLimit",
    "Behavior",
    "Exchange",
    "Faults",
    "LocalHub",
    "Organization",
    "RateLimit",
    "Restriction",
    "Role",
]
