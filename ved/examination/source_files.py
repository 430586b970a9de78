"""Collect the files that an examination sees: small files, and headers of weights."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import HfApi

from ved.examination.report import LoadRequest, Request, Steps
from ved.sources import ResolvedSource, headers

REQUEST = "request.json"

TRIAL = "trial"
"""The directory of the config to try, in the folder of a source."""


def collect_files(resolved: ResolvedSource, folder: Path, api: HfApi, steps: Steps = "all") -> None:
    """Write the files of a source into a folder, for the examination. Downloads them if need be.

    Args:
        resolved: the source.
        folder: a directory that does not exist.
        api: the client.
        steps: what the examination does.

    Raises:
        VedError: a download fails, or a local file may not be read.
        OSError: a file cannot be read or written.
    """
    folder.mkdir(parents=True)
    snapshot = resolved.snapshot
    if resolved.processing:
        small = snapshot.fetch(resolved.processing, api)
        for name in resolved.processing:
            shutil.copyfile(small / name, folder / name)
    if snapshot.directory is not None:
        snapshot.fetch(resolved.weights, api)  # which checks that they may be read
        headers.copy_headers(snapshot.directory, resolved.weights, folder)
    else:
        assert snapshot.commit is not None
        headers.fetch_headers(snapshot.name, snapshot.commit, resolved.weights, folder, api)
    write_request(resolved, folder, steps)


def write_request(
    resolved: ResolvedSource, folder: Path, steps: Steps, vocab_size: int = 0
) -> None:
    """Write the request into the folder of a source, or replace it there."""
    request = Request.of(resolved, steps, vocab_size)
    (folder / REQUEST).write_text(request.model_dump_json())


def collect_checkpoint(
    directory: Path, names: Iterable[str], folder: Path, *, without_words: bool
) -> None:
    """Copy the files of a published checkpoint into a folder, for `ved.examination.load`.

    Args:
        directory: the directory of the files.
        names: the names of its files without weights.
        folder: a directory that does not exist.
        without_words: see `LoadRequest`.

    Raises:
        OSError: a file cannot be read or written.
    """
    folder.mkdir(parents=True)
    for name in names:
        shutil.copyfile(directory / name, folder / name)
    (folder / REQUEST).write_text(LoadRequest(without_words=without_words).model_dump_json())
