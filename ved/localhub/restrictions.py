"""The reasons for which the real Hub refuses with 403 what a token with all rights asks for.

Source of the texts: answers of the Hub that its users quote in issues of huggingface_hub. That of
disabled repos is in huggingface_hub's function hf_raise_for_status.
"""

from ved.localhub.behavior import Behavior, Restriction
from ved.localhub.errors import HubError
from ved.localhub.storage import Repository

_TEXTS: dict[Restriction, str] = {
    "private-storage": "Private repository storage limit reached, please upgrade your plan to "
    "increase your private storage limit",
    "storage-patterns": "Your storage patterns tripped our internal systems! Please contact us at "
    "website@huggingface.co so we can verify your account and unlock more storage for your "
    "use-case.",
    "disabled": "Access to this resource is disabled.",
}


def applies(behavior: Behavior, repository: Repository, restriction: Restriction) -> bool:
    """Tell whether a restriction holds for a repo or its namespace."""
    named = (repository.id, repository.namespace)
    return any(behavior.restrictions.get(each) == restriction for each in named)


def refusal(restriction: Restriction) -> HubError:
    """Return the 403 of a restriction."""
    return HubError(403, _TEXTS[restriction])


def check_write(behavior: Behavior, repository: Repository) -> None:
    """Refuse a write to a repo whose storage is restricted.

    Raises:
        HubError: 403.
    """
    if repository.settings["private"] and applies(behavior, repository, "private-storage"):
        raise refusal("private-storage")
    if applies(behavior, repository, "storage-patterns"):
        raise refusal("storage-patterns")
