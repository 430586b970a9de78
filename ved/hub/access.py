"""Who speaks to the Hub: a stored token, the identity of a CI job, or both."""

import logging
from dataclasses import dataclass

from huggingface_hub import HfApi, get_token

from ved.errors import VedError
from ved.hub.oidc import Publisher

log = logging.getLogger("ved")


@dataclass(frozen=True)
class HubAccess:
    """The ways to the Hub that a run has.

    Attributes:
        api: the Hub, with the stored token if there is one.
        publisher: the job's identity, where it is one to publish with.
    """

    api: HfApi
    publisher: Publisher | None = None

    @property
    def has_token(self) -> bool:
        """Whether there is a stored token."""
        return bool(self.api.token or get_token())

    def to(self, repo: str) -> HfApi:
        """Return the Hub as it is to be asked about a repo that is published to, and pushed to.

        Where the job's identity is refused and there is a stored token, that has to do.

        Raises:
            VedError: the identity is refused, and there is no stored token.
        """
        if self.publisher is None:
            return self.api
        try:
            return HfApi(self.api.endpoint, token=self.publisher.token(repo))
        except VedError as error:
            if not self.has_token:
                raise
            log.info("%s: The stored token is used, because: %s", repo, error)
            return self.api
