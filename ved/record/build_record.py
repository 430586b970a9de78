"""BuildRecord (ved.json): what went into a checkpoint, and what came out.

It holds no times and no paths of the machine, so the same inputs give the same bytes. All that is
later said or decided of a published checkpoint comes from it: its model card, whether to build it
again, and whether it still is what was published.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from huggingface_hub.utils.sha import git_hash
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ved.assembly.ledger import Contents, Reason
from ved.assembly.special_tokens import TokenRole
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.manifest.fields import Dtype, WeightFormat, is_repo_id
from ved.manifest.models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.sources.digests import file_sha256
from ved.sources.metadata import SourceMetadata

if TYPE_CHECKING:
    # Importing it imports jax and transformers, which what only reads a record does not need.
    pass


FILE_NAME = "ved.json"
MAX_BYTES = 64 * 2**20

PUBLISHING_KEYS = {"private", "adopt", "overwrite", "check", "collection"}
"""What a manifest's entry says of publishing, and not of the checkpoint."""

MAX_GIT_BLOB_BYTES = 10 * 2**20
"""What is larger the Hub stores by its sha256; what is smaller may be an object of git."""

_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]

# A record comes back from the Hub, and its words go into a card: they are no markup.
_Text = Annotated[str, Field(pattern="^[A-Za-z_ ,']{1,100}$")]
_Version = Annotated[str, Field(pattern="^[0-9A-Za-z.+-]{1,50}$")]


# Configs have one number where height and width are the same.
_Pixels = Annotated[
    tuple[int, int], BeforeValidator(lambda size: (size, size) if isinstance(size, int) else size)
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class RecordedSnapshot(_Model):
    """A repo at a commit, or a local directory, which has none."""

    name: str
    commit: _Commit | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.commit[:12]}" if self.commit else self.name

    @model_validator(mode="after")
    def _is_a_repo(self) -> Self:
        # It becomes a link: not in letters that only look like those of another name.
        if self.commit and not is_repo_id(self.name):
            raise ValueError("no repo id")
        return self


class Architecture(_Model):
    """The size of a part by its config; an encoder has pixels, height and width, for words."""

    layers: int
    hidden_size: int
    heads: int
    vocabulary: int | None = None
    image_size: _Pixels | None = None
    patch_size: _Pixels | None = None


class RecordedSource(RecordedSnapshot):
    """A source: where its config was, its family, and the sha256 of every file that was used.

    Attributes:
        architecture: None in records of versions of VED that did not tell.
        metadata: what its authors state of it.
    """

    config: RecordedSnapshot
    family: str
    architecture: Architecture | None = None
    metadata: SourceMetadata = SourceMetadata()
    files: Mapping[str, _Digest]


class RecordedTokenId(_Model):
    """A special token: its id, its text, and where the id was found."""

    id: int
    token: str
    origin: _Text


class Copied(_Model):
    """The source's tensor that a parameter was copied from, and the file that holds it."""

    file: str
    tensor: str


class RecordedLedger(_Model):
    """Where each parameter of a part comes from, by path joined with slashes; see `ved.ledger`.

    Attributes:
        contents: None in records of versions of VED that did not tell.
    """

    contents: Contents | None = None
    copied: Mapping[str, Copied]
    initialized: Mapping[str, Reason]
    unused: Mapping[str, _Text]


class RecordedFile(_Model):
    """A published file: its size in bytes, its sha256 and, if small, its id as a blob of git."""

    size: int
    sha256: _Digest
    git_oid: _Commit | None = None

    @classmethod
    def of(cls, path: Path, digest: str | None = None) -> "RecordedFile":
        """Describe a file, whose sha256 may be known."""
        size = path.stat().st_size
        git_oid = git_hash(path.read_bytes()) if size <= MAX_GIT_BLOB_BYTES else None
        return cls(size=size, sha256=digest or file_sha256(path), git_oid=git_oid)


class BuildRecord(_Model):
    """The content of ved.json.

    Attributes:
        fingerprint: of all that decides the checkpoint's bytes, the model card aside.
        card_digest: a digest of what the model card says besides; None without a card.
        endpoint: the Hub that the sources came from.
        pair: the manifest's entry, without what it says of publishing; None without a manifest.
        parameters: how many numbers the parameters hold.
        threefry_partitionable: how jax drew the random ones of them.
        versions: of VED and the libraries that built it.
        files: what was written, this record aside.
    """

    format: Literal[1] = 1
    fingerprint: _Digest
    card_digest: _Digest | None = None
    endpoint: str
    pair: Pair | None = None
    sources: Annotated[Mapping[Role, RecordedSource], Field(min_length=2)]
    token_ids: Annotated[Mapping[TokenRole, RecordedTokenId], Field(min_length=3)]
    seed: int
    dtype: Dtype
    weights: tuple[WeightFormat, ...]
    parameters: int
    threefry_partitionable: bool
    versions: Mapping[str, _Version]
    ledger: Mapping[Role | Literal["projection"], RecordedLedger]
    files: Mapping[str, RecordedFile] = {}

    @property
    def settings(self) -> CheckpointSettings:
        """What it was made with."""
        token_ids = self.pair.token_ids.model_dump(exclude_none=True) if self.pair else {}
        return CheckpointSettings(token_ids, self.seed, self.dtype, self.weights)

    @property
    def dtypes(self) -> set[str]:
        """The dtypes that its parameters are stored in; empty where the record does not tell."""
        contents = [ledger.contents for ledger in self.ledger.values() if ledger.contents]
        return {dtype for each in contents for dtype in each.dtypes}

    def with_files(self, directory: Path, known: Mapping[str, str] | None = None) -> "BuildRecord":
        """Return it with the files of a directory that it does not have yet.

        Args:
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
    """Return a manifest's entry as it is recorded: without what it says of publishing."""
    return Pair.model_validate(pair.model_dump(exclude=PUBLISHING_KEYS, exclude_none=True))


def parse_record(content: bytes, origin: str) -> BuildRecord:
    """Return the record that a ved.json holds.

    Args:
        origin: where it was found, for the error.

    Raises:
        VedError: it is none of this format.
    """
    if len(content) > MAX_BYTES:
        raise VedError(
            f"{FILE_NAME} of {origin} is absurdly large.", code=ErrorCode.RECORD_NOT_READABLE
        )
    try:
        return BuildRecord.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise VedError(
            f"{FILE_NAME} of {origin} is no build record that this VED reads: "
            f"{f'{place}: ' if place else ''}{first['msg']}.",
            "Another version of VED may have written it.",
            code=ErrorCode.RECORD_NOT_READABLE,
        ) from error


def write_record(record: BuildRecord, directory: Path) -> None:
    """Write the record among the files that it describes."""
    (directory / FILE_NAME).write_bytes(record.encoded())
