"""Have the Hub validate the metadata of cards: one request for all pairs whose metadata are alike.

The manifest's license and languages are checked before that, without the Hub. So this request only
helps, and a Hub that does not answer it costs a warning.
"""

import logging
from collections.abc import Hashable, Sequence

from ved.errors import ErrorCode, VedError
from ved.hub.access import HubAccess
from ved.hub.card_validation import validate_card
from ved.planning.actions import IdentifiedPair
from ved.planning.findings import Findings
from ved.planning.identification import map_concurrently
from ved.record import card
from ved.sources.metadata import merge_languages, merge_tags

log = logging.getLogger("ved")


def check_cards(subjects: Sequence[IdentifiedPair], access: HubAccess) -> list[Findings]:
    """Return what the Hub finds wrong with the metadata of each pair's card.

    Args:
        subjects: the pairs.
        access: the clients of the Hub. Without a token, nothing is validated.
    """
    if not (access.has_token or access.publisher):
        return [Findings() for _ in subjects]
    examples: dict[Hashable, IdentifiedPair] = {}
    for subject in subjects:
        examples.setdefault(_kind_of(subject), subject)
    refusals = map_concurrently(lambda each: _refusal(each, access), [*examples.values()])
    found = dict(zip(examples, refusals, strict=True))
    return [_findings(subject, found[_kind_of(subject)]) for subject in subjects]


def _kind_of(subject: IdentifiedPair) -> Hashable:
    """Return everything in the metadata of a card that the Hub may refuse."""
    metadata = [pinned.snapshot.metadata for pinned in subject.pinned.values()]
    languages = tuple(merge_languages(subject.pair.language, metadata))
    return subject.pair.license, languages, tuple(merge_tags(subject.pair.tags, metadata))


def _refusal(subject: IdentifiedPair, access: HubAccess) -> VedError | None:
    """Return why the Hub refuses the metadata of a card; None if it does not, or does not say."""
    snapshots = [pinned.snapshot for pinned in subject.pinned.values()]
    metadata = card.card_metadata(subject.pair, snapshots, subject.fingerprint, subject.card_digest)
    try:
        validate_card(metadata, subject.pair.repo, access.api)
    except VedError as error:
        if error.code == ErrorCode.MODEL_CARD_REFUSED:
            return error
        log.warning("%s The commit validates it.", error.cause)
    return None


def _findings(subject: IdentifiedPair, refusal: VedError | None) -> Findings:
    findings = Findings()
    with findings.about("license"):
        if refusal is not None:
            raise VedError(refusal.cause, refusal.remedy, code=refusal.code)
    return findings
