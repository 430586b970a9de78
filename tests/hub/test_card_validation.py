"""ved.hub.card_validation: the Hub validates the metadata of a card."""

import pytest

from tests.support.publishing import client
from ved.errors import ErrorCode, VedError
from ved.hub.card_validation import validate_card
from ved.localhub import LocalHub


def test_validate_card_accepts_valid_metadata(hub: LocalHub) -> None:
    validate_card("license: mit", "owner/x", client(hub))


def test_validate_card_refuses_metadata_that_the_hub_refuses(hub: LocalHub) -> None:
    with pytest.raises(VedError) as caught:
        validate_card("license: [", "owner/x", client(hub))
    assert caught.value.code == ErrorCode.MODEL_CARD_REFUSED
    assert "owner/x" in caught.value.cause
