"""BuildRecord (ved.json): what went into a checkpoint, and what came out.

It holds no times and no paths of the machine, so the same inputs give the same bytes.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ved
from ved.ledger import Ledger
from ved.manifest import Pair
from ved.source import Snapshot, Source, sha256
from ved.token_ids import TokenIds

if TYPE_CHECKING:
    # Importing it imports jax and transformers, which what needs only FILE_NAME does not.
    from ved.assemble import Checkpoint

FILE_NAME = "ved.json"
FORMAT = 1
LIBRARIES = ("flax", "huggingface_hub", "jax", "jaxlib", "numpy", "transformers")


def make(
    encoder: Source, decoder: Source, checkpoint: "Checkpoint", pair: Pair | None = None
) -> dict[str, Any]:
    """Return the record of a checkpoint whose files are all in its directory.

    Args:
        pair: the manifest's entry, where there is one.
    """
    return {
        "format": FORMAT,
        "pair": pair.model_dump(mode="json", exclude_none=True) if pair else None,
        "sources": {"encoder": _source(encoder), "decoder": _source(decoder)},
        "token_ids": _token_ids(checkpoint.token_ids),
        "seed": checkpoint.settings.seed,
        "dtype": checkpoint.settings.dtype,
        "versions": {"ved": ved.__version__, **{name: version(name) for name in LIBRARIES}},
        "ledger": {ledger.role: _ledger(ledger) for ledger in checkpoint.ledgers},
        "files": _files(checkpoint.directory, checkpoint.weights_sha256),
    }


def write(record: Mapping[str, Any], directory: Path) -> None:
    """Write the record among the files that it describes."""
    (directory / FILE_NAME).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def _source(source: Source) -> dict[str, Any]:
    resolved = source.resolved
    return {
        **_snapshot(resolved.snapshot),
        "config": _snapshot(resolved.config_snapshot),
        "files": source.digests(),
    }


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {"name": snapshot.name, "commit": snapshot.commit}


def _token_ids(token_ids: TokenIds) -> dict[str, Any]:
    return {
        role: {"id": found.id, "token": found.token, "origin": found.origin}
        for role, found in vars(token_ids).items()
    }


def _ledger(ledger: Ledger) -> dict[str, Any]:
    return {
        "copied": {
            "/".join(path): {"file": match.weight.file, "tensor": match.weight.name}
            for path, match in ledger.copied.items()
        },
        "fresh": {"/".join(path): reason for path, reason in ledger.fresh.items()},
        "left_out": dict(ledger.left_out),
    }


def _files(directory: Path, known: Mapping[str, str]) -> dict[str, Any]:
    return {
        path.name: {"size": path.stat().st_size, "sha256": known.get(path.name) or sha256(path)}
        for path in sorted(directory.iterdir())
        if path.name != FILE_NAME
    }
