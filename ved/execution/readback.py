"""Check a published commit: read its files back from the Hub, and compare them with the record.

Every file is read and compared by its digest. Weights are read to their ends; only their headers
are kept. Then transformers loads the config, the image processor and the tokenizer as served. No
model is instantiated, except by the model card's code in a process of its own if a pair asks for
that.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError, as_ved_error
from ved.execution.card_run import run_card
from ved.families.family import Role
from ved.families.lookup import find_family
from ved.hub.errors import is_not_found
from ved.hub.retries import retry
from ved.record import BuildRecord, RecordedFile, card
from ved.record.build_record import FILE_NAME
from ved.record.snippets import needs_mecab
from ved.sources import headers
from ved.sources.digests import file_sha256
from ved.sources.snapshot import Snapshot
from ved.tensors import DTYPES, Layout, buffers, open_weights, pytorch_name, second_names
from ved.text import join_limited

log = logging.getLogger("ved")

CARD_ONLY = (card.FILE_NAME, FILE_NAME)
"""The files that are published if the weights stay unchanged."""

_WEIGHTS: tuple[tuple[str, Layout], ...] = ((".msgpack", "flax"), (".safetensors", "pytorch"))

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


def check_published(
    published: PublishedCommit, directory: Path, api: HfApi, *, run: Path | None = None
) -> None:
    """Check that the Hub serves the checkpoint, and that transformers can load it.

    Args:
        published: the checkpoint.
        directory: an empty directory, for the served files without weights.
        api: the client of the Hub.
        run: the directory of the checkpoint, to run the Flax code of its card on; None to run
            nothing.

    Raises:
        VedError: a file differs or cannot be loaded, or the Hub does not answer.
    """
    record = published.record
    with _failures(published):
        served = _read_back(published, [*record.files, FILE_NAME], directory, api)
        _load(served, record)
        _check_parameters(record, served)
        if run:
            output = run_card(record, run, directory)
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
    published: PublishedCommit, names: Collection[str], directory: Path, api: HfApi
) -> Path:
    """Read files at the commit and compare them with the record.

    Returns:
        The directory of the files, with placeholders for the weight files.
    """
    encoded = published.record.encoded()
    digest = hashlib.sha256(encoded).hexdigest()
    files = {**published.record.files, FILE_NAME: RecordedFile(size=len(encoded), sha256=digest)}
    weights = [name for name in names if name in published.record.weight_files]
    others = {*names} - {*weights}
    snapshot = Snapshot(published.repo, published.commit, {}, None)
    served = _fetch_new_commit(lambda: snapshot.fetch(others, api, directory), published)
    digests = {name: file_sha256(served / name) for name in others}
    digests |= _fetch_new_commit(
        lambda: headers.hash_files(published.repo, published.commit, weights, served, api),
        published,
    )
    differences = (_difference(served / name, digests[name], files[name]) for name in names)
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


def _load(served: Path, record: BuildRecord) -> None:
    """Load the config, the image processor and the tokenizer."""
    # The import takes seconds, and renewing a card does not need it.
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

    without_words = {"do_word_tokenize": False} if needs_mecab(record) else {}
    loaders = {
        "config": AutoConfig.from_pretrained,
        # The other backend needs torch and torchvision.
        "image processor": partial(AutoImageProcessor.from_pretrained, backend="pil"),
        "tokenizer": partial(AutoTokenizer.from_pretrained, **without_words),
    }
    for what, load in loaders.items():
        try:
            load(served, local_files_only=True, trust_remote_code=False)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever transformers raises, and panics of Rust
            first, *_ = f"{error}\n".replace(f"{served}/", "").splitlines()
            cause = f"transformers cannot load its {what}: {first.rstrip('.')}."
            raise VedError(cause, code=ErrorCode.CHECK_FAILED) from error


def _check_parameters(record: BuildRecord, served: Path) -> None:
    """Compare the headers of the weight files with the parameters in the record."""
    for suffix, layout in _WEIGHTS:
        paths = [served / name for name in record.files if name.endswith(suffix)]
        if not paths:
            continue
        found = {weight.name: weight.tensor for weight in open_weights(paths)}
        second = _second_names(record) if layout == "pytorch" else set()
        extra = _buffers(record) if layout == "pytorch" else set()
        names = (
            second
            | extra
            | {
                pytorch_name(path) if layout == "pytorch" else ".".join(path)
                for path in _parameters(record)
            }
        )
        other = sorted(found.keys() ^ names)
        if other:
            raise VedError(
                f"The {suffix} file and its record differ in {join_limited(other)}.",
                code=ErrorCode.CHECK_FAILED,
            )
        dtypes = {tensor.dtype for name, tensor in found.items() if name not in extra}
        if record.dtype != "source" and dtypes != {DTYPES[record.dtype]}:
            names_of_dtypes = join_limited(sorted(map(str, dtypes)))
            raise VedError(
                f"The {suffix} file has parameters of {names_of_dtypes}, not {record.dtype}.",
                code=ErrorCode.CHECK_FAILED,
            )
        count = sum(prod(each.shape) for name, each in found.items() if name not in second | extra)
        if count != record.num_parameters:
            raise VedError(
                f"The {suffix} file has {count} numbers, not {record.num_parameters}.",
                code=ErrorCode.CHECK_FAILED,
            )


def _parameters(record: BuildRecord) -> Iterator[tuple[str, ...]]:
    """Yield the Flax path of every parameter."""
    for role, ledger in record.ledger.items():
        start = () if role == "projection" else (role,)
        for path in (*ledger.copied, *ledger.initialized):
            yield (*start, *path.split("/"))


def _buffers(record: BuildRecord) -> set[str]:
    """Return the names of tensors in PyTorch's layout that are not parameters."""
    found: set[str] = set()
    roles: tuple[Role, ...] = ("encoder", "decoder")
    for role in roles:
        paths = [tuple(path.split("/")) for path in record.ledger[role].copied]
        family = find_family(role, record.sources[role].published_family, role)
        found |= {".".join((role, *path)) for path in buffers(paths, family)}
    return found


def _second_names(record: BuildRecord) -> set[str]:
    """Return the names of tensors in PyTorch's layout that repeat another tensor."""
    ledger = record.ledger["decoder"]
    paths = [tuple(path.split("/")) for path in (*ledger.copied, *ledger.initialized)]
    family = find_family("decoder", record.sources["decoder"].published_family, "decoder")
    return {".".join(("decoder", *path)) for path in second_names(paths, family).values()}
