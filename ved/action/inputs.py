"""Read the action's inputs from the environment of a step.

Source of the format: https://docs.github.com/actions/reference/workflows-and-actions/metadata-syntax#inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inputs:
    """The action's inputs; action.yml describes each."""

    manifest: Path
    token: str
    keyless: str
    only: tuple[str, ...]
    endpoint: str
    mode: str
    shards: str
    shard: str
    max_disk: str
    results: str
    results_file: str
    allowed_namespaces: tuple[str, ...]
    checksums_file: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Inputs":
        """Return the inputs from the environment variables that the runner sets.

        An empty input is the same as an absent one and gets its default.
        """

        def value(name: str) -> str:
            return environ.get(f"INPUT_{name}", "").strip()

        def items(name: str) -> tuple[str, ...]:
            return tuple(value(name).replace(",", " ").split())

        return cls(
            manifest=Path(value("MANIFEST") or "pairs.yaml"),
            token=value("TOKEN"),
            keyless=value("KEYLESS").lower(),
            only=items("ONLY"),
            endpoint=value("ENDPOINT").rstrip("/"),
            mode=value("MODE") or "build",
            shards=value("SHARDS") or "1",
            shard=value("SHARD"),
            max_disk=value("MAX-DISK"),
            results=value("RESULTS"),
            results_file=value("RESULTS-FILE"),
            allowed_namespaces=items("ALLOWED-NAMESPACES"),
            checksums_file=value("CHECKSUMS-FILE"),
        )
