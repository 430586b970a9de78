"""The entries of a build record: sources, token ids, ledgers and files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from huggingface_hub.utils.sha import git_hash
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ved.assembly.ledger import PartSummary, Reason
from ved.families.family import Role
from ved.manifest.fields import is_repo_id
from ved.sources.digests import file_sha256
from ved.sources.metadata import SourceMetadata

MAX_GIT_BLOB_BYTES = 10 * 2**20
"""The Hub stores larger files by sha256; it may store smaller ones as blobs of git."""

PartRole = Role | Literal["projection"]

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]

# Anybody may have changed a record on the Hub. These texts go into a card, so they are not markup.
Text = Annotated[str, Field(pattern="^[A-Za-z_ ,']{1,100}$")]
Version = Annotated[str, Field(pattern="^[0-9A-Za-z.+-]{1,50}$")]

Count = Annotated[int, Field(ge=0, lt=2**63)]
"""A number that every reader of JSON can represent."""

# VED writes no folders. A name with one could lead out of the directory of a checkpoint.
FileName = Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$")]
SourceFileName = Annotated[str, Field(pattern=r"^[^/\\]{1,255}$")]


def _height_and_width(size: object) -> object:
    """Return a pair of numbers. A config has one number if height and width are the same."""
    return (
        (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, list) else size
    )


_Pixels = Annotated[tuple[Count, Count], BeforeValidator(_height_and_width)]


class RecordModel(BaseModel):
    """The base of all models in a record. A record is input: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RecordedSnapshot(RecordModel):
    """A repo at a commit, or a local directory, which has no commit."""

    name: str
    commit: Commit | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.commit[:12]}" if self.commit else self.name

    @model_validator(mode="after")
    def _is_a_repo(self) -> Self:
        # The name becomes a link: it must not imitate another name with similar letters.
        if self.commit and not is_repo_id(self.name):
            raise ValueError("not a repo id")
        if not self.commit and self.name.startswith("/"):
            raise ValueError("not a relative path")
        return self


class Architecture(RecordModel):
    """The size of a part, under the names that most configs of transformers use.

    Attributes:
        num_hidden_layers: how many layers, in all stages together.
        hidden_size: the width of the hidden states.
        num_attention_heads: heads in each layer, of the last stage.
        vocab_size: rows of the token embeddings; None for an encoder.
        image_size: (height, width) in pixels; None for a decoder.
        patch_size: (height, width) in pixels; None for a decoder.
    """

    num_hidden_layers: Count
    hidden_size: Count
    num_attention_heads: Count
    vocab_size: Count | None = None
    image_size: _Pixels | None = None
    patch_size: _Pixels | None = None


SettingName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,59}$")]
"""The name of a setting in a config."""


ModelType = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,59}$")]


class RecordedSource(RecordedSnapshot):
    """A source of the checkpoint.

    Attributes:
        config: the repo or directory of its config.
        family: the config's `model_type`.
        published_as: the `model_type` in the checkpoint, if it is that of the family's twin.
        half_of: the `model_type` of the whole model of which a half is used, if it is one.
        architecture: its size.
        metadata: the metadata of its repo.
        files: the sha256 of every file that was used, by name.
        left_out: the settings of the source that the checkpoint does not have.
        not_in_flax_class: the settings that transformers' own Flax class does not compute.
    """

    config: RecordedSnapshot
    family: str
    published_as: ModelType | None = None
    half_of: ModelType | None = None
    architecture: Architecture
    metadata: SourceMetadata
    files: Mapping[SourceFileName, Digest]
    left_out: tuple[SettingName, ...] = ()
    not_in_flax_class: tuple[SettingName, ...] = ()

    @property
    def published_family(self) -> str:
        """The `model_type` in the checkpoint."""
        return self.published_as or self.family


class RecordedTokenId(RecordModel):
    """A special token.

    Attributes:
        id: its number in the vocabulary.
        token: its text.
        origin: where the id was found.
        script: the id that transformers' script takes; None if it finds none.
    """

    id: Count
    token: str
    origin: Text
    script: Count | None = None


class Copied(RecordModel):
    """The source's tensor that a parameter was copied from, and the file that holds it."""

    file: str
    tensor: str


class RecordedLedger(RecordModel):
    """The origin of each parameter of a part; see `ved.assembly.ledger`.

    Attributes:
        summary: counts and dtypes of the parameters.
        copied: source tensors, by parameter path. Slashes join the keys of a path.
        initialized: reasons, by path of each newly initialized parameter.
        unused: reasons, by name of each source tensor that the checkpoint does not have.
    """

    summary: PartSummary
    copied: Mapping[str, Copied]
    initialized: Mapping[str, Reason]
    unused: Mapping[str, Text]


class RecordedFile(RecordModel):
    """A published file.

    Attributes:
        size: in bytes.
        sha256: of the content.
        git_oid: the id of its blob in git; None above `MAX_GIT_BLOB_BYTES`.
    """

    size: Count
    sha256: Digest
    git_oid: Commit | None = None

    @classmethod
    def of(cls, path: Path, digest: str | None = None) -> "RecordedFile":
        """Describe a file.

        Args:
            path: the file.
            digest: its sha256 if it is known; None to compute it.
        """
        size = path.stat().st_size
        git_oid = git_hash(path.read_bytes()) if size <= MAX_GIT_BLOB_BYTES else None
        return cls(size=size, sha256=digest or file_sha256(path), git_oid=git_oid)
