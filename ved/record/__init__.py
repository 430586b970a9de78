"""The description of a checkpoint: its build record (ved.json), fingerprint and model card.

`build_record` and `entries` define ved.json, and `creation` fills it in. `fingerprint` computes
the digest of everything that decides a checkpoint's bytes. `card` renders the model card with the
code of `snippets`. `output_directory` replaces the directory of a checkpoint as a whole.
"""

from ved.record.build_record import BuildRecord, parse_record, recorded_pair, write_record
from ved.record.entries import (
    MAX_GIT_BLOB_BYTES,
    Copied,
    RecordedFile,
    RecordedLedger,
    RecordedSnapshot,
    RecordedSource,
)

__all__ = [
    "MAX_GIT_BLOB_BYTES",
    "BuildRecord",
    "Copied",
    "RecordedFile",
    "RecordedLedger",
    "RecordedSnapshot",
    "RecordedSource",
    "parse_record",
    "recorded_pair",
    "write_record",
]
