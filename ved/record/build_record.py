"""The build record, ved.json: the inputs of a checkpoint and the files that were written.

A record has no times and no absolute paths, so the same inputs give the same bytes. VED derives
everything else from it: the model card, the decision to rebuild, and `ved verify`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from ved.assembly.processing_files import Package
from ved.assembly.special_tokens import TokenRole
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.manifest.fields import Dtype, WeightFormat, is_local
from ved.manifest.pair_models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.record.entries import (
    Count,
    Digest,
    FileName,
    PartRole,
    RecordedFile,
    RecordedLedger,
    RecordedSource,
    RecordedTokenId,
    RecordModel,
    Version,
)
from ved.sources.pinning import last_name
from ved.text import MAX_QUOTED, join_limited, printable, quoted

FILE_NAME = "ved.json"
MAX_BYTES = 16 * 2**20
"""The largest record that is read, in bytes."""

PUBLISHING_KEYS = {"private", "adopt", "overwrite", "check", "collection"}
"""Keys of a manifest's entry that are about publishing and not about the checkpoint."""


def _with_keys(*names: str) -> AfterValidator:
    """Return a validator that refuses a mapping without these keys."""

    def check(mapping: Mapping[str, object]) -> Mapping[str, object]:
        missing = [name for name in names if name not in mapping]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}")
        return mapping

    return AfterValidator(check)


class BuildRecord(RecordModel):
    """The content of ved.json.

    Attributes:
        format: the version of this format.
        fingerprint: the digest of everything that decides the bytes of the checkpoint; the model
            card is not part of it.
        card_digest: the digest of the card's other content; None without a card.
        endpoint: the Hub that the sources came from.
        pair: the manifest's entry as `recorded_pair` returns it; None without a manifest.
        sources: encoder and decoder.
        token_ids: the special tokens.
        seed: the seed of the newly initialized parameters.
        dtype: the dtype that was asked for.
        weights: the formats of the weight files.
        num_parameters: how many numbers the parameters have together.
        jax_threefry_partitionable: the setting of jax that also decides the random numbers.
        versions: of VED and its libraries, by name.
        assembly_version: the `ASSEMBLY_VERSION` of VED, which counts changes of the bytes.
        ledger: the origin of every parameter, by part.
        files: the files that were written, except ved.json.
        packages: what people have to install for the tokenizer, besides transformers; None if
            nothing.
    """

    format: Literal[1] = 1
    fingerprint: Digest
    card_digest: Digest | None = None
    endpoint: str
    pair: Pair | None = None
    sources: Annotated[Mapping[Role, RecordedSource], Field(min_length=2)]
    token_ids: Annotated[Mapping[TokenRole, RecordedTokenId], Field(min_length=3)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    dtype: Dtype
    weights: Annotated[tuple[WeightFormat, ...], Field(min_length=1)]
    num_parameters: Count
    jax_threefry_partitionable: bool
    versions: Annotated[Mapping[str, Version], _with_keys("transformers", "flax", "jax")]
    assembly_version: Count
    ledger: Annotated[Mapping[PartRole, RecordedLedger], _with_keys("encoder", "decoder")]
    files: Mapping[FileName, RecordedFile]
    packages: tuple[Package, ...] | None = None

    @property
    def settings(self) -> CheckpointSettings:
        """The settings of the build."""
        token_ids = self.pair.token_ids.model_dump(exclude_none=True) if self.pair else {}
        weights = tuple(sorted({*self.weights}))
        return CheckpointSettings(token_ids, self.seed, self.dtype, weights)

    @property
    def dtypes(self) -> set[str]:
        """The dtypes that the parameters are stored in."""
        return {dtype for part in self.ledger.values() for dtype in part.summary.dtypes}

    def with_files(self, directory: Path, known: Mapping[str, str] | None = None) -> "BuildRecord":
        """Return the record with the files of a directory that it lacks.

        Args:
            directory: the checkpoint's directory.
            known: the sha256 of files that are hashed already, by name.
        """
        found = {
            path.name: RecordedFile.of(path, (known or {}).get(path.name))
            for path in directory.iterdir()
            if path.name != FILE_NAME and path.name not in self.files
        }
        files = dict(sorted({**self.files, **found}.items()))
        return self.model_copy(update={"files": files})

    @property
    def weight_files(self) -> dict[str, RecordedFile]:
        """The published files that hold weights, by name."""
        suffixes = (".msgpack", ".safetensors")
        return {name: file for name, file in self.files.items() if Path(name).suffix in suffixes}

    def checksums(self) -> dict[str, str]:
        """Return the sha256 of the weight files and of ved.json, which has those of the others."""
        weights = {name: file.sha256 for name, file in self.weight_files.items()}
        return {**weights, FILE_NAME: hashlib.sha256(self.encoded()).hexdigest()}

    def encoded(self) -> bytes:
        """Return the bytes of ved.json."""
        content = self.model_dump(mode="json", exclude_none=True, exclude={"pair": PUBLISHING_KEYS})
        return (json.dumps(content, indent=2) + "\n").encode()


def recorded_pair(pair: Pair) -> Pair:
    """Return a manifest's entry as it is recorded.

    It lacks the keys that are about publishing. The absolute path of a local directory becomes
    `./` and the name of the directory: the rest of the path is nobody else's business.
    """
    entry = pair.model_dump(exclude=PUBLISHING_KEYS, exclude_none=True)
    for role in ("encoder", "decoder"):
        for ref in (entry[role], entry[role].get("config")):
            if ref and is_local(ref["model"]) and Path(ref["model"]).is_absolute():
                ref["model"] = f"./{last_name(ref['model'])}"
    return Pair.model_validate(entry)


def parse_record(content: bytes, origin: str) -> BuildRecord:
    """Return the record in the bytes of a ved.json.

    Args:
        content: the bytes.
        origin: the repo or directory, for the error.

    Raises:
        VedError: the bytes are not a record of this format.
    """
    if len(content) > MAX_BYTES:
        raise VedError(
            f"{FILE_NAME} of {origin} is larger than {MAX_BYTES} bytes.",
            code=ErrorCode.RECORD_NOT_READABLE,
        )
    try:
        record = BuildRecord.model_validate_json(content)
        json.loads(content, object_pairs_hook=_without_repetitions)
    except ValidationError as error:
        # Contexts are exceptions, and inputs may be large: neither is needed.
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [_problem(each["loc"], each["msg"]) for each in found]
    except (ValueError, RecursionError) as error:
        problems = [str(error)]
    else:
        return record
    raise VedError(
        printable(
            f"{FILE_NAME} of {origin} is not a build record that this version of VED reads: "
            f"{join_limited(problems, '; ')}."
        ),
        "Use the version of VED that wrote it.",
        code=ErrorCode.RECORD_NOT_READABLE,
    )


def _problem(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place))[:MAX_QUOTED]}: {message}" if place else message


def _without_repetitions(items: list[tuple[str, object]]) -> None:
    """Refuse a JSON object with two values for one key: readers differ on which of them counts.

    Raises:
        ValueError: a key is repeated.
    """
    counts = Counter(key for key, _ in items)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(f"repeated keys: {join_limited([quoted(key) for key in repeated])}")


def write_record(record: BuildRecord, directory: Path) -> None:
    """Write the record into the directory of the files that it describes."""
    (directory / FILE_NAME).write_bytes(record.encoded())
