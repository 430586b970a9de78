"""The issuer of id tokens for CI jobs, as GitHub Actions has one.

Issuer and Hub are one process here and share a secret, so tokens are signed with it (HS256). GitHub
signs with a private key (RS256), and the Hub fetches the public key.

Claims: https://docs.github.com/actions/reference/security/oidc
"""

import hashlib
import hmac
import itertools
import json
import secrets
import threading
import time
import uuid
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

ISSUER = "https://token.actions.githubusercontent.com"
ID_TOKEN_LIFETIME = 300
"""In seconds."""

_NOT_BEFORE = 600  # seconds before the issue, to tolerate a slow clock, as GitHub does


@dataclass(frozen=True)
class Job:
    """A job of a workflow that may request id tokens.

    Attributes:
        repository: the GitHub repository, as owner/name.
        workflow: the file name of the workflow, for example checkpoints.yml.
        ref: the git reference that the job runs on, for example refs/heads/main.
        event_name: the event that triggered the job.
        environment: the deployment environment, if any.
        lifetime: of its id tokens, in seconds.
    """

    repository: str
    workflow: str
    ref: str
    event_name: str
    environment: str | None
    lifetime: int

    def claims(self, run: int) -> dict[str, str]:
        """Return the claims of the job in a run with this number."""
        owner = self.repository.partition("/")[0]
        path = f".github/workflows/{self.workflow}"
        claims = {
            "iss": ISSUER,
            "sub": f"repo:{self.repository}:{self._context}",
            "repository": self.repository,
            "repository_owner": owner,
            "repository_id": _number(self.repository),
            "repository_owner_id": _number(owner),
            "ref": self.ref,
            "ref_type": "tag" if self.ref.startswith("refs/tags/") else "branch",
            "sha": hashlib.sha256(self.ref.encode()).hexdigest()[:40],
            "workflow": path,  # the default of a workflow without a name
            "workflow_ref": f"{self.repository}/{path}@{self.ref}",
            "job_workflow_ref": f"{self.repository}/{path}@{self.ref}",
            "event_name": self.event_name,
            "run_id": str(run),
            "run_number": "1",
            "run_attempt": "1",
        }
        return claims | ({"environment": self.environment} if self.environment else {})

    @property
    def _context(self) -> str:
        if self.environment:
            return f"environment:{self.environment}"
        return "pull_request" if self.event_name == "pull_request" else f"ref:{self.ref}"


class Issuer:
    """The issuer of one hub. Its jobs and its secret are in memory only."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._jobs: dict[tuple[str, str], Job] = {}
        self._runs = itertools.count(1)
        self._used: set[str] = set()
        self._lock = threading.Lock()

    def add(self, job: Job) -> tuple[str, str]:
        """Add a job. Return its run number, and the token that it requests id tokens with."""
        run, token = str(next(self._runs)), secrets.token_urlsafe(32)
        self._jobs[run, token] = job
        return run, token

    def id_token(self, run: str, token: str, audience: str | None) -> str | None:
        """Return a new id token, or None if the job is unknown.

        Args:
            run: the number of the run.
            token: the token of the job, from `add`.
            audience: the claim `aud`. None: the URL of the repository's owner, as on GitHub.
        """
        job = self._jobs.get((run, token))
        if job is None:
            return None
        now = int(time.time())
        claims = job.claims(int(run))
        times = {"iat": now, "nbf": now - _NOT_BEFORE, "exp": now + job.lifetime}
        audience = audience or f"https://github.com/{claims['repository_owner']}"
        return self._signed({**claims, **times, "aud": audience, "jti": str(uuid.uuid4())})

    def claims(self, id_token: str, audience: str) -> dict[str, Any] | None:
        """Return the claims of an id token, or None if it is invalid.

        It is invalid if the signature or the audience is wrong, or if it is expired.
        """
        content, _, signature = id_token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            return None
        payload = content.partition(".")[2]
        claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        is_now = claims["nbf"] <= time.time() < claims["exp"]
        return claims if claims["aud"] == audience and is_now else None

    def mark_used(self, claims: dict[str, Any]) -> bool:
        """Mark an id token as used. Return False if it was used before."""
        with self._lock:
            is_first = claims["jti"] not in self._used
            self._used.add(claims["jti"])
            return is_first

    def _signed(self, claims: dict[str, Any]) -> str:
        header = {"typ": "JWT", "alg": "HS256"}
        content = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        return f"{content}.{self._signature(content)}"

    def _signature(self, content: str) -> str:
        return _encoded(hmac.digest(self._secret, content.encode(), "sha256"))


def _number(name: str) -> str:
    return str(zlib.crc32(name.encode()))


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
