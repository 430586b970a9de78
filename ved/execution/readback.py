"""Proof by use: what the Hub serves at a new commit is read back and held against the record.

Every file is read again and compared by its digest: weights are read to their ends, and their
headers alone are kept. Then transformers loads the config, the image processor and the tokenizer
that were served. No model is instantiated but by the code of the card, in a process of its own,
where a pair asks for that; it has the weights of before, which by then are known to be the same.
"""

import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi

import ved
from ved.environment import VARIABLES
from ved.errors import ErrorCode, VedError, as_ved_error
from ved.hub.errors import is_not_found
from ved.hub.retries import retry
from ved.record import BuildRecord, RecordedFile, card
from ved.record.build_record import FILE_NAME
from ved.record.snippets import flax_snippet
from ved.sources import headers
from ved.sources.digests import file_sha256
from ved.sources.snapshot import Snapshot
from ved.tensors.files import Layout, open_weights
from ved.tensors.names import pytorch_name
from ved.tensors.tensor import DTYPES
from ved.text import join_limited

log = logging.getLogger("ved")

CARD_ONLY = (card.FILE_NAME, FILE_NAME)
"""What is published where the weights stand."""

MAX_SECONDS = 30 * 60
"""Seconds for which the code of a card may run."""

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
"""What the code of a card gets of this process's environment, where there may be secrets."""

_UNTIL_THE_INPUT_ENDS = """\
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
"""

_LAST_LINES, _LONGEST_MESSAGE = 3, 500

_WEIGHTS: tuple[tuple[str, Layout], ...] = ((".msgpack", "flax"), (".safetensors", "pytorch"))

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PublishedCommit:
    """A checkpoint as it was published.

    Attributes:
        record: what is said of it.
        repo: where it is.
        commit: the commit that it is.
        parent: the commit before; None where the repo was new.
    """

    record: BuildRecord
    repo: str
    commit: str
    parent: str | None


def verify_published(
    published: PublishedCommit, directory: Path, api: HfApi, *, run: Path | None = None
) -> None:
    """Make sure that what the Hub serves is the checkpoint, and that it can be loaded.

    Args:
        published: the checkpoint.
        directory: an empty directory, for all that is served but the weights.
        api: the Hub.
        run: the checkpoint's own directory, to run the Flax code of its card on; None for not
            running it.

    Raises:
        VedError: it is not, or nobody can tell.
    """
    record = published.record
    with _failures(published):
        served = _read_back(published, [*record.files, FILE_NAME], directory, api)
        _load(served)
        _check_parameters(record, served)
        if run:
            said = _run_card(record, run, directory)
            log.info("%s: The code of the card printed: %s", published.repo, said)


def verify_published_card(published: PublishedCommit, directory: Path, api: HfApi) -> None:
    """Make sure that what the Hub serves beside the weights is the card and the record.

    See `check`.
    """
    with _failures(published):
        _read_back(published, CARD_ONLY, directory, api)


@contextmanager
def _failures(published: PublishedCommit) -> Iterator[None]:
    """Have failures say what is at which commit."""
    try:
        yield
    except (VedError, OSError) as error:
        cause, *_ = as_ved_error(error).cause.splitlines()
        # Where the repo had all of it already, there is no new commit.
        is_new = published.parent not in (None, published.commit)
        before = f"The commit before it is {published.parent}." if is_new else ""
        raise VedError(
            f"Published as {published.commit}, but its check failed: {cause}",
            before,
            code=ErrorCode.CHECK_FAILED,
        ) from error


def _read_back(
    published: PublishedCommit, names: Collection[str], directory: Path, api: HfApi
) -> Path:
    """Read files at the commit, and compare them with the record.

    Returns:
        where they are; in the place of weight files, their stand-ins.
    """
    encoded = published.record.encoded()
    digest = hashlib.sha256(encoded).hexdigest()
    files = {**published.record.files, FILE_NAME: RecordedFile(size=len(encoded), sha256=digest)}
    weights = [name for name in names if name in published.record.weight_files]
    others = {*names} - {*weights}
    snapshot = Snapshot(published.repo, published.commit, {}, None)
    served = _once_there(lambda: snapshot.fetch(others, api, directory), published)
    digests = {name: file_sha256(served / name) for name in others}
    digests |= _once_there(
        lambda: headers.read_to_end(published.repo, published.commit, weights, served, api),
        published,
    )
    differences = (_difference(served / name, digests[name], files[name]) for name in names)
    said = "; ".join(filter(None, differences))
    if said:
        raise VedError(f"{said}.", code=ErrorCode.CHECK_FAILED)
    return served


def _once_there(fetch: Callable[[], _Result], published: PublishedCommit) -> _Result:
    """Fetch what was published a moment ago, which not every server may have heard of."""
    return retry(
        fetch,
        lambda error: isinstance(error, VedError) and is_not_found(error.__cause__),
        f"{published.repo} has no commit {published.commit} yet",
    )


def _difference(path: Path, found: str, recorded: RecordedFile) -> str:
    """Say how a file, of a sha256, differs from what was published; nothing if it does not."""
    size = path.stat().st_size
    if size != recorded.size:
        return f"{path.name} has {size} bytes there, and was published with {recorded.size}"
    if found != recorded.sha256:
        return f"{path.name} has sha256 {found} there, and was published with {recorded.sha256}"
    return ""


def _load(served: Path) -> None:
    """Load what prepares images, reads text and configures a model."""
    # Importing it takes seconds, which what only renews cards does not need.
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

    loaders = {
        "config": AutoConfig.from_pretrained,
        # The slow class needs neither torch nor torchvision.
        "image processor": partial(AutoImageProcessor.from_pretrained, use_fast=False),
        "tokenizer": AutoTokenizer.from_pretrained,
    }
    for what, load in loaders.items():
        try:
            load(served, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # whatever transformers raises
            first, *_ = f"{error}\n".replace(f"{served}/", "").splitlines()
            cause = f"transformers cannot load its {what}: {first.rstrip('.')}."
            raise VedError(cause, code=ErrorCode.CHECK_FAILED) from error


def _check_parameters(record: BuildRecord, served: Path) -> None:
    """Hold the headers of the weight files against what the record says of parameters."""
    for suffix, layout in _WEIGHTS:
        paths = [served / name for name in record.files if name.endswith(suffix)]
        if not paths:
            continue
        found = {weight.name: weight.tensor for weight in open_weights(paths)}
        names = {
            pytorch_name(path) if layout == "pytorch" else ".".join(path)
            for path in _parameters(record)
        }
        other = sorted(found.keys() ^ names)
        if other:
            raise VedError(
                f"The {suffix} file and its record differ in {join_limited(other)}.",
                code=ErrorCode.CHECK_FAILED,
            )
        dtypes = {tensor.dtype for tensor in found.values()}
        if record.dtype != "source" and dtypes != {DTYPES[record.dtype]}:
            kinds = join_limited(sorted(map(str, dtypes)))
            raise VedError(
                f"The {suffix} file has parameters of {kinds}, not {record.dtype}.",
                code=ErrorCode.CHECK_FAILED,
            )
        count = sum(prod(tensor.shape) for tensor in found.values())
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


def _run_card(record: BuildRecord, checkpoint: Path, directory: Path) -> str:
    """Run the Flax code that VED writes on the card, and return the last that it prints.

    Not what the downloaded card has: its description is the user's, and may hold code as well.
    """
    assert record.pair is not None
    # transformers prefers a directory of the repo's name to the repo.
    place = directory.resolve() / "run"
    place.mkdir()
    (place / record.pair.repo).parent.mkdir(exist_ok=True)
    (place / record.pair.repo).symlink_to(checkpoint.resolve())
    try:
        ended = _run(flax_snippet(record), place)
    except subprocess.TimeoutExpired as error:
        cause = f"The Flax code of its card takes longer than {MAX_SECONDS // 60} minutes."
        raise VedError(cause, code=ErrorCode.CHECK_FAILED) from error
    said = " ".join(ended.stdout.strip().splitlines()[-_LAST_LINES:])[-_LONGEST_MESSAGE:]
    if ended.returncode:
        raise VedError(
            f"The Flax code of its card ends with {ended.returncode}: {said}",
            code=ErrorCode.CHECK_FAILED,
        )
    return said


def _run(code: str, place: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a directory, which is its home, without what it need not know."""
    own = {
        "HOME": str(place),
        "HF_HOME": str(place / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(ved.__file__).parents[1]),
    }
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Whatever ends this process, the pipe is closed then, and so the other ends as well.
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as its_input, os.fdopen(writing, "wb"):
        return subprocess.run(  # noqa: S603 - the code is VED's own
            [sys.executable, "-u", "-P", "-X", "utf8", "-c", _UNTIL_THE_INPUT_ENDS + code],
            cwd=place,
            env={**passed_on, **VARIABLES, **own},
            stdin=its_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=MAX_SECONDS,
            check=False,
        )
