"""Verify a published checkpoint: rebuild it from its build record, and compare every file.

The weights of a repo are not downloaded, because the Hub lists its files with their digests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from pydantic import ValidationError

from ved.errors import ErrorCode, RequestError, VedError
from ved.execution.checkpoint_dir import build_checkpoint
from ved.execution.published_files import CheckpointOnDisk, CheckpointOnHub, PublishedCheckpoint
from ved.families.family import Role
from ved.hub.errors import translated_errors
from ved.hub.repo_info import fetch_repo
from ved.manifest.pair_models import ConfigRef, SourceRef
from ved.manifest.pasted_urls import advice_for_url, without_credentials
from ved.publishing import repos
from ved.record import BuildRecord, RecordedFile, RecordedSnapshot, build_record, card
from ved.record.output_directory import staging_directory
from ved.sources.source import Source, resolve_source
from ved.text import join_limited, quoted


@dataclass(frozen=True)
class Verdict:
    """The result of a verification.

    Attributes:
        origin: the checkpoint.
        files: how many files were rebuilt and compared.
        differences: the files that the sources do not give, a sentence each.
        notes: what could not be compared, and why, a sentence each.
    """

    origin: str
    files: int
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()

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
        return "\n".join((head, *(f"  {text}" for text in (*self.differences, *self.notes))))


def verify(checkpoint: str, api: HfApi) -> Verdict:
    """Rebuild a checkpoint that VED built, and compare it byte for byte.

    Args:
        checkpoint: `owner/name`, `owner/name@revision`, or a directory.
        api: the client of the Hub.

    Raises:
        RequestError: `checkpoint` is neither a repo nor a directory.
        VedError: there is no record, or the checkpoint cannot be rebuilt.
        OSError: a file cannot be read or written.
    """
    published, files, origin = _open(checkpoint, api)
    encoder = _source(published, "encoder", api)
    decoder = _source(published, "decoder", api)
    with staging_directory(None) as directory:
        rebuilt = build_checkpoint(encoder, decoder, directory, api, published.settings).record
        rebuilt, notes = _describe_as_published(rebuilt, published, directory)
        differences = [*_compare(rebuilt, published, files, directory)]
        compared = 1 + sum((directory / name).exists() for name in rebuilt.files)
    return Verdict(origin, compared, tuple(differences), tuple(notes))


def _open(checkpoint: str, api: HfApi) -> tuple[BuildRecord, PublishedCheckpoint, str]:
    """Return the build record of a checkpoint, its files, and its name with the commit."""
    directory = Path(checkpoint)
    if directory.is_dir():
        path = directory / build_record.FILE_NAME
        if not path.is_file():
            raise VedError(
                f"{directory} was not created by VED (it has no {build_record.FILE_NAME}).",
                code=ErrorCode.NO_BUILD_RECORD,
            )
        return (
            build_record.parse_record(path.read_bytes(), checkpoint),
            CheckpointOnDisk(directory),
            checkpoint,
        )
    ref = _repo(checkpoint)
    with translated_errors(f"read {checkpoint}", ref.model):
        info = fetch_repo(ref.model, api, ref.revision)
        target = repos.repo_from_info(ref.model, info)
    if build_record.FILE_NAME not in target.files:
        raise VedError(
            f"{checkpoint} was not created by VED (it has no {build_record.FILE_NAME}).",
            code=ErrorCode.NO_BUILD_RECORD,
        )
    origin = f"{target.repo}@{(target.head or '')[:12]}"
    return repos.read_published_record(target, api), CheckpointOnHub(target), origin


def _repo(checkpoint: str) -> ConfigRef:
    """Parse `owner/name` or `owner/name@revision`."""
    if advice := advice_for_url(checkpoint, "source"):
        pasted = quoted(without_credentials(checkpoint))
        raise RequestError(f"{pasted} {advice}.", code=ErrorCode.WRONG_INPUT)
    try:
        ref = ConfigRef.model_validate(checkpoint)
    except ValidationError:
        ref = None
    if ref is None or ref.directory is not None:
        raise RequestError(
            f"{checkpoint!r} is neither a repo nor an existing directory.",
            "Write owner/name, owner/name@revision, or the path of a directory.",
            code=ErrorCode.WRONG_INPUT,
        )
    return ref


def _source(published: BuildRecord, role: Role, api: HfApi) -> Source:
    """Return a source at its recorded commit, with the files that are used downloaded."""
    recorded = published.sources[role]
    written: SourceRef | None = getattr(published.pair, role, None)
    is_own = (recorded.config.name, recorded.config.commit) == (recorded.name, recorded.commit)
    ref = SourceRef(
        **_named(recorded),
        config=None if is_own else ConfigRef(**_named(recorded.config)),
        allow_pickle=written is not None and written.allow_pickle,
    )
    source = resolve_source(role, ref, api).fetch(api)
    digests = source.digests()
    other = sorted(name for name in recorded.files if digests.get(name) != recorded.files[name])
    if other:
        raise VedError(
            f"{source} differs from what the checkpoint was built from: {join_limited(other)}.",
            f"Restore the files whose sha256 {build_record.FILE_NAME} names.",
            code=ErrorCode.SOURCES_DIFFER,
        )
    return source


def _named(recorded: RecordedSnapshot) -> dict[str, str]:
    """Return model and revision of a reference to a recorded source."""
    if recorded.commit is not None:
        return {"model": recorded.name, "revision": recorded.commit}
    is_relative = recorded.name.startswith(".")
    directory = recorded.name if is_relative else f"./{recorded.name}"
    if not Path(directory).is_dir():
        raise VedError(
            f"A source of the checkpoint is a local directory, and there is no {directory} here.",
            f"Run the command in the folder in which {directory} exists.",
            code=ErrorCode.NO_SUCH_DIRECTORY,
        )
    # Only the last part of an absolute path is recorded, so any absolute path that ends with it
    # gives the same checkpoint. A relative one would not: it is recorded as it is.
    return {"model": directory if is_relative else str(Path.cwd() / recorded.name)}


def _describe_as_published(
    rebuilt: BuildRecord, published: BuildRecord, directory: Path
) -> tuple[BuildRecord, list[str]]:
    """Complete the rebuilt record with the published fields that cannot be rebuilt.

    These are the manifest's entry, the card digest, the endpoint and the metadata of the sources.
    The model card is rendered again from them.

    Args:
        rebuilt: the record of the rebuilt checkpoint.
        published: the record of the published checkpoint.
        directory: the directory of the rebuilt checkpoint, for the card.

    Returns:
        The completed record, and a note on each property that could not be compared.
    """
    notes = []
    if rebuilt.versions != published.versions:
        other = [
            f"{name} {published.versions.get(name)} (here: {mine})"
            for name, mine in rebuilt.versions.items()
            if published.versions.get(name) != mine
        ]
        notes.append(f"It was built with other versions: {'; '.join(other)}.")
    if rebuilt.assembly_version != published.assembly_version:
        notes.append("It was built with a version of VED that assembles other bytes.")
    notes += [
        f"The metadata of {source} has changed since."
        for role, source in published.sources.items()
        if rebuilt.sources[role].metadata != source.metadata
    ]
    sources = {
        role: rebuilt.sources[role].model_copy(update={"metadata": source.metadata})
        for role, source in published.sources.items()
    }
    rebuilt = rebuilt.model_copy(
        update={
            "pair": published.pair,
            "card_digest": published.card_digest,
            "endpoint": published.endpoint,
            "sources": sources,
        }
    )
    if published.pair is None:
        return rebuilt, notes
    if published.card_digest == card.card_digest(
        published.pair, published.sources.values(), published.endpoint
    ):
        return card.write_card(rebuilt, directory), notes
    notes.append(f"Another version of VED wrote {card.FILE_NAME}, so only its digest was checked.")
    recorded = {name: file for name, file in published.files.items() if name == card.FILE_NAME}
    files = dict(sorted({**rebuilt.files, **recorded}.items()))
    return rebuilt.model_copy(update={"files": files}), notes


def _compare(
    rebuilt: BuildRecord, published: BuildRecord, files: PublishedCheckpoint, directory: Path
) -> Iterator[str]:
    """Yield the differences between a rebuilt and a published checkpoint, a sentence each."""
    for name, file in sorted(rebuilt.files.items()):
        difference = files.difference(name, file, directory)
        if difference is not None:
            yield difference
    for name in sorted(files.names() - rebuilt.files.keys()):
        yield f"{name} does not come from the sources."
    yield from _contradictions(published)
    versions = {
        "versions": published.versions,
        "assembly_version": published.assembly_version,
        "fingerprint": published.fingerprint,
    }
    same_versions = (rebuilt.versions, rebuilt.assembly_version) == (
        published.versions,
        published.assembly_version,
    )
    mine = rebuilt if same_versions else rebuilt.model_copy(update=versions)
    build_record.write_record(mine, directory)
    written = RecordedFile.of(directory / build_record.FILE_NAME)
    difference = files.difference(build_record.FILE_NAME, written, directory)
    if mine.encoded() != published.encoded():
        yield f"{build_record.FILE_NAME} does not describe the rebuilt checkpoint."
    elif same_versions and difference is not None:
        # The file has more than the record. Another version may do so, too, so it is not compared.
        yield difference


def _contradictions(published: BuildRecord) -> Iterator[str]:
    """Yield where the manifest's entry in a record contradicts the record."""
    pair = published.pair
    if pair is None:
        return
    values: dict[str, tuple[object, object]] = {
        "seed": (pair.seed, published.seed),
        "dtype": (pair.dtype, published.dtype),
        "weights": (tuple(sorted(pair.weights)), tuple(sorted(published.weights))),
        **{
            role: (getattr(pair, role).model, source.name)
            for role, source in published.sources.items()
            if source.commit is not None
        },
    }
    for key, (in_pair, recorded) in values.items():
        if in_pair != recorded:
            name = build_record.FILE_NAME
            yield f"{name} says {key}: {in_pair}, but it was built with {recorded}."
