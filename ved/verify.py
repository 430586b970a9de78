"""Rebuilds a checkpoint from its record, and compares every file with what is there.

Of a repo no weights are downloaded: the Hub lists what it holds by digest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from huggingface_hub import HfApi
from pydantic import ValidationError

from ved import card, record, targets
from ved.errors import RequestError, VedError, describe
from ved.families import Role
from ved.hub_errors import explained
from ved.ledger import listed
from ved.make import make_checkpoint, staging
from ved.manifest import ConfigRef, SourceRef
from ved.record import BuildRecord, RecordedFile, RecordedSnapshot
from ved.source import Source, resolve
from ved.targets import Target
from ved.tensors.files import StoredWeight, open_weights
from ved.tensors.tensor import as_bytes

_WEIGHTS = (".safetensors", ".msgpack")


@dataclass(frozen=True)
class Verdict:
    """What came of a comparison.

    Attributes:
        origin: the checkpoint.
        files: how many files were made anew and compared.
        differences: what is not as the record's sources give it, a sentence each.
        notes: what could not be compared, and why.
    """

    origin: str
    files: int
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_true(self) -> bool:
        """Whether every file is what it is said to be."""
        return not self.differences

    def __str__(self) -> str:
        head = (
            f"{self.origin}: {self.files} files are what the sources give, bit for bit."
            if self.is_true
            else f"{self.origin} is not what its record says:"
        )
        return "\n".join((head, *(f"  {text}" for text in (*self.differences, *self.notes))))


class _Checkpoint(Protocol):
    """A published checkpoint, wherever it is."""

    def names(self) -> set[str]:
        """Return the names of its files that are loaded as a checkpoint."""
        ...

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        """Say how a file differs from the one that was rebuilt in a directory, if it does."""
        ...


def verify(checkpoint: str, api: HfApi) -> Verdict:
    """Rebuild a checkpoint that VED made, and compare.

    Args:
        checkpoint: `owner/name`, `owner/name@revision`, or a directory.
        api: the Hub.

    Raises:
        RequestError: it is neither.
        VedError: it has no record, or cannot be rebuilt.
        OSError: a file cannot be read or written.
    """
    published, there, origin = _open(checkpoint, api)
    encoder = _source(published, "encoder", api)
    decoder = _source(published, "decoder", api)
    with staging(None) as directory:
        rebuilt = make_checkpoint(encoder, decoder, directory, api, published.settings)
        rebuilt, notes = _with_words(rebuilt, published, directory)
        differences = [*_compare(rebuilt, published, there, directory)]
        compared = 1 + sum((directory / name).exists() for name in rebuilt.files)
    return Verdict(origin, compared, tuple(differences), tuple(notes))


def _open(checkpoint: str, api: HfApi) -> tuple[BuildRecord, _Checkpoint, str]:
    directory = Path(checkpoint)
    if directory.is_dir():
        path = directory / record.FILE_NAME
        if not path.is_file():
            raise VedError(f"{directory} was not made by VED (it has no {record.FILE_NAME}).")
        return record.read(path.read_bytes(), checkpoint), _OnDisk(directory), checkpoint
    ref = _repo(checkpoint)
    with explained(f"read {checkpoint}", ref.model):
        info = api.model_info(ref.model, revision=ref.revision, files_metadata=True)
        target = targets.of_info(ref.model, info)
    if record.FILE_NAME not in target.files:
        raise VedError(f"{checkpoint} was not made by VED (it has no {record.FILE_NAME}).")
    origin = f"{target.repo}@{(target.head or '')[:12]}"
    return targets.published(target, api), _OnHub(target), origin


def _repo(checkpoint: str) -> ConfigRef:
    """Read `owner/name` or `owner/name@revision`."""
    try:
        ref = ConfigRef.model_validate(checkpoint)
    except ValidationError:
        ref = None
    if ref is None or ref.directory is not None:
        raise RequestError(
            f"{checkpoint!r} is no repo and no directory that is there.",
            "Write owner/name, owner/name@revision, or the path of a directory.",
        )
    return ref


def _source(published: BuildRecord, role: Role, api: HfApi) -> Source:
    """Return a source at its recorded commit, with what is used of it downloaded."""
    recorded = published.sources[role]
    written: SourceRef | None = getattr(published.pair, role, None)
    is_own = (recorded.config.name, recorded.config.commit) == (recorded.name, recorded.commit)
    ref = SourceRef(
        **_named(recorded),
        config=None if is_own else ConfigRef(**_named(recorded.config)),
        allow_pickle=written is not None and written.allow_pickle,
    )
    source = resolve(role, ref, api).fetch(api)
    digests = source.digests()
    other = sorted(name for name in recorded.files if digests.get(name) != recorded.files[name])
    if other:
        raise VedError(
            f"{source} is not what the checkpoint was made of: {listed(other)} differ.",
            f"Have the files there whose sha256 {record.FILE_NAME} names.",
        )
    return source


def _named(recorded: RecordedSnapshot) -> dict[str, str]:
    """Return the model, and the revision, of a reference to what was recorded."""
    if recorded.commit is not None:
        return {"model": recorded.name, "revision": recorded.commit}
    directory = recorded.name if recorded.name.startswith(".") else f"./{recorded.name}"
    if not Path(directory).is_dir():
        raise VedError(
            f"The checkpoint was made of a local directory, {recorded.name}, which is not here.",
            "Run it in the folder that the directory is in.",
        )
    return {"model": directory}


def _with_words(
    rebuilt: BuildRecord, published: BuildRecord, directory: Path
) -> tuple[BuildRecord, list[str]]:
    """Return the rebuilt record with the words of the published one, and what VED cannot tell."""
    notes = []
    if rebuilt.versions != published.versions:
        other = [
            f"{name} {published.versions.get(name)}, here {mine}"
            for name, mine in rebuilt.versions.items()
            if published.versions.get(name) != mine
        ]
        notes.append(f"It was made with {'; '.join(other)}.")
    notes += [
        f"What the authors of {source} state of it is not what it was."
        for role, source in published.sources.items()
        if rebuilt.sources[role].stated != source.stated
    ]
    rebuilt = _as_told(rebuilt, published)
    if published.pair is None:
        return rebuilt, notes
    if published.words == card.words(
        published.pair, published.sources.values(), published.endpoint
    ):
        return card.write(rebuilt, directory), notes
    notes.append(
        f"{card.FILE_NAME} has the words of another version of VED, and is held against its digest"
        " alone."
    )
    told = {name: file for name, file in published.files.items() if name == card.FILE_NAME}
    known = dict(sorted({**rebuilt.files, **told}.items()))
    return rebuilt.model_copy(update={"files": known}), notes


def _as_told(rebuilt: BuildRecord, published: BuildRecord) -> BuildRecord:
    """Return the rebuilt record with what only the published one can tell, and no more than it."""
    sources = {
        role: rebuilt.sources[role].model_copy(
            update={"stated": source.stated}
            | ({} if source.architecture else {"architecture": None})
        )
        for role, source in published.sources.items()
    }
    ledger = {
        role: part
        if role in published.ledger and published.ledger[role].contents
        else part.model_copy(update={"contents": None})
        for role, part in rebuilt.ledger.items()
    }
    said = {"pair": published.pair, "words": published.words, "endpoint": published.endpoint}
    return rebuilt.model_copy(update={**said, "sources": sources, "ledger": ledger})


def _compare(
    rebuilt: BuildRecord, published: BuildRecord, there: _Checkpoint, directory: Path
) -> Iterator[str]:
    for name, file in sorted(rebuilt.files.items()):
        difference = there.difference(name, file, directory)
        if difference is not None:
            yield difference
    for name in sorted(there.names() - rebuilt.files.keys()):
        yield f"{name} does not come from the sources."
    yield from _contradictions(published)
    versions = {"versions": published.versions, "fingerprint": published.fingerprint}
    same_versions = rebuilt.versions == published.versions
    mine = rebuilt if same_versions else rebuilt.model_copy(update=versions)
    record.write(mine, directory)
    written = RecordedFile.of(directory / record.FILE_NAME)
    difference = there.difference(record.FILE_NAME, written, directory)
    if mine.encoded() != published.encoded():
        yield f"{record.FILE_NAME} tells of something else than what was rebuilt."
    elif same_versions and difference is not None:
        # It has what no record has, and another version may have a record with more in it.
        yield difference


def _contradictions(published: BuildRecord) -> Iterator[str]:
    """Say what the manifest's entry in a record has that the checkpoint was not made with."""
    pair = published.pair
    if pair is None:
        return
    told: dict[str, tuple[object, object]] = {
        "seed": (pair.seed, published.seed),
        "dtype": (pair.dtype, published.dtype),
        "weights": (pair.weights, published.weights),
        **{
            role: (getattr(pair, role).model, source.name)
            for role, source in published.sources.items()
            if source.commit is not None
        },
    }
    for key, (in_pair, made_with) in told.items():
        if in_pair != made_with:
            yield f"{record.FILE_NAME} says {key}: {in_pair}, and it was made with {made_with}."


@dataclass(frozen=True)
class _OnHub:
    """A checkpoint in a repo, of which only the listing is read."""

    target: Target

    def names(self) -> set[str]:
        return {*self.target.checkpoint_files()}

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        file = self.target.files.get(name)
        if file is None:
            return f"{name} is missing."
        if file.holds(rebuilt):
            return None
        held = f"sha256 {file.sha256}" if file.sha256 else f"git object {file.git_oid}"
        wanted = f"sha256 {rebuilt.sha256}" if file.sha256 else f"git object {rebuilt.git_oid}"
        return f"{name} differs: it has {held}, where the sources give {wanted}."


@dataclass(frozen=True)
class _OnDisk:
    """A checkpoint in a directory, which can be read tensor by tensor."""

    directory: Path

    def names(self) -> set[str]:
        files = {path.name for path in self.directory.iterdir()}
        return {*targets.checkpoint_files(files)}

    def difference(self, name: str, rebuilt: RecordedFile, directory: Path) -> str | None:
        path = self.directory / name
        if not path.is_file():
            return f"{name} is missing."
        if RecordedFile.of(path).sha256 == rebuilt.sha256:
            return None
        if path.suffix not in _WEIGHTS:
            return f"{name} differs."
        return f"{name} differs: {_different_tensors(path, directory / name)}."


def _different_tensors(path: Path, rebuilt: Path) -> str:
    """Say which tensors of a weight file are others than those of the file that was rebuilt."""
    try:
        mine, theirs = (
            {each.name: each for each in open_weights([file])} for file in (rebuilt, path)
        )
        other = [name for name in mine if name in theirs and not _same(mine[name], theirs[name])]
    except VedError as error:
        return str(error).rstrip(".")
    except OSError as error:
        return describe(error).rstrip(".")
    parts = {
        "these tensors are others": other,
        "these are missing": [name for name in mine if name not in theirs],
        "these were added": [name for name in theirs if name not in mine],
    }
    said = [f"{words}: {listed(names)}" for words, names in parts.items() if names]
    return "; ".join(said) or "its tensors are the same, and its header is not"


def _same(mine: StoredWeight, theirs: StoredWeight) -> bool:
    first, second = mine.tensor, theirs.tensor
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        return False
    return all(
        as_bytes(a) == as_bytes(b) for a, b in zip(first.blocks(), second.blocks(), strict=True)
    )
