"""Read the action's inputs from the environment of a step."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inputs:
    """The action's inputs; action.yml says what each means."""

    manifest: Path
    token: str
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
    def read(cls, variables: Mapping[str, str]) -> "Inputs":
        """Read them from a runner's environment variables."""

        def value(name: str) -> str:
            return variables.get(f"INPUT_{name}", "").strip()

        def listed(name: str) -> tuple[str, ...]:
            return tuple(value(name).replace(",", " ").split())

        return cls(
            manifest=Path(value("MANIFEST") or "pairs.yaml"),
            token=value("TOKEN"),
            only=listed("ONLY"),
            endpoint=value("ENDPOINT").rstrip("/"),
            mode=value("MODE") or "build",
            shards=value("SHARDS") or "1",
            shard=value("SHARD"),
            max_disk=value("MAX-DISK"),
            results=value("RESULTS"),
            results_file=value("RESULTS-FILE"),
            allowed_namespaces=listed("ALLOWED-NAMESPACES"),
            checksums_file=value("CHECKSUMS-FILE"),
        )
