"""Read the content of a repo where its description is not enough: digests, and the Hub's own card.

Not every Hub reports the digest of every file. A digest that is missing is unknown: it never counts
as a change by somebody.
"""

import hashlib
import re

from huggingface_hub import HfApi

from ved.publishing.repos import TargetRepo, read_small_file
from ved.record import MAX_GIT_BLOB_BYTES, BuildRecord, RecordedFile

_CARD = "README.md"
_CARD_BYTES = 4096
_HUBS_CARD = re.compile(rb"\s*---\s*\n(?:license(?:_name|_link)?:[^\n]*\n)+---\s*")
"""The README.md that the Hub writes into a new repo if its creator chooses a license."""


def is_new(target: TargetRepo, api: HfApi) -> bool:
    """Return whether a repo has nothing but the files that the Hub itself puts into a new repo.

    Raises:
        VedError: the Hub does not answer, or refuses.
    """
    if target.is_empty:
        return True
    if not target.files.keys() <= {".gitattributes", _CARD}:
        return False
    content = read_small_file(target, _CARD, _CARD_BYTES, api)
    return _HUBS_CARD.fullmatch(content) is not None


def find_changes(
    target: TargetRepo, published: BuildRecord, api: HfApi
) -> tuple[list[str], list[str]]:
    """Return the files that were changed since VED published, and those of which it is unknown.

    Hashes small files whose digest the Hub does not report.

    Args:
        target: the repo.
        published: its build record.
        api: the client.

    Raises:
        VedError: the Hub does not answer, or refuses.
    """
    changed, unknown = {*target.changed(published)}, []
    for name, recorded in published.files.items():
        if name in changed or target.files[name].holds(recorded) is not None:
            continue
        is_same = has_content(target, name, recorded, api)
        if is_same is None:
            unknown.append(name)
        elif not is_same:
            changed.add(name)
    return sorted(changed), sorted(unknown)


def has_content(target: TargetRepo, name: str, recorded: RecordedFile, api: HfApi) -> bool | None:
    """Return whether a file without a digest has a recorded content; None if it is too large.

    Raises:
        VedError: the Hub does not answer, or refuses.
    """
    if recorded.size > MAX_GIT_BLOB_BYTES:
        return None
    content = read_small_file(target, name, recorded.size + 1, api)
    return hashlib.sha256(content).hexdigest() == recorded.sha256
