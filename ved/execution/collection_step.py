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
from ved.results import Outcome, Result

log = logging.getLogger("ved")

PUBLISHED: tuple[ActionName | Outcome, ...] = ("built", "card-only", "skipped")
"""The outcomes after which a repo is on the Hub and up to date."""


def sync_collections(pairs: Sequence[Pair], results: Sequence[Result], api: HfApi) -> list[Result]:
    """Put published repos into their collections; return the results, some of them now failed.

    Args:
        pairs: all pairs of the manifest, which give the items their order.
        results: the results of the pairs of this run.
        api: the client of the Hub.
    """
    failed: dict[str, VedError] = {}
    for name, its_pairs in pairs_by_collection(pairs).items():
        wanted = [
            result.pair.repo
            for result in results
            if (result.pair.collection or "").lower() == name.lower() and result.action in PUBLISHED
        ]
        if wanted:
            failed |= sync_collection(wanted, its_pairs, api)
    return [
        _failure(result, failed[result.pair.repo]) if result.pair.repo in failed else result
        for result in results
    ]


def _failure(result: Result, error: VedError) -> Result:
    published = f"Published as {result.commit}" if result.commit else "Published"
    reason = f"{published}, but not in its collection: {error}"
    log.error("%s: Failed: %s", result.pair.repo, reason)
    finding = Finding("error", KEY, reason, ErrorCode.COLLECTION_NOT_CHANGED)
    return replace(result, action="failed", reason=reason, findings=(*result.findings, finding))
