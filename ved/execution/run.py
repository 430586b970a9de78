"""From a manifest to what became of each pair: plan, then build what the plan says."""

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from ved.errors import ErrorCode, RequestError
from ved.execution import collections
from ved.execution.pipeline import Pipeline, order_by_download_cost
from ved.execution.progress import progress_bar
from ved.execution.store import Store
from ved.hub import account
from ved.hub.access import HubAccess
from ved.hub.oidc import Publisher
from ved.machine.disk import free_disk
from ved.manifest.loading import Manifest
from ved.manifest.models import Pair
from ved.planning import plan
from ved.planning.actions import Planned
from ved.planning.plan import PlanContext
from ved.results.result import Result
from ved.results.text import format_lines

log = logging.getLogger("ved")

ANONYMOUS = "Planned without a token: private repos are not seen, and rights are not checked."


@dataclass(frozen=True)
class RunOptions:
    """How to build.

    Attributes:
        only: the repos to build; all where empty.
        output_directory: where to keep what is built, as `<owner>/<name>`.
        push: whether to publish it.
        max_disk: bytes of disk that sources and checkpoints may take at a time; None for all that
            is free.
        bar: whether to draw a progress bar.
        allowed_namespaces: the only ones to publish to; all where empty.
    """

    only: tuple[str, ...] = ()
    output_directory: Path | None = None
    push: bool = True
    max_disk: int | None = None
    bar: bool = False
    allowed_namespaces: tuple[str, ...] = ()


def build(
    manifest: Manifest, options: RunOptions, api: HfApi, publisher: Publisher | None = None
) -> list[Result]:
    """Do what the plan says, and return what became of each pair, in the manifest's order.

    Args:
        manifest: the pairs.
        options: which of them, and what to do with them.
        api: the Hub, with the stored token if there is one.
        publisher: the job's identity, where it is to publish with that.

    Raises:
        RequestError: the request itself is wrong; then nothing was built.
    """
    pairs = select(manifest, options.only)
    access = HubAccess(api, publisher)
    # What a job's identity may push to is seen when it is tried.
    ask = options.push and publisher is None
    planned = _planned(pairs, options, account.writable_namespaces(api) if ask else None, access)
    log.info("%s\n", format_lines([each.as_result(api) for each in planned], findings=True))
    done = _run([each for each in planned if each.pending], options, access)
    results = [done.get(each.pair.repo) or _not_done(each, api) for each in planned]
    return collections.sync_collections(manifest.pairs, results, api) if options.push else results


def preview(manifest: Manifest, options: RunOptions, api: HfApi) -> list[Planned]:
    """Return what `build` would do for each pair, as far as it can be known beforehand.

    It does not need a token; without one, rights are not checked and private repos not seen.

    Raises:
        RequestError: the request itself is wrong.
    """
    pairs = select(manifest, options.only)
    namespaces = account.known_namespaces(api)
    if namespaces is None:
        log.info(ANONYMOUS)
    return _planned(pairs, options, namespaces, HubAccess(api))


def select(manifest: Manifest, only: Iterable[str]) -> list[Pair]:
    """Return the pairs asked for by `owner/name`, or by the name alone where that is one pair's.

    Raises:
        RequestError: a name is no pair's, or that of several.
    """
    found = {
        asked: [pair for pair in manifest.pairs if asked.lower() in _names(pair)] for asked in only
    }
    unknown = [asked for asked, pairs in found.items() if len(pairs) != 1]
    if unknown:
        raise RequestError(
            f"{manifest.name} has no one pair that is called {', '.join(unknown)}.",
            f"It has {', '.join(pair.repo for pair in manifest.pairs)}.",
            code=ErrorCode.NO_SUCH_PAIR,
        )
    wanted = {pair.repo for pairs in found.values() for pair in pairs}
    return [pair for pair in manifest.pairs if not wanted or pair.repo in wanted]


def _names(pair: Pair) -> tuple[str, str]:
    repo = pair.repo.lower()
    return repo, repo.partition("/")[2]


def _planned(
    pairs: Sequence[Pair], options: RunOptions, namespaces: frozenset[str] | None, access: HubAccess
) -> list[Planned]:
    allowed = frozenset(name.lower() for name in options.allowed_namespaces)
    circumstances = PlanContext(
        access,
        namespaces,
        allowed or None,
        options.push,
        options.output_directory,
        options.max_disk,
    )
    return plan.make_plan(pairs, circumstances)


def _run(pending: Sequence[Planned], options: RunOptions, access: HubAccess) -> dict[str, Result]:
    queue = order_by_download_cost(planned for planned in pending if planned.action == "build")
    cards = [planned for planned in pending if planned.action == "card-only"]
    # Beside where checkpoints are kept, so that a finished one is there at once.
    with (
        tempfile.TemporaryDirectory(
            prefix=".ved-", dir=options.output_directory, ignore_cleanup_errors=True
        ) as name,
        progress_bar(_bytes(queue, push=options.push), bar=options.bar) as progress,
    ):
        directory = Path(name)
        limit = options.max_disk or free_disk(directory)
        users = [list(planned.sources.values()) for planned in queue]
        pipeline = Pipeline(
            access,
            Store(directory / "sources", limit, access.api, users),
            directory / "checkpoints",
            progress,
            push=options.push,
            output_directory=options.output_directory,
        )
        return pipeline.run(queue, cards)


def _bytes(queue: Iterable[Planned], *, push: bool) -> int:
    """Return how many bytes there are to download, to write, to upload and to check."""
    downloads: dict[str, int] = {}
    outputs = 0
    for planned in queue:
        assert planned.needs is not None
        downloads |= planned.needs.sources
        outputs += planned.needs.output * (1 + push + (push and planned.pair.check != "none"))
    return sum(downloads.values()) + outputs


def _not_done(planned: Planned, api: HfApi) -> Result:
    """Return the result of a pair for which there was nothing to do, or nothing that could be."""
    return planned.result("skipped" if planned.action == "skip" else "refused", api)
