"""Open a published checkpoint, of a repo or in a directory, to verify it."""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from huggingface_hub import HfApi
from pydantic import ValidationError

from ved.errors import ErrorCode, RequestError, VedError
from ved.execution.published_files import CheckpointOnDisk, CheckpointOnHub, PublishedCheckpoint
from ved.hub.errors import translated_errors
from ved.hub.repo_info import fetch_repo
from ved.manifest.fields import is_local
from ved.manifest.pair_models import ConfigRef
from ved.manifest.pasted_urls import advice_for_url, without_credentials
from ved.publishing import repos
from ved.record import BuildRecord, build_record
from ved.text import quoted


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A checkpoint to verify.

    Attributes:
        origin: its name with the commit, or its directory.
        repo: its repo; None for a directory.
        files: its files.
        content: the bytes of its ved.json.
        record: the same as a record.
    """

    origin: str
    repo: str | None
    files: PublishedCheckpoint
    content: bytes
    record: BuildRecord


def open_checkpoint(checkpoint: str, api: HfApi) -> OpenedCheckpoint:
    """Find a checkpoint and read its build record.

    A name means a repo, whatever the working directory contains. The path of a directory begins
    with `./`, `../` or `/`, as in a manifest.

    Args:
        checkpoint: `owner/name`, `owner/name@revision`, or the path of a directory.
        api: the client of the Hub.

    Raises:
        RequestError: `checkpoint` is neither a repo nor a directory.
        VedError: there is no record that VED can read.
        OSError: a file of the directory cannot be read.
    """
    if is_local(checkpoint) and Path(checkpoint).is_dir():
        directory = CheckpointOnDisk(Path(checkpoint))
        if build_record.FILE_NAME not in directory.names():
            _refuse_without_record(checkpoint)
        content = directory.read(build_record.FILE_NAME, build_record.MAX_BYTES + 1)
        record = build_record.parse_record(content, checkpoint)
        return OpenedCheckpoint(checkpoint, None, directory, content, record)
    ref = _repo(checkpoint)
    try:
        with translated_errors(f"read {checkpoint}", ref.model):
            info = fetch_repo(ref.model, api, ref.revision)
            target = repos.repo_from_info(ref.model, info)
    except VedError as error:
        if error.code == ErrorCode.NO_SUCH_REPO:
            _refuse_directory_without_dot(checkpoint)
        raise
    if build_record.FILE_NAME not in target.files:
        _refuse_without_record(checkpoint)
    content = repos.read_record_file(target, api)
    record = build_record.parse_record(content, str(target))
    return OpenedCheckpoint(str(target), target.repo, CheckpointOnHub(target, api), content, record)


def _refuse_without_record(checkpoint: str) -> NoReturn:
    raise VedError(
        f"{checkpoint} was not created by VED (it has no {build_record.FILE_NAME}).",
        code=ErrorCode.NO_BUILD_RECORD,
    )


def _refuse_directory_without_dot(checkpoint: str) -> None:
    """Raise a RequestError if a name is that of a directory and not of a repo."""
    if Path(checkpoint).is_dir():
        raise RequestError(
            f"{checkpoint!r} is the name of a repo, and there is no such repo.",
            f"For the directory, write ./{checkpoint}",
            code=ErrorCode.WRONG_INPUT,
        )


def _repo(checkpoint: str) -> ConfigRef:
    """Parse `owner/name` or `owner/name@revision`."""
    if advice := advice_for_url(checkpoint, "source"):
        pasted = quoted(without_credentials(checkpoint))
        raise RequestError(f"{pasted} {advice}.", code=ErrorCode.WRONG_INPUT)
    try:
        ref = ConfigRef.model_validate(checkpoint)
    except ValidationError:
        ref = None
        if not is_local(checkpoint):
            _refuse_directory_without_dot(checkpoint)
    if ref is None or ref.directory is not None:
        raise RequestError(
            f"{checkpoint!r} is neither a repo nor an existing directory.",
            "Write owner/name, owner/name@revision, or the path of a directory as ./path.",
            code=ErrorCode.WRONG_INPUT,
        )
    return ref
