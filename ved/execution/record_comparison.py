"""Compare the build record of a published checkpoint with the record of the rebuilt one."""

import json
import os
from collections.abc import Iterator
from itertools import islice

from ved.manifest.pair_models import SourceRef
from ved.record import BuildRecord, RecordedSource, build_record
from ved.sources.weight_files import weight_format

MAX_DIFFERENCES = 20
"""How many differences within the two files are named."""


def record_differences(content: bytes, expected: BuildRecord) -> Iterator[str]:
    """Yield the differences between a ved.json and the record of the rebuilt checkpoint.

    Args:
        content: the bytes of a file that `build_record.parse_record` accepts.
        expected: the record.
    """
    wanted = expected.encoded()
    if content == wanted:
        return
    differences = _differences("", json.loads(content), json.loads(wanted))
    named = [*islice(differences, MAX_DIFFERENCES)]
    for each in named or ["its form differs from what VED writes"]:
        yield f"{build_record.FILE_NAME}: {each}."


def _differences(place: str, found: object, wanted: object) -> Iterator[str]:
    """Yield the differences between two values of JSON, with their places."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            inner = f"{place}.{key}" if place else str(key)
            if key not in wanted:
                yield f"{inner} does not come from the sources"
            elif key not in found:
                yield f"{inner} is missing"
            else:
                yield from _differences(inner, found[key], wanted[key])
    elif type(found) is not type(wanted) or found != wanted:
        yield f"{place} is {found!r:.100}, the sources give {wanted!r:.100}"


def contradictions(record: BuildRecord, repo: str | None) -> Iterator[str]:
    """Yield where the manifest's entry in a record contradicts the record or the repo.

    The entry cannot be rebuilt from the sources, and the card repeats it.

    Args:
        record: the record.
        repo: the id of the checkpoint's repo; None for a directory.
    """
    pair = record.pair
    if pair is None:
        return
    if repo is not None and pair.repo.lower() != repo.lower():
        yield f"{build_record.FILE_NAME} is that of {pair.repo}, and this repo is {repo}."
    values: dict[str, tuple[object, object]] = {
        "seed": (pair.seed, record.seed),
        "dtype": (pair.dtype, record.dtype),
        "weights": (sorted(pair.weights), sorted(record.weights)),
        **{
            f"token_ids.{role}": (getattr(pair.token_ids, role), token.id)
            for role, token in record.token_ids.items()
            if getattr(pair.token_ids, role) is not None
        },
    }
    for key, (in_pair, recorded) in values.items():
        if in_pair != recorded:
            yield _contradiction(key, in_pair, recorded)
    yield from _source_contradictions("encoder", pair.encoder, record.sources["encoder"])
    yield from _source_contradictions("decoder", pair.decoder, record.sources["decoder"])


def _source_contradictions(role: str, ref: SourceRef, source: RecordedSource) -> Iterator[str]:
    config = ref.config or ref
    values = {
        role: (ref.model, source.name, ref.revision, source.commit),
        f"{role}.config": (
            *(config.model, source.config.name),
            *(config.revision, source.config.commit),
        ),
    }
    for key, (model, name, revision, commit) in values.items():
        # The path of a local directory begins with ./ in an entry, and not always in a record.
        if os.path.normpath(model) != os.path.normpath(name):
            yield _contradiction(key, model, name)
        is_commit = revision is not None and len(revision) == 40
        if is_commit and revision != commit:
            yield _contradiction(f"{key}.revision", revision, commit)

    used = weight_format(source.files)
    if ref.weights_from not in (None, used):
        yield _contradiction(f"{role}.weights_from", ref.weights_from, used)


def _contradiction(key: str, in_pair: object, recorded: object) -> str:
    name = build_record.FILE_NAME
    return f"{name} says {key}: {in_pair}, but it was built with {recorded}."
