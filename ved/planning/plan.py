"""Plan a run: decide for each pair whether to build, renew the card, skip or refuse, and why.

The Hub has the state of all repos. Each source is requested once, however many pairs share it. One
listing of each namespace shows which repos are up to date. Only the others are inspected one by
one, and a few of those that changed last.
"""

import logging
from collections.abc import Sequence

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.access import HubAccess
from ved.hub.rights import Rights
from ved.manifest.pair_models import Pair
from ved.planning.actions import (
    AddToCollection,
    BuildCandidate,
    ComparedAction,
    PlannedAction,
    Refuse,
    Skip,
    is_pending,
    with_findings,
)
from ved.planning.comparison import (
    NEW,
    compare_with_directory,
    compare_with_listing,
    compare_with_repo,
    is_absent,
    listed_repo,
    namespace_of,
)
from ved.planning.findings import Findings
from ved.planning.identification import (
    identify_pairs,
    map_concurrently,
)
from ved.planning.options import RunOptions
from ved.planning.preflight import check_sources
from ved.publishing import collections, repos
from ved.publishing.repos import ListedRepo, TargetRepo

log = logging.getLogger("ved")

INSPECTED_REPOS = 5
"""How many of the repos that seem to be up to date are inspected: those that changed last. A
listing does not show whether somebody has trained in a repo."""

INSPECTED_NEW_REPOS = 100
"""How many of the repos that the listing of their namespace lacks are inspected. The others cost no
request in the plan: a build asks for each before it creates it."""


def make_plan(
    pairs: Sequence[Pair],
    options: RunOptions,
    access: HubAccess,
    rights: Rights | None = None,
    *,
    builds_here: bool = True,
) -> list[PlannedAction]:
    """Return the action for each pair, in order.

    Changes nothing on the Hub, and downloads no weights. Weights of a local directory are hashed.

    Args:
        pairs: entries of the manifest.
        options: the options of the run.
        access: the clients of the Hub.
        rights: the rights of the token; None if they are unknown.
        builds_here: whether this machine is going to build; otherwise a small disk is a warning.
    """
    subjects = identify_pairs(pairs, options, access, rights)
    actions = [with_findings(BuildCandidate(each, "", None), ()) for each in subjects]
    compared: Sequence[ComparedAction] = actions
    if options.push:
        compared = _find_uncollected(_compare_with_hub(actions, options, access), access.api)
    if options.output_directory is not None:
        compared = [compare_with_directory(each, options) for each in compared]
    planned: list[PlannedAction] = []
    unchecked: list[BuildCandidate | Refuse] = []
    for action in compared:
        if isinstance(action, BuildCandidate | Refuse):
            unchecked.append(action)
        else:
            planned.append(action)
    if unchecked:
        planned += check_sources(unchecked, options, access, strict=builds_here)
    if options.push and rights is not None:
        planned = [_with_doubt(action, rights) for action in planned]
    by_repo = {action.pair.repo: action for action in planned}
    return [by_repo[pair.repo] for pair in pairs]


def _with_doubt(action: PlannedAction, rights: Rights) -> PlannedAction:
    """Return an action that writes with a warning if the token may lack the right to write."""
    if not is_pending(action):
        return action
    target = getattr(action, "target", None)
    doubt = rights.doubt(action.pair.repo, exists=target is None or target.head is not None)
    findings = Findings()
    if doubt is not None:
        message = f"The token may lack the right to publish to {action.pair.repo}: {doubt}."
        findings.warn("repo", message, ErrorCode.TOKEN_MAY_NOT_WRITE)
    return with_findings(action, findings)


def _compare_with_hub(
    actions: Sequence[BuildCandidate | Refuse], options: RunOptions, access: HubAccess
) -> list[ComparedAction]:
    """Return the actions by the state of the repos; only those that need it are inspected."""
    names = [*dict.fromkeys(namespace_of(each) for each in actions if not isinstance(each, Refuse))]
    found = map_concurrently(lambda name: _list_repos(name, access.api), names)
    listings = dict(zip(names, found, strict=True))
    listed = [compare_with_listing(each, listings, options) for each in actions]
    up_to_date = [each for each in listed if isinstance(each, Skip)]
    up_to_date.sort(key=lambda each: listed_repo(each, listings).modified)
    trusted = {each.pair.repo for each in up_to_date[: -INSPECTED_REPOS or None]}
    # The stored token may not see a repo that the job's identity sees.
    absent = [] if access.publisher else [each for each in listed if is_absent(each, listings)]
    new = {each.pair.repo for each in absent[INSPECTED_NEW_REPOS:]}

    def inspect(action: BuildCandidate | Skip | Refuse) -> ComparedAction:
        if isinstance(action, Refuse) or action.pair.repo in trusted:
            return action
        if isinstance(action, BuildCandidate) and action.pair.repo in new:
            target = TargetRepo(action.pair.repo, is_inspected=False)
            return BuildCandidate(action.subject, NEW, target)
        # An account that may push to a repo can also read it.
        to_push = isinstance(action, BuildCandidate)
        findings, compared = Findings(), None
        with findings.about("repo"):
            api = access.client_for(action.pair.repo) if to_push else access.api
            compared = compare_with_repo(action.subject, api)
        return with_findings(compared or action, findings)

    return map_concurrently(inspect, listed)


def _list_repos(namespace: str, api: HfApi) -> dict[str, ListedRepo] | None:
    """Return a listing; None if there is none: then each repo is inspected."""
    try:
        return repos.list_repos(namespace, api)
    except VedError as error:
        log.warning("%s Each repo of %s is inspected instead.", error, namespace)
        return None


def _find_uncollected(actions: Sequence[ComparedAction], api: HfApi) -> list[ComparedAction]:
    """Return an `AddToCollection` for each repo that is up to date, but not in its collection."""
    pairs = [action.pair for action in actions if isinstance(action, Skip)]
    uncollected = collections.find_uncollected(pairs, api)
    return [
        AddToCollection(action.subject, "Missing in its collection.", action.head)
        if isinstance(action, Skip) and action.head and action.pair.repo in uncollected
        else action
        for action in actions
    ]
