"""Verify a published checkpoint: rebuild it from its build record, and compare every file.

The weights of a repo are not downloaded, because the Hub lists its files with their digests. The
record is input: its author may have written anything. So the Hub is the caller's, sources are
repos unless the caller allows directories, and every other value is computed again and compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.execution.checkpoint_dir import build_checkpoint
from ved.execution.opening import OpenedCheckpoint, open_checkpoint
from ved.execution.published_files import added_files
from ved.execution.record_comparison import contradictions, record_differences
from ved.families.family import Role
from ved.manifest.fields import is_local
from ved.manifest.pair_models import ConfigRef, SourceRef
from ved.record import BuildRecord, RecordedFile, RecordedSnapshot, build_record, card
from ved.record.fingerprint import compute_fingerprint
from ved.record.output_directory import staging_directory
from ved.sources.source import Source, resolve_source
from ved.sources.weight_files import weight_format
from ved.text import join_limited, printable

MAX_LINES, MAX_CHARACTERS = 100, 1000
"""The size of a verdict as text: differences, and characters of each."""


@dataclass(frozen=True)
class Verdict:
    """The result of a verification.

    Attributes:
        origin: the checkpoint.
        files: how many files were rebuilt and compared.
        differences: the files that the sources do not give, a sentence each.
        notes: what could not be compared, and why, a sentence each.
        sources: encoder and decoder, each with its commit.
    """

    origin: str
    files: int
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def is_true(self) -> bool:
        """Whether every file is identical to the rebuilt one."""
        return not self.differences

    def __str__(self) -> str:
        head = (
            f"{self.origin}: {self.files} files are identical to those rebuilt from the sources."
            if self.is_true
            else f"{self.origin} differs from what its sources give:"
        )
        rest = len(self.differences) - MAX_LINES
        more = [f"and {rest} more differences."] if rest > 0 else []
        lines = [*self.differences[:MAX_LINES], *more, *self.notes]
        lines += [f"Source: {each}" for each in self.sources]
        return "\n".join(
            (printable(head), *(f"  {printable(text[:MAX_CHARACTERS])}" for text in lines))
        )


def verify(checkpoint: str, api: HfApi, *, allow_local: bool = False) -> Verdict:
    """Rebuild a checkpoint that VED built, and compare it byte for byte.

    Args:
        checkpoint: `owner/name`, `owner/name@revision`, or a directory that begins with `./`,
            `../` or `/`.
        api: the client of the Hub that has the sources.
        allow_local: whether the record may name local directories as sources.

    Raises:
        RequestError: `checkpoint` is neither a repo nor a directory.
        VedError: there is no record, or the checkpoint cannot be rebuilt.
        OSError: a file cannot be read or written.
    """
    opened = open_checkpoint(checkpoint, api)
    published = opened.record
    if not allow_local:
        _refuse_local_sources(opened)
    encoder = _source(published, "encoder", api)
    decoder = _source(published, "decoder", api)
    with staging_directory(None) as directory:
        rebuilt = build_checkpoint(encoder, decoder, directory, api, published.settings).record
        expected = _expected_record(rebuilt, published, encoder, decoder, api)
        if expected.pair is not None:
            expected = card.write_card(expected, directory)
        build_record.write_record(expected, directory)
        differences = [*_compare(expected, opened, directory, api)]
    return Verdict(
        opened.origin,
        1 + len(expected.files),
        tuple(differences),
        (*_notes(rebuilt, published), *_private_sources(encoder, decoder)),
        tuple(f"{role} {_full_name(source)}" for role, source in expected.sources.items()),
    )


def _refuse_local_sources(opened: OpenedCheckpoint) -> None:
    """Refuse a record with local directories: its author could name any that the caller has."""
    snapshots = [
        each for source in opened.record.sources.values() for each in (source, source.config)
    ]
    local = sorted({each.name for each in snapshots if each.commit is None})
    if local:
        raise VedError(
            f"By its {build_record.FILE_NAME}, {opened.origin} was built from local directories: "
            f"{join_limited([repr(name) for name in local])}.",
            "Only the publisher has them. If that is you, add --allow-local.",
            code=ErrorCode.LOCAL_SOURCE,
        )


def _source(published: BuildRecord, role: Role, api: HfApi) -> Source:
    """Return a source at its recorded commit, with the files that are used downloaded."""
    recorded = published.sources[role]
    written: SourceRef | None = getattr(published.pair, role, None)
    is_own = (recorded.config.name, recorded.config.commit) == (recorded.name, recorded.commit)
    ref = SourceRef(
        **_named(recorded),
        config=None if is_own else ConfigRef(**_named(recorded.config)),
        allow_pickle=written is not None and written.allow_pickle,
        weights_from=weight_format(recorded.files),
    )
    source = resolve_source(role, ref, api).fetch(api)
    digests = source.digests()
    other = sorted(name for name in recorded.files if digests.get(name) != recorded.files[name])
    if other:
        raise VedError(
            f"{source} differs from what the checkpoint was built from: "
            f"{printable(join_limited(other))}.",
            f"Restore the files whose sha256 {build_record.FILE_NAME} names.",
            code=ErrorCode.SOURCES_DIFFER,
        )
    return source


def _named(recorded: RecordedSnapshot) -> dict[str, str]:
    """Return model and revision of a reference to a recorded source."""
    if recorded.commit is not None:
        return {"model": recorded.name, "revision": recorded.commit}
    is_relative = is_local(recorded.name)
    directory = recorded.name if is_relative else f"./{recorded.name}"
    if not Path(directory).is_dir():
        raise VedError(
            "A source of the checkpoint is a local directory, and there is no "
            f"{printable(directory)} here.",
            f"Run the command in the folder in which {printable(directory)} exists.",
            code=ErrorCode.NO_SUCH_DIRECTORY,
        )
    # Only the last part of an absolute path is recorded, so any absolute path that ends with it
    # gives the same checkpoint. A relative one would not: it is recorded as it is.
    return {"model": directory if is_relative else str(Path.cwd() / recorded.name)}


def _expected_record(
    rebuilt: BuildRecord, published: BuildRecord, encoder: Source, decoder: Source, api: HfApi
) -> BuildRecord:
    """Return the record that the published checkpoint should have, without the model card.

    It is the record of the rebuilt checkpoint except for values that sources do not decide. They
    are compared in other ways: the manifest's entry and the endpoint in `_compare`; versions, and
    whether a source is gated, in `_notes`.
    """
    gated = {role: source.metadata.gated for role, source in published.sources.items()}
    sources = {
        role: source.model_copy(
            update={"metadata": source.metadata.model_copy(update={"gated": gated[role]})}
        )
        for role, source in rebuilt.sources.items()
    }
    versions = {name: published.versions.get(name, mine) for name, mine in rebuilt.versions.items()}
    fingerprint = compute_fingerprint(
        encoder.resolved.pinned,
        decoder.resolved.pinned,
        published.settings,
        api,
        versions=versions,
        assembly_version=published.assembly_version,
    )
    pair = published.pair
    digest = pair and card.card_digest(pair, sources.values(), published.endpoint)
    update = {
        "pair": pair,
        "card_digest": digest,
        "endpoint": published.endpoint,
        "sources": sources,
        "versions": versions,
        "assembly_version": published.assembly_version,
        "fingerprint": fingerprint,
    }
    return rebuilt.model_copy(update=update)


def _notes(rebuilt: BuildRecord, published: BuildRecord) -> Iterator[str]:
    """Yield a note on each value of a record that cannot be compared."""
    other = [
        f"{name} {published.versions.get(name)} (here: {mine})"
        for name, mine in rebuilt.versions.items()
        if published.versions.get(name) != mine
    ]
    if other:
        yield f"It was built with other versions: {'; '.join(other)}."
    if rebuilt.assembly_version != published.assembly_version:
        yield "It was built with a version of VED that assembles other bytes."
    for role, source in published.sources.items():
        if rebuilt.sources[role].metadata.gated != source.metadata.gated:
            yield f"The access to {source} has changed since."
    if published.pair is not None and published.pair.description:
        yield f"The description in {card.FILE_NAME} is the publisher's own text."


def _private_sources(*sources: Source) -> Iterator[str]:
    for source in sources:
        snapshots = {source.resolved.snapshot.name: source.resolved.snapshot}
        snapshots[source.resolved.config_snapshot.name] = source.resolved.config_snapshot
        for snapshot in snapshots.values():
            if snapshot.private:
                yield f"{snapshot} is private: others cannot verify the checkpoint."


def _full_name(source: RecordedSnapshot) -> str:
    return f"{source.name}@{source.commit}" if source.commit else source.name


def _compare(
    expected: BuildRecord, opened: OpenedCheckpoint, directory: Path, api: HfApi
) -> Iterator[str]:
    """Yield the differences between a rebuilt and a published checkpoint, a sentence each."""
    published, files = opened.record, opened.files
    if published.endpoint.rstrip("/") != api.endpoint.rstrip("/"):
        yield (
            f"{build_record.FILE_NAME} names the Hub {published.endpoint}, and the sources were "
            f"read from {api.endpoint}."
        )
    for name, file in sorted(expected.files.items()):
        difference = files.difference(name, file, directory)
        if difference is not None:
            yield difference
    yield from added_files(files, {*expected.files, build_record.FILE_NAME})
    yield from contradictions(published, opened.repo)
    differences = [*record_differences(opened.content, expected)]
    yield from differences
    written = RecordedFile.of(directory / build_record.FILE_NAME)
    difference = files.difference(build_record.FILE_NAME, written, directory)
    if difference is not None and not differences:
        yield difference
