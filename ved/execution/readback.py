"""Check a published commit: read its files back from the Hub, and compare them with the record.

Every file is read and compared by its digest, except weight files that `xet_comparison` compares.
Weights are read to their ends; only their headers are kept. Then transformers loads the config, the
image processor and the tokenizer as served, in the examining process. No model is instantiated,
except by the model card's code in a process of its own if a pair asks for that.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi
from huggingface_hub.utils._runtime import is_xet_available

from ved.errors import ErrorCode, VedError, as_ved_error
from ved.examination.examiner import ExaminesSources, open_examiner
from ved.examination.source_files import collect_checkpoint
from ved.execution.card_run import run_card
from ved.execution.parameter_check import check_parameters
from ved.execution.xet_comparison import compare_by_xet
from ved.hub.errors import is_not_found
from ved.hub.retries import retry
from ved.manifest.fields import Check
from ved.planning import Build
from ved.record import BuildRecord, RecordedFile, card
from ved.record.build_record import FILE_NAME
from ved.record.snippets import needs_mecab
from ved.sources import headers
from ved.sources.digests import file_sha256
from ved.sources.snapshot import Snapshot

log = logging.getLogger("ved")

CARD_ONLY = (*card.FILES, FILE_NAME)
"""The files that are published if the weights stay unchanged."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PublishedCommit:
    """A checkpoint that was published as one commit.

    Attributes:
        record: its build record.
        repo: the repo.
        commit: the commit.
        parent: the commit before; None if the repo was new.
    """

    record: BuildRecord
    repo: str
    commit: str
    parent: str | None


def prepare_check(
    published: PublishedCommit, check: Check, local: Path, release: Callable[[], None]
) -> Callable[[Path, HfApi], None]:
    """Return what checks a commit; its arguments are those of `check_published`.

    Args:
        published: the checkpoint.
        check: how to check.
        local: the directory of the checkpoint.
        release: called as soon as the check does not need that directory, maybe at once. A check
            that runs the model card's code needs it to the end.
    """
    if check == "generate":
        return partial(check_published, published, check=check, local=local)
    if check == "load" and is_xet_available():
        return partial(check_published, published, local=local, on_compared=release)
    release()
    return partial(check_published, published, check=check)


def planned_bytes(build: Build) -> int:
    """Return how many bytes the check of a build surely downloads, without those of small files."""
    return build.estimate.output if build.pair.check in ("download", "generate") else 0


def check_published(
    published: PublishedCommit,
    directory: Path,
    api: HfApi,
    *,
    check: Check = "load",
    local: Path | None = None,
    on_compared: Callable[[], None] | None = None,
) -> None:
    """Check that the Hub serves the checkpoint, and that transformers can load it.

    Args:
        published: the checkpoint.
        directory: an empty directory, for the served files without weights.
        api: the client of the Hub.
        check: how to check; `generate` needs `local`.
        local: the directory of the checkpoint. With `load`, weight files that the Hub stores by Xet
            are compared with it instead of being downloaded.
        on_compared: called as soon as all files are compared.

    Raises:
        VedError: a file differs or cannot be loaded, or the Hub does not answer.
    """
    record = published.record
    # The examining process imports its libraries while the files are downloaded.
    with _failures(published), open_examiner() as examiner:
        compared = local if check == "load" else None
        served = _read_back(published, [*record.files, FILE_NAME], directory, api, compared)
        if on_compared:
            on_compared()
        _load(served, published, examiner)
        check_parameters(record, served)
        if check == "generate":
            assert local is not None
            output = run_card(record, local, directory)
            log.info("%s: The code of the card printed: %s", published.repo, output)


def check_published_card(published: PublishedCommit, directory: Path, api: HfApi) -> None:
    """Check that the Hub serves the model card and the record; see `check_published`."""
    with _failures(published):
        _read_back(published, CARD_ONLY, directory, api)


@contextmanager
def _failures(published: PublishedCommit) -> Iterator[None]:
    """Add the published commit, and the commit before it, to errors of the block."""
    try:
        yield
    except (VedError, OSError) as error:
        explained = as_ved_error(error)
        cause, *_ = explained.cause.splitlines()
        # If the repo had all files already, there is no new commit.
        is_new = published.parent not in (None, published.commit)
        before = f"The commit before it is {published.parent}." if is_new else ""
        raise VedError(
            f"Published as {published.commit}, but its check failed: {cause}",
            f"{explained.remedy} {before}".strip(),
            code=ErrorCode.CHECK_FAILED,
        ) from error


def _read_back(
    published: PublishedCommit,
    names: Collection[str],
    directory: Path,
    api: HfApi,
    local: Path | None = None,
) -> Path:
    """Read files at the commit and compare them with the record.

    Args:
        published: the commit.
        names: the names of the files.
        directory: an empty directory for the files.
        api: the client of the Hub.
        local: the directory of the checkpoint, to compare with; None to download everything.

    Returns:
        The directory of the files, with header files for the weight files.
    """
    encoded = published.record.encoded()
    digest = hashlib.sha256(encoded).hexdigest()
    files = {**published.record.files, FILE_NAME: RecordedFile(size=len(encoded), sha256=digest)}
    weights = [name for name in names if name in published.record.weight_files]
    others = {*names} - {*weights}
    snapshot = Snapshot(published.repo, published.commit, {}, None)
    served = _fetch_new_commit(lambda: snapshot.fetch(others, api, directory), published)
    digests = {name: file_sha256(served / name) for name in others}
    if local is not None:
        compared = _fetch_new_commit(
            lambda: compare_by_xet(published.repo, published.commit, weights, local, api), published
        )
        headers.copy_headers(local, compared, served)
        weights = [name for name in weights if name not in compared]
    digests |= _fetch_new_commit(
        lambda: headers.hash_files(published.repo, published.commit, weights, served, api),
        published,
    )
    differences = (
        _difference(served / name, found, files[name]) for name, found in digests.items()
    )
    message = "; ".join(filter(None, differences))
    if message:
        raise VedError(f"{message}.", code=ErrorCode.CHECK_FAILED)
    return served


def _fetch_new_commit(fetch: Callable[[], _Result], published: PublishedCommit) -> _Result:
    """Fetch files of a new commit; retry while a server does not know the commit yet."""
    return retry(
        fetch,
        lambda error: isinstance(error, VedError) and is_not_found(error.__cause__),
        f"{published.repo} has no commit {published.commit} yet",
    )


def _difference(path: Path, found: str, recorded: RecordedFile) -> str:
    """Return how a served file differs from the published one; "" if it does not.

    Args:
        path: the file.
        found: its sha256.
        recorded: the published file.
    """
    size = path.stat().st_size
    if size != recorded.size:
        return f"{path.name} has {size} bytes, but was published with {recorded.size}"
    if found != recorded.sha256:
        return f"{path.name} has sha256 {found}, but was published with {recorded.sha256}"
    return ""


def _load(served: Path, published: PublishedCommit, examiner: ExaminesSources) -> None:
    """Load the config, the image processor and the tokenizer, in the examining process.

    Raises:
        VedError: transformers cannot load one.
    """
    record = published.record
    others = record.files.keys() - record.weight_files.keys()
    folder = examiner.new_folder()
    try:
        collect_checkpoint(served, others, folder, without_words=needs_mecab(record))
        origin = f"{published.repo}@{published.commit[:12]}"
        problems = examiner.examine(folder, origin).problems
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for problem in problems:
        raise problem.error()
