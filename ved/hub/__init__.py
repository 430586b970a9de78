"""Talk to a Hugging Face Hub: clients, rights, retries, errors and files that are read in ranges.

Importing this package imports huggingface_hub. Only `ved.publishing` writes to a Hub.
"""

from ved.hub.access import HubAccess
from ved.hub.account import (
    check_allowed,
    check_namespace,
    known_namespaces,
    writable_namespaces,
)
from ved.hub.card_validation import validate_card
from ved.hub.errors import is_not_found, translated_errors
from ved.hub.http import connect
from ved.hub.oidc import Publisher, offers_identity
from ved.hub.stored_tokens import stored_tokens
from ved.hub.upload_counter import UploadCounter, count_uploads

__all__ = [
    "HubAccess",
    "Publisher",
    "UploadCounter",
    "check_allowed",
    "check_namespace",
    "connect",
    "count_uploads",
    "is_not_found",
    "known_namespaces",
    "offers_identity",
    "stored_tokens",
    "translated_errors",
    "validate_card",
    "writable_namespaces",
]
