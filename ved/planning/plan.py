"""Plan a run: decide for each pair whether to build, renew the card, skip or refuse, and why.

The state of the world is on the Hub. Each source is requested once, however many pairs share it.
One listing of each namespace shows which repos are up to date; only the other repos are inspected
one by one, and a few of those that changed last.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from huggingface_hub import HfApi

from ved.errors import VedError
from ved.hub.access import HubAccess
from ved.manifest.models import Pair
from ved.planning.actions import (
    BuildCandidate,
    ComparedAction,
    IdentifiedPair,
    PlannedAction,
    Refuse,
    Skip,
    with_findings,
)
from ved.planning.comparison import UP_TO_DATE, compare_with_repo
from ved.planning.findings import Findings
from ved.planning.identification import (
    identify_pairs,
    map_concurrently,
    raise_error,
    value_or_error,
)
from ved.planning.options import RunOptions
from ved.publishing import collections, repos
from ved.publishing.repos import ListedRepo
from ved.record.output_directory import check_output_directory, read_output_directory

INSPECTED_REPOS = 5
"""How many of the repos that seem to be up to date are inspected: those that changed last. A
listing does not show whether somebody has trained in a repo."""

UNCOLLECTED = "Its collection does not list it, or lists it out of order."

_Listings: TypeAlias = Mapping[str, dict[str, ListedRepo] | VedError]


def make_plan(
    pairs: Sequence[Pair],
    options: RunOptions,
    access: HubAccess,
    namespaces: frozenset[str] | None = None,
    *,
    builds_here: bool = True,
) -> list[PlannedAction]:
    """Return the action for each pair, in order. Writes nothing, and reads no weights.

    Args:
        pairs: entries of the manifest.
        options: the options of the run.
        access: the clients of the Hub.
        namespaces: the users and organizations that the token can publish to, in lower case; None
            if that is unknown.
        builds_here: whether this machine is going to build; otherwise a small disk is a warning.
    """
    subjects = identify_pairs(pairs, options, access, namespaces)
    actions = [with_findings(BuildCandidate(each, "", None), ()) for each in subjects]
    compared: Sequence[ComparedAction] = actions
    if options.push:
        compared = _find_uncollected(_compare_with_hub(actions, options, access), access.api)
    if options.output_directory is not None:
        compared = [_compare_with_directory(each, options) for each in compared]
    planned: list[PlannedAction] = []
    unchecked: list[BuildCandidate | Refuse] = []
    for action in compared:
        if isinstance(action, BuildCandidate | Refuse):
            unchecked.append(action)
        else:
            planned.append(action)
    if unchecked:
        # Importing it imports jax and transformers, which a plan without a build does not need.
        from ved.planning.preflight import check_sources

        with tempfile.TemporaryDirectory(prefix=".ved-headers-") as name:
            planned += check_sources(unchecked, options, access, Path(name), strict=builds_here)
    by_repo = {action.pair.repo: action for action in planned}
    return [by_repo[pair.repo] for pair in pairs]


def _compare_with_hub(
    actions: Sequence[BuildCandidate | Refuse], options: RunOptions, access: HubAccess
) -> list[ComparedAction]:
    """Return the actions by the state of the repos; only those that need it are inspected."""
    names = [*dict.fromkeys(_namespace(each) for each in actions if not isinstance(each, Refuse))]
    found = map_concurrently(
        lambda name: value_or_error(lambda: repos.list_repos(name, access.api)), names
    )
    listings = dict(zip(names, found, strict=True))
    listed = [_compare_with_listing(each, listings, options) for each in actions]
    up_to_date = [each for each in listed if isinstance(each, Skip)]
    up_to_date.sort(key=lambda each: _listed(each, listings).modified)
    trusted = {each.pair.repo for each in up_to_date[: -INSPECTED_REPOS or None]}

    def inspect(action: BuildCandidate | Skip | Refuse) -> ComparedAction:
        if isinstance(action, Refuse) or action.pair.repo in trusted:
            return action
        # An account that may push to a repo can also read it.
        to_push = isinstance(action, BuildCandidate)
        findings, compared = Findings(), None
        with findings.about("repo"):
            api = access.client_for(action.pair.repo) if to_push else access.api
            compared = compare_with_repo(action.subject, api)
        return with_findings(compared or action, findings)

    return map_concurrently(inspect, listed)


def _compare_with_listing(
    action: BuildCandidate | Refuse, listings: _Listings, options: RunOptions
) -> BuildCandidate | Skip | Refuse:
    """Return a `Skip` if the listing of the namespace says that the repo is up to date."""
    if isinstance(action, Refuse):
        return action
    findings = Findings()
    with findings.about("repo"):
        raise_error(listings[_namespace(action)])
    if findings:
        return with_findings(action, findings)
    pair, subject = action.pair, action.subject
    known = _listed(action, listings)
    is_up_to_date = (
        (known.fingerprint, known.card_digest) == (subject.fingerprint, subject.card_digest)
        and pair.private in (None, known.private)
        and not pair.overwrite
        and _is_kept(subject, options)
    )
    return Skip(subject, UP_TO_DATE, known.head) if is_up_to_date else action


def _compare_with_directory(action: ComparedAction, options: RunOptions) -> ComparedAction:
    """Return a `BuildCandidate` if the output directory lacks what the repo may have already."""
    assert options.output_directory is not None
    if isinstance(action, Refuse):
        return action
    if not _is_kept(action.subject, options):
        if not options.push or not isinstance(action, BuildCandidate):
            reason = "New in the output directory."
            action = BuildCandidate(action.subject, reason, action.target)
    elif not options.push:
        return Skip(action.subject, "Up to date in the output directory.", None)
    findings = Findings()
    if isinstance(action, BuildCandidate):
        with findings.about("repo"):
            check_output_directory(options.output_directory / action.pair.repo)
    return with_findings(action, findings)


def _is_kept(subject: IdentifiedPair, options: RunOptions) -> bool:
    """Return whether the output directory, if there is one, has the checkpoint."""
    if options.output_directory is None:
        return True
    kept = read_output_directory(options.output_directory / subject.pair.repo)
    digests = subject.fingerprint, subject.card_digest
    return kept is not None and (kept.fingerprint, kept.card_digest) == digests


def _find_uncollected(actions: Sequence[ComparedAction], api: HfApi) -> list[ComparedAction]:
    """Mark the repos that are up to date, but not in their collections."""
    pairs = [action.pair for action in actions if isinstance(action, Skip)]
    uncollected = collections.find_uncollected(pairs, api)
    return [
        replace(action, is_uncollected=True, reason=f"{action.reason} {UNCOLLECTED}")
        if isinstance(action, Skip) and action.pair.repo in uncollected
        else action
        for action in actions
    ]


def _namespace(action: ComparedAction) -> str:
    return action.pair.repo.partition("/")[0]


def _listed(action: ComparedAction, listings: _Listings) -> ListedRepo:
    """Return what a readable listing says of a repo."""
    listing = raise_error(listings[_namespace(action)])
    return listing.get(action.pair.repo.lower()) or ListedRepo("", False, 0.0, "", "")
