"""Choose the client for a repo: with a stored token, or with the token of a CI job's identity."""

import logging
from dataclasses import dataclass

from huggingface_hub import HfApi, get_token

from ved.errors import VedError
from ved.hub.oidc import Publisher

log = logging.getLogger("ved")


@dataclass(frozen=True)
class HubAccess:
    """The clients that a run can use.

    Attributes:
        api: the client with the stored token, or without a token if none is stored.
        publisher: gives tokens for the job's identity; None if the job does not publish with it.
    """

    api: HfApi
    publisher: Publisher | None = None

    @property
    def has_token(self) -> bool:
        """Whether a token is stored."""
        return bool(self.api.token or get_token())

    def client_for(self, repo: str) -> HfApi:
        """Return the client that reads and publishes `repo`.

        Uses the token for the job's identity. Falls back to the stored token if the Hub refuses
        the identity.

        Raises:
            VedError: the Hub refuses the identity, and no token is stored.
        """
        if self.publisher is None:
            return self.api
        try:
            return HfApi(self.api.endpoint, token=self.publisher.token(repo))
        except VedError as error:
            if not self.has_token:
                raise
            log.info("%s: Using the stored token, because: %s", repo, error)
            return self.api
