"""The ways in which Hubs differ, each of which a test can switch on."""

from dataclasses import dataclass, field
from typing import Literal

from ved.localhub.limits import ActionLimit, RateLimit

Restriction = Literal["private-storage", "storage-patterns", "disabled"]
"""A reason for which the real Hub refuses a write with 403."""


@dataclass
class Behavior:
    """How a hub answers where the real Hub differs from a plain one.

    Every attribute may be changed at any time, from any thread. The defaults are those of a plain
    hub.

    Attributes:
        rate_limit: the limit of API requests; None for no limit. `RateLimit(1000, 300)` allows an
            account 1,000 requests in 300 seconds.
        commit_limit: the limit of commits; None for no limit. `ActionLimit(128, "hour")` allows an
            account 128 of them an hour.
        creation_limit: the limit of new repos; None for no limit.
        small_file_redirects: whether the address of a small file redirects to another address of
            the hub.
        known_metadata: whether the license and the languages of a card have to be in the lists of
            the real Hub.
        error_codes: whether errors have the header X-Error-Code. Some Hubs send none.
        lists_digests: whether the description of a repo has the digests of its files. Some Hubs
            have them in the tree only.
        obeys_private: whether a repo becomes private if its owner wants it. Some Hubs ignore that.
        unique_collection_titles: whether an owner has at most one collection of a title.
        restrictions: reasons to refuse writes, by namespace or repo id: private storage that is
            used up, blocked storage patterns, or a disabled repo.
    """

    rate_limit: RateLimit | None = None
    commit_limit: ActionLimit | None = None
    creation_limit: ActionLimit | None = None
    small_file_redirects: bool = False
    known_metadata: bool = False
    error_codes: bool = True
    lists_digests: bool = True
    obeys_private: bool = True
    unique_collection_titles: bool = True
    restrictions: dict[str, Restriction] = field(default_factory=dict)

    @classmethod
    def of_production(cls) -> "Behavior":
        """Return the behavior of https://huggingface.co for a free account, as far as known."""
        return cls(
            rate_limit=RateLimit(1000, 300),
            commit_limit=ActionLimit(128, "hour"),
            creation_limit=ActionLimit(300, "day"),  # a guess
            small_file_redirects=True,
            known_metadata=True,
            unique_collection_titles=False,
        )
