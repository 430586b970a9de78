"""Put published repos into the collections that their pairs name."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.manifest.pair_models import Pair
from ved.planning import ActionName, Finding
from ved.publishing.collection_sync import sync_collection
from ved.publishing.collections import KEY, pairs_by_collection
from ved.results import Outcome, Result, ResultCollector

log = logging.getLogger("ved")

PUBLISHED: tuple[ActionName | Outcome, ...] = ("built", "card-only", "skipped")
"""The outcomes after which a repo is on the Hub and up to date."""

NOT_COLLECTED = "The run ended before its collection was changed."
"""The reason of a result until its collection is done; it stays if the run is interrupted."""


def sync_collections(
    pairs: Sequence[Pair], added: Sequence[Result], api: HfApi, collector: ResultCollector
) -> None:
    """Put published repos into their collections, and report those that the Hub refuses.

    Args:
        pairs: all pairs of the manifest, which give the items their order.
        added: what to report for pairs that only their collection lacks.
        api: the client of the Hub.
        collector: has the results of the other pairs; gets the results of all.
    """
    done = collector.results
    results = {result.pair.repo: result for result in (*done, *added)}
    for result in done:
        if result.pair.collection and result.action in PUBLISHED:
            collector.add(replace(result, reason=f"{result.reason} {NOT_COLLECTED}"))
    for name, its_pairs in pairs_by_collection(pairs).items():
        wanted = [
            result
            for result in results.values()
            if (result.pair.collection or "").lower() == name.lower() and result.action in PUBLISHED
        ]
        failed = (
            sync_collection([each.pair.repo for each in wanted], its_pairs, api) if wanted else {}
        )
        for result in wanted:
            error = failed.get(result.pair.repo)
            collector.add(_failure(result, error) if error else result)


def _failure(result: Result, error: VedError) -> Result:
    published = f"Published as {result.commit}" if result.commit else "Published"
    reason = f"{published}, but not in its collection: {error}"
    log.error("%s: Failed: %s", result.pair.repo, ErrorCode.COLLECTION_NOT_CHANGED)
    finding = Finding("error", KEY, reason, ErrorCode.COLLECTION_NOT_CHANGED)
    return replace(result, action="failed", reason=reason, findings=(*result.findings, finding))
