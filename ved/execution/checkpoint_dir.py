"""Build one checkpoint in one directory: assemble it, record it, and write its model card."""

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from ved.assembly.prepared import PreparedSource
from ved.errors import ErrorCode, VedError
from ved.examination.examiner import open_examiner
from ved.examination.report import Examination
from ved.families.family import Role
from ved.interruption import import_whole, thread_pool, wait_interruptibly
from ved.machine.memory import return_freed_memory, share_arenas
from ved.manifest.pair_models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.record import BuildRecord, build_record, card, creation
from ved.sources.source import Source


@dataclass(frozen=True)
class BuiltCheckpoint:
    """A checkpoint in a directory.

    Attributes:
        directory: where its files are.
        record: its build record, which is among the files.
        warnings: a sentence for each parameter that is randomly initialized, and for each tensor
            that is not used. Most checkpoints of the family have no such ones. It includes
            `tie_warnings`.
        tie_warnings: a sentence for each tensor that the config ties to another one, and that
            differs from it. A plan compares samples only, so it may not have all of these.
    """

    directory: Path
    record: BuildRecord
    warnings: tuple[str, ...] = ()
    tie_warnings: tuple[str, ...] = ()


def prepare_assembly() -> None:
    """Import jax and compile what draws parameters, while the first pair waits for something else.

    Raises:
        KeyboardInterrupt: the process was interrupted.
    """
    share_arenas()
    import_whole("ved.assembly.assemble")
    from ved.assembly.initialization import compile_draws

    compile_draws()


def build_checkpoint(
    encoder: Source,
    decoder: Source,
    directory: Path,
    api: HfApi,
    settings: CheckpointSettings,
    pair: Pair | None = None,
    *,
    examinations: Mapping[Role, Examination] | None = None,
) -> BuiltCheckpoint:
    """Write the checkpoint of two sources into an empty directory.

    Args:
        encoder: the vision encoder.
        decoder: the text decoder.
        directory: an empty directory.
        api: the Hub that the sources come from.
        settings: what decides the checkpoint's content besides its sources.
        pair: the entry of the manifest; without one there is no model card.
        examinations: the examinations of both sources, by role; if None, they are examined here.

    Raises:
        VedError: the sources cannot be assembled.
        OSError: a file cannot be read or written.
    """
    with ExitStack() as examining, thread_pool(2) as pool:
        # The record reads them from a cache again.
        digests = [pool.submit(each.digests) for each in (encoder, decoder)]
        trials: Future[None] | None = None
        if examinations:
            prepared: Mapping[Role, PreparedSource] = {
                role: each.prepared() for role, each in examinations.items()
            }
        else:
            examiner = examining.enter_context(open_examiner())
            prepare_assembly()  # the examining process imports its libraries meanwhile
            from ved.examination.examine_sources import ExaminedSources

            examined = ExaminedSources([encoder, decoder], examiner, api)
            prepared = examined.prepared
            trials = pool.submit(examined.run_trials)
        from ved.assembly.assemble import assemble

        checkpoint = assemble(encoder, decoder, directory, settings, prepared)
        if trials is not None:
            wait_interruptibly(trials)
        for source, before in zip((encoder, decoder), digests, strict=True):
            found = wait_interruptibly(before)
            _check_unchanged(source, found)
    return_freed_memory()  # of transposed kernels; the upload needs some, too
    snapshots = [source.resolved.snapshot for source in (encoder, decoder)]
    digest = card.card_digest(pair, snapshots, api.endpoint) if pair else None
    record = creation.create_record(encoder, decoder, checkpoint, api, pair, digest)
    if pair:
        record = card.write_card(record, directory)
    build_record.write_record(record, directory)
    return BuiltCheckpoint(directory, record, checkpoint.warnings, checkpoint.tie_warnings)


def _check_unchanged(source: Source, before: Mapping[str, str]) -> None:
    """Refuse a source with files that a program has changed while they were read.

    Args:
        source: the source.
        before: the digests of its files from the start.
    """
    changed = [name for name, digest in source.digests().items() if digest != before[name]]
    if changed:
        raise VedError(
            f"{', '.join(changed)} of {source} changed while VED read it.",
            "Run again when no other program writes to the source.",
            code=ErrorCode.SOURCE_CHANGED,
        )
