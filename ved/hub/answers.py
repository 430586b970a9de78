"""Validate parts of the answers of a Hub, which huggingface_hub does not check."""

import re
from typing import TypeGuard

from huggingface_hub.hf_api import ModelInfo, RepoSibling


def is_commit(text: object) -> TypeGuard[str]:
    """Whether a server's word for a commit is one: 40 hexadecimal digits."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{40}", text) is not None


def repo_files(info: ModelInfo) -> list[RepoSibling]:
    """Return the files of a repo, as a server describes them.

    Raises:
        TypeError: that is not in the Hub's form, which huggingface_hub does not check.
    """
    found = info.siblings or []
    for each in found:
        if not isinstance(each.rfilename, str) or not isinstance(each.size or 0, int):
            raise TypeError(f"{each!r} is not a file")
    return found
