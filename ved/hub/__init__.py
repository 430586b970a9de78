"""Talk to a Hugging Face Hub: clients, rights, retries, errors and files that are read in ranges.

Importing this package imports huggingface_hub. Only `ved.publishing` writes to a Hub.
"""

from ved.hub.access import HubAccess
from ved.hub.account import (
    check_allowed,
    check_rights,
    known_rights,
    writing_rights,
)
from ved.hub.card_validation import validate_card
from ved.hub.errors import is_not_found, translated_errors
from ved.hub.http import connect
from ved.hub.oidc import Publisher, offers_identity
from ved.hub.rights import Rights
from ved.hub.stored_tokens import stored_tokens
from ved.hub.upload_counter import UploadCounter, count_uploads

__all__ = [
    "HubAccess",
    "Publisher",
    "Rights",
    "UploadCounter",
    "check_allowed",
    "check_rights",
    "connect",
    "count_uploads",
    "is_not_found",
    "known_rights",
    "offers_identity",
    "stored_tokens",
    "translated_errors",
    "validate_card",
    "writing_rights",
]
