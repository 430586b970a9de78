"""Compare published weight files with local ones, without downloading them.

The Hub lists a sha256 of each large file and, if Xet stores the file, a Xet hash. The sha256 proves
nothing: it comes from the client, and the Hub compares it with no bytes.

- Xet: https://github.com/huggingface/xet-core/pull/570 ("The sha256 is not verified anywhere").
- LFS: https://github.com/huggingface/huggingface_hub/issues/1445 (the bytes had another sha256).

The Xet hash is the root of a tree of hashes of all chunks of a file. The storage computes them from
the bytes that it receives. It refuses bytes, or a description of a file, with other hashes. So the
Xet hash proves which bytes the storage accepted. Samples show that the Hub serves them.

Source: https://huggingface.co/docs/xet/api, the answers 400 to uploads of xorbs and shards.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import hf_xet
from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.errors import translated_errors
from ved.hub.remote_files import LocatedFile, locate_file
from ved.interruption import raise_if_interrupted, thread_pool

SAMPLES, SAMPLE_BYTES = 16, 64 * 2**10
"""How many samples of a file are downloaded, and the bytes of each."""

_REQUESTS = 4
"""How many requests run at the same time."""


def compare_by_xet(
    repo: str, commit: str, names: Sequence[str], local: Path, api: HfApi
) -> list[str]:
    """Compare weight files on the Hub with local ones; return the names of those on Xet.

    Each costs one request to the Hub, and `SAMPLES` to the host that serves it.

    Args:
        repo: the repo's id.
        commit: 40 hexadecimal digits.
        names: the names of the files.
        local: the directory of the local files.
        api: the client.

    Returns:
        the names of the files that were compared. The Hub does not store the others by Xet.

    Raises:
        VedError: a file differs, or the Hub does not answer.
    """

    def locate(name: str) -> LocatedFile:
        action = f"read {name} of {repo}@{commit[:12]}"
        with translated_errors(action, repo):
            return locate_file(repo, commit, name, action, api)

    def compare_sample(name: str, offset: int, length: int) -> None:
        raise_if_interrupted()
        with translated_errors(located[name].action, repo):
            found = located[name].read_range(offset, length)
        with (local / name).open("rb") as file:
            file.seek(offset)
            if file.read(length) != found:
                raise VedError(
                    f"{name} differs: the Hub serves {length} other bytes at {offset}.",
                    code=ErrorCode.CHECK_FAILED,
                )

    with thread_pool(_REQUESTS) as pool:
        located = dict(zip(names, pool.map(locate, names), strict=True))
        by_xet = [name for name in names if located[name].xet_hash is not None]
        for name, own in zip(by_xet, _xet_hashes(local, by_xet), strict=True):
            if located[name].xet_hash != own:
                raise VedError(
                    f"{name} differs: the Hub has the Xet hash {located[name].xet_hash}, and the "
                    f"local file has {own}.",
                    code=ErrorCode.CHECK_FAILED,
                )
        samples = [
            pool.submit(compare_sample, name, *sample)
            for name in by_xet
            for sample in samples_of((local / name).stat().st_size)
        ]
        for sample in samples:
            sample.result()
    return by_xet


def _xet_hashes(directory: Path, names: Sequence[str]) -> list[str]:
    """Return the Xet hash of each file, as the Hub writes it."""
    return [each.hash for each in hf_xet.hash_files([str(directory / name) for name in names])]


def samples_of(size: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of a sample at a random place in each part of a file.

    Args:
        size: bytes of the file.
    """
    count = min(SAMPLES, -(-size // SAMPLE_BYTES))
    for number in range(count):
        start, end = size * number // count, size * (number + 1) // count
        length = min(SAMPLE_BYTES, end - start)
        yield start + random.randrange(end - start - length + 1), length  # noqa: S311 - no secret
