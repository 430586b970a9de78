"""Run a plan: build what has to be built, update cards and visibility, then the collections."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ved.examination.examiner import share_examiner
from ved.execution import readback
from ved.execution.collection_step import sync_collections
from ved.execution.pipeline import Pipeline
from ved.execution.progress import progress_bars
from ved.execution.source_store import SourceStore
from ved.hub.access import HubAccess
from ved.manifest.pair_models import Pair
from ved.planning import AddToCollection, Build, PlannedAction, RenewCard, RunOptions, SetVisibility
from ved.planning.build_order import order_by_download_cost
from ved.planning.machine_checks import disk_budget, disk_need
from ved.results import ResultCollector, outcome_result


def run_plan(
    plan: Sequence[PlannedAction],
    pairs: Sequence[Pair],
    options: RunOptions,
    access: HubAccess,
    collector: ResultCollector,
) -> None:
    """Run planned actions; the results are in the collector, also after an exception.

    Args:
        plan: the planned actions.
        pairs: all pairs of the manifest, which give collections their order.
        options: the options of the run.
        access: the clients of the Hub.
        collector: gets the plan, and each result as soon as it is known.

    Raises:
        KeyboardInterrupt: the process is interrupted.
    """
    collector.start(plan, access.api.endpoint)
    builds = order_by_download_cost(each for each in plan if isinstance(each, Build))
    updates = [each for each in plan if isinstance(each, RenewCard | SetVisibility)]
    if builds or updates:
        if options.output_directory is not None:
            options.output_directory.mkdir(parents=True, exist_ok=True)
        # Beside the kept checkpoints, so that a finished one is moved there by a rename.
        with (
            tempfile.TemporaryDirectory(
                prefix=".ved-", dir=options.output_directory, ignore_cleanup_errors=True
            ) as name,
            share_examiner(),
            progress_bars(_bytes(builds, options), are_drawn=options.progress_bar) as progress,
        ):
            directory = Path(name)
            budget = disk_budget(options)
            users = [list(build.sources.values()) for build in builds]
            store = SourceStore(directory / "sources", budget, access.api, users)
            pipeline = Pipeline(
                access, budget, store, directory / "checkpoints", progress, collector, options
            )
            pipeline.run(builds, updates)
    if options.push:
        added = [
            outcome_result(action, "card-only", access.api.endpoint, action.head)
            for action in plan
            if isinstance(action, AddToCollection)
        ]
        sync_collections(pairs, added, access.api, collector)


def _bytes(builds: Iterable[Build], options: RunOptions) -> int:
    """Return the bytes to download, to write, to upload and to check."""
    downloads: dict[str, int] = {}
    outputs = 0
    for build in builds:
        downloads |= disk_need(build, options).sources
        outputs += build.estimate.output * (1 + options.push)
        outputs += readback.planned_bytes(build) if options.push else 0
    return sum(downloads.values()) + outputs
