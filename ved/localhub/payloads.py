"""The bodies of requests, as pydantic models. A malformed body gets status 400."""

from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RepositoryType = Literal["model", "dataset", "space"]


class Payload(BaseModel):
    """A JSON object with camelCase keys."""

    model_config = ConfigDict(alias_generator=to_camel)


class NamedRepository(Payload):
    """DELETE /api/repos/delete."""

    name: str
    organization: str | None = None
    type: RepositoryType | None = None


class _Visibility(Payload):
    private: bool | None = None  # huggingface_hub 0.x
    visibility: Literal["public", "private"] | None = None  # 2.x

    @property
    def wants_private(self) -> bool | None:
        """The requested privacy, or None if the request has none."""
        return self.visibility == "private" if self.visibility else self.private


class NewRepository(NamedRepository, _Visibility):
    """POST /api/repos/create."""

    license: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")] | None = None
    resource_group_id: str | None = None


class RepositoryMove(Payload):
    """POST /api/repos/move."""

    from_repo: str
    to_repo: str
    type: RepositoryType = "model"


class Settings(_Visibility):
    """PUT /api/{kind}/{id}/settings."""

    gated: Literal["auto", "manual", False] | None = None


class Card(Payload):
    """POST /api/validate-yaml."""

    content: str
    repo_type: RepositoryType = "model"


class PreuploadFile(Payload):
    """A file to upload; size in bytes."""

    path: str
    size: int


class Preupload(Payload):
    """POST /api/{kind}/{id}/preupload/{revision}."""

    files: Annotated[list[PreuploadFile], Field(max_length=256)]
    git_ignore: str | None = None


class LfsObject(Payload):
    """POST /{id}.git/info/lfs/objects/verify; size in bytes."""

    oid: Sha256
    size: Annotated[int, Field(ge=0)]


class LfsBatch(Payload):
    """POST /{id}.git/info/lfs/objects/batch."""

    operation: Literal["upload"]
    objects: list[LfsObject]
    transfers: list[str] = ["basic"]


class Part(Payload):
    """One part of a multipart upload, with the ETag of the response to its PUT."""

    part_number: int
    etag: str


class MultipartCompletion(Payload):
    """POST to the `upload.href` of a multipart upload."""

    oid: Sha256
    parts: list[Part]


class GrantChecksum(Payload):
    """The checksum of a xorb as it will be sent: a decimal number."""

    algo: Literal["crc64nvme"]
    value: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")]


class GrantRequest(Payload):
    """POST /v1/xorb-grants/{prefix}/{hash}; length in bytes, at least that of a chunk header."""

    length: Annotated[int, Field(ge=8)]
    checksum: GrantChecksum


class CommitHeader(Payload):
    """The message of a commit, and the head that the client requires, if any."""

    summary: str
    description: str = ""
    parent_commit: str | None = None


class AddFile(Payload):
    """A file with its content."""

    path: str
    content: Base64Bytes


class AddLfsFile(Payload):
    """A file whose content is an LFS object. A copy has no size."""

    path: str
    oid: Sha256
    size: int | None = None


class DeletedPath(Payload):
    """A path to delete."""

    path: str


class HeaderLine(Payload):
    """The first line of POST /api/{kind}/{id}/commit/{revision}."""

    key: Literal["header"]
    value: CommitHeader


class FileLine(Payload):
    """A line that adds a file."""

    key: Literal["file"]
    value: AddFile


class LfsFileLine(Payload):
    """A line that adds an LFS file."""

    key: Literal["lfsFile"]
    value: AddLfsFile


class DeletionLine(Payload):
    """A line that deletes a file or a folder."""

    key: Literal["deletedFile", "deletedFolder"]
    value: DeletedPath


Operation = FileLine | LfsFileLine | DeletionLine
CommitLine = Annotated[HeaderLine | Operation, Field(discriminator="key")]


class NewBranch(Payload):
    """POST /api/{kind}/{id}/branch/{name}."""

    starting_point: str | None = None


class NewTag(Payload):
    """POST /api/{kind}/{id}/tag/{revision}."""

    tag: str
    message: str | None = None


class NewCollection(Payload):
    """POST /api/collections."""

    title: str
    namespace: str
    description: str | None = None
    private: bool = False


class CollectionItem(Payload):
    """The id and type of an item."""

    id: str
    type: Literal["model", "dataset", "space", "paper", "collection"]


class NewCollectionItem(Payload):
    """POST /api/collections/{slug}/items."""

    item: CollectionItem
    note: str | None = None


class CollectionItemChange(Payload):
    """PATCH /api/collections/{slug}/items/{id}."""

    position: Annotated[int, Field(ge=0)] | None = None
    note: str | None = None
