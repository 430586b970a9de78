"""One pretrained checkpoint at one commit: its files, metadata, license, weights and headers.

A `SourceRef` of the manifest becomes a `Pinned` source (one request), then a `ResolvedSource` (its
config is downloaded and checked), then a `Source` (its files are on this machine).
"""

from ved.sources.digests import file_sha256
from ved.sources.licenses import LicenseProblem, license_problems
from ved.sources.metadata import SourceMetadata, merge_languages, merge_tags
from ved.sources.pinning import Pinned, pin
from ved.sources.snapshot import CONFIG, PROCESSING_FILES, Snapshot
from ved.sources.source import ResolvedSource, Source, inspect_source, resolve_source

__all__ = [
    "CONFIG",
    "PROCESSING_FILES",
    "LicenseProblem",
    "Pinned",
    "ResolvedSource",
    "Snapshot",
    "Source",
    "SourceMetadata",
    "file_sha256",
    "inspect_source",
    "license_problems",
    "merge_languages",
    "merge_tags",
    "pin",
    "resolve_source",
]
