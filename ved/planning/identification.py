"""Identify pairs: pin their sources to commits, and compute what decides their repos' content."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from ved.errors import ErrorCode, VedError, as_ved_error
from ved.families.family import Role
from ved.hub import account
from ved.hub.access import HubAccess
from ved.hub.rights import Rights
from ved.interruption import thread_pool
from ved.manifest.pair_models import ConfigRef, Pair, SourceRef
from ved.manifest.settings import CheckpointSettings
from ved.planning.actions import IdentifiedPair
from ved.planning.findings import Findings
from ved.planning.options import RunOptions
from ved.publishing import collections
from ved.record import card
from ved.record.fingerprint import compute_fingerprint
from ved.sources import Pinned, Snapshot, pin

log = logging.getLogger("ved")

REQUESTS = 8
"""How many requests run at the same time."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_Name: TypeAlias = tuple[str, str | None]
_Snapshots: TypeAlias = Mapping[_Name, Snapshot | VedError]


def identify_pairs(
    pairs: Sequence[Pair],
    options: RunOptions,
    access: HubAccess,
    rights: Rights | None,
) -> list[IdentifiedPair]:
    """Return each pair with everything that decides what its repo should contain.

    Args:
        pairs: entries of the manifest.
        options: the options of the run.
        access: the clients of the Hub.
        rights: the rights of the token; None if they are unknown.
    """
    refs: dict[_Name, ConfigRef] = {_name(ref): ref for pair in pairs for ref in _refs(pair)}
    found = map_concurrently(
        lambda ref: value_or_error(lambda: pin(ref, access.api, options.workspace)),
        [*refs.values()],
    )
    snapshots = dict(zip(refs, found, strict=True))
    return [_identify(pair, snapshots, options, access, rights) for pair in pairs]


def map_concurrently(function: Callable[[_Item], _Answer], items: Sequence[_Item]) -> list[_Answer]:
    """Return what a function returns for each item; up to `REQUESTS` calls run at a time."""
    with thread_pool(REQUESTS) as pool:
        return list(pool.map(function, items))


def value_or_error(function: Callable[[], _Answer]) -> _Answer | VedError:
    """Return what a function returns, or its exception as a VedError; log an unexpected one."""
    try:
        return function()
    except Exception as error:
        if not isinstance(error, VedError | OSError):
            log.error("Unexpected error", exc_info=error)
        return as_ved_error(error)


def raise_error(answer: _Answer | VedError) -> _Answer:
    """Return an answer of `value_or_error`, or raise it.

    Raises:
        VedError: the answer is one.
    """
    if isinstance(answer, VedError):
        # The same object raised for many pairs would collect all their tracebacks.
        raise VedError(answer.cause, answer.remedy, code=answer.code)
    return answer


def _refs(pair: Pair) -> Iterator[ConfigRef]:
    for ref in (pair.encoder, pair.decoder, pair.encoder.config, pair.decoder.config):
        if ref is not None:
            yield ref


def _name(ref: ConfigRef) -> _Name:
    return ref.model, ref.revision


def _identify(
    pair: Pair,
    snapshots: _Snapshots,
    options: RunOptions,
    access: HubAccess,
    rights: Rights | None,
) -> IdentifiedPair:
    findings = Findings()
    pinned: dict[Role, Pinned] = {}
    refs: dict[Role, SourceRef] = {"encoder": pair.encoder, "decoder": pair.decoder}
    for role, ref in refs.items():
        with findings.about(role):
            snapshot = raise_error(snapshots[_name(ref)])
            config = raise_error(snapshots[_name(ref.config)]) if ref.config else snapshot
            pinned[role] = Pinned.of(ref, snapshot, config)
            pinned[role].identity(role, access.api)  # may fail for a local directory
    if options.push:
        allowed = frozenset(name.lower() for name in options.allowed_namespaces)
        with findings.about("repo"):
            _check_target(pair, pinned.values())
            _check_namespace(pair.repo, allowed, rights)
        if pair.collection:
            with findings.about(collections.KEY):
                _check_namespace(pair.collection, allowed, None)
                collections.check_collection(pair.collection, access, rights)
    fingerprint = ""
    if not findings:
        with findings.about("encoder"):
            settings = CheckpointSettings.of(pair)
            fingerprint = compute_fingerprint(
                pinned["encoder"], pinned["decoder"], settings, access.api
            )
    _note_moves(pinned, findings)
    digest = card.card_digest(
        pair, [each.snapshot for each in pinned.values()], access.api.endpoint
    )
    return IdentifiedPair(pair, pinned, fingerprint, digest, tuple(findings))


def _note_moves(pinned: Mapping[Role, Pinned], findings: Findings) -> None:
    """Mention the sources that have other names now. The model card has these names."""
    for role, source in pinned.items():
        for name, moved_to in _moves(source).items():
            message = f"{name} has moved: its name is now {moved_to}. Write {moved_to}."
            findings.notice(role, message, ErrorCode.REPO_MOVED)


def _moves(source: Pinned) -> dict[str, str]:
    """Return the present names of the repos of a source that have moved, by their names here."""
    snapshots = (source.snapshot, source.config_snapshot)
    return {each.name: each.metadata.moved_to for each in snapshots if each.metadata.moved_to}


def _check_target(pair: Pair, pinned: Iterable[Pinned]) -> None:
    moved = [name for source in pinned for name in _moves(source).values()]
    names = (pair.encoder.model, pair.decoder.model, *moved)
    if pair.repo.lower() in [name.lower() for name in names]:
        raise VedError(
            f"{pair.repo} is one of its own sources, which publishing would replace.",
            "Choose another name.",
            code=ErrorCode.REPO_IS_ITS_OWN_SOURCE,
        )


def _check_namespace(name: str, allowed: frozenset[str], rights: Rights | None) -> None:
    if allowed:
        account.check_allowed(name, allowed)
    if rights is not None:
        account.check_rights(name, rights)
