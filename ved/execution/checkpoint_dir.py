"""One checkpoint into one directory: assembled, described and recorded."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.interruption import thread_pool
from ved.manifest.models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.record import build_record, card, creation
from ved.record.build_record import BuildRecord
from ved.sources.source import Source


def build_checkpoint(
    encoder: Source,
    decoder: Source,
    directory: Path,
    api: HfApi,
    settings: CheckpointSettings,
    pair: Pair | None = None,
) -> BuildRecord:
    """Put the checkpoint made of two sources into an empty directory, and return its record.

    Args:
        api: the Hub that the sources come from.
        pair: the manifest's entry; without one there is no model card.

    Raises:
        VedError: the sources cannot be assembled.
        OSError: a file cannot be read or written.
    """
    with thread_pool(1) as pool:
        # Hashing the sources takes a processor's time, as does importing jax and transformers;
        # the record finds the digests made.
        digests = [pool.submit(each.digests) for each in (encoder, decoder)]
        from ved.assembly.assemble import assemble

        checkpoint = assemble(encoder, decoder, directory, settings)
        for each in digests:
            each.result()
    sources = [source.resolved.snapshot for source in (encoder, decoder)]
    digest = card.card_digest(pair, sources, api.endpoint) if pair else None
    made = creation.create_record(encoder, decoder, checkpoint, api, pair, digest)
    if pair:
        made = card.write_card(made, directory)
    build_record.write_record(made, directory)
    return made


@contextmanager
def staging_directory(beside: Path | None) -> Iterator[Path]:
    """Yield an empty directory that is gone afterwards, with all that is still in it."""
    with tempfile.TemporaryDirectory(
        prefix=".ved-", dir=beside, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def check_destination(destination: Path) -> None:
    """Make sure that nothing is there but what VED put there before.

    Raises:
        VedError: something else is.
    """
    if destination.exists() and not destination.is_dir():
        raise VedError(
            f"{destination} is a file.", "Name a directory.", code=ErrorCode.DIRECTORY_IN_USE
        )
    made_by_ved = (destination / build_record.FILE_NAME).exists()
    if destination.exists() and not made_by_ved and any(destination.iterdir()):
        raise VedError(
            f"{destination} is not empty, and VED did not make it.",
            f"Name another directory; one that VED made has {build_record.FILE_NAME}.",
            code=ErrorCode.DIRECTORY_IN_USE,
        )


def replace_checkpoint(directory: Path, destination: Path) -> None:
    """Move a finished checkpoint to where it is wanted, replacing one that VED put there before.

    Raises:
        VedError: something else is there.
        OSError: it cannot be moved.
    """
    check_destination(destination)
    if destination.exists():
        shutil.rmtree(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    directory.replace(destination)
