"""LocalHub: the settings and accounts of a hub, and the thread that serves it."""

import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import uvicorn

from ved.errors import ErrorCode, VedError
from ved.localhub.accounts import Accounts
from ved.localhub.behavior import Behavior
from ved.localhub.call import Hub
from ved.localhub.collections import Collections
from ved.localhub.faults import Exchange, Faults
from ved.localhub.identities import Organization, Role
from ved.localhub.issuer import ID_TOKEN_LIFETIME, Issuer, Job
from ved.localhub.publishers import AccessTokens, Publishers, find_publisher
from ved.localhub.serving import configuration, stop_signal
from ved.localhub.sockets import bind, require_loopback, with_protocol
from ved.localhub.storage import Storage
from ved.localhub.xet.state import Xet


class LocalHub:
    """A Hugging Face Hub on loopback. It serves inside its `with` block.

    Args:
        root: the folder for repos and accounts. It is created if it is missing. A later hub with
            the same root serves the same repos. None: a temporary folder, removed on exit.
        port: the TCP port. 0: any free port, chosen on entering the `with` block.
        host: an IPv4 loopback address. Other addresses are refused.
        listener: a bound TCP socket to serve on, instead of `host` and `port`. The hub takes it
            over when it starts, and closes it on exit. See the second example.
        multipart_threshold: in bytes. Larger LFS objects are uploaded in parts of this size.
        page_size: maximum number of items on one page of a listing.
        access_token_lifetime: in seconds, for the access tokens of CI jobs.
        address_lifetime: in seconds, for the signed URLs of LFS objects and xorbs.
        xet: whether large files go by Xet, which huggingface_hub 2 needs for uploads unless its
            HF_HUB_DISABLE_XET is set. Clients that only know LFS are served too.
        xet_token_lifetime: in seconds, for the tokens of the Xet storage.
        like_production: whether it answers as https://huggingface.co; see `Behavior`.

    Attributes:
        behavior: how the hub answers where Hubs differ. It may be changed at any time.
        faults: the faults of the hub; see `Faults.add`.
        requests: one `Exchange` for each request since the start, oldest first. Empty it with
            `requests.clear()`.

    Raises:
        VedError: the host is not a loopback address, or the port is taken.

    Examples:
        Publish to a hub, and read from it:

        >>> from huggingface_hub import HfApi
        >>> from ved.localhub import LocalHub
        >>> with LocalHub() as hub:
        ...     hub.add_user("alice", token="hf_alice")
        ...     api = HfApi(hub.endpoint, token="hf_alice")
        ...     url = api.create_repo("alice/model")
        ...     api.list_repo_files("alice/model")
        ['.gitattributes']

        Know the address before the hub starts. The bound socket reserves the port, so no other
        process can take it. Until the hub starts, clients get "connection refused":

        >>> import socket
        >>> listener = socket.socket()
        >>> listener.bind(("127.0.0.1", 0))
        >>> hub = LocalHub(listener=listener)
        >>> endpoint = hub.endpoint
        >>> with hub:
        ...     HfApi(endpoint, token=False).repo_exists("alice/model")
        False
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        listener: socket.socket | None = None,
        multipart_threshold: int = 64 * 2**20,
        page_size: int = 1000,
        access_token_lifetime: int = 3600,
        address_lifetime: float = 3600,
        xet: bool = True,
        xet_token_lifetime: int = 900,
        like_production: bool = False,
    ) -> None:
        if listener is not None:
            host, port = listener.getsockname()[:2]
        require_loopback(host)
        self._host, self._port, self._listener = host, port, listener
        self._on_exit = ExitStack()
        if root is None:
            root = Path(
                self._on_exit.enter_context(tempfile.TemporaryDirectory(prefix="localhub-"))
            )
        root.mkdir(parents=True, exist_ok=True)
        self.behavior = Behavior.of_production() if like_production else Behavior()
        storage = Storage(root)
        self._hub = Hub(
            storage=storage,
            accounts=Accounts(root / "accounts.json"),
            collections=Collections(root / "collections.json"),
            issuer=Issuer(),
            publishers=Publishers(root / "publishers.json"),
            access_tokens=AccessTokens(access_token_lifetime),
            behavior=self.behavior,
            address_lifetime=address_lifetime,
            multipart_threshold=multipart_threshold,
            page_size=page_size,
            xet=Xet.open(storage, xet_token_lifetime) if xet else None,
        )
        self._thread: threading.Thread | None = None
        self.faults = Faults()
        self.requests: list[Exchange] = []

    @property
    def endpoint(self) -> str:
        """The URL of the hub, for HF_ENDPOINT or `HfApi(endpoint=...)`.

        Raises:
            VedError: the hub has no port yet, because it was created with port 0 and not started.
        """
        if self._port == 0:
            raise VedError(
                "The local Hub has no port yet.",
                "Start it, or create it with a port or a listener.",
                code=ErrorCode.LOCAL_HUB,
            )
        return f"http://{self._host}:{self._port}"

    def add_organization(self, name: str, organization: Organization | None = None) -> None:
        """Add an organization, or change its settings. None: the defaults, or what it has.

        Raises:
            VedError: the name is malformed or belongs to a user.
        """
        self._hub.accounts.add_organization(name, organization)

    def add_user(
        self,
        name: str,
        *,
        token: str,
        role: Role = "write",
        organizations: Iterable[str] | Mapping[str, str] = (),
        scopes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Add a user with a token. An existing user gets one more token.

        Args:
            name: the user name.
            token: the token, any text.
            role: what the token allows: "read", or "write", which includes reading; "fineGrained"
                for what `scopes` names; "oauth" for a token of `hf auth login`.
            organizations: the organizations to add the user to, with a role, or as writers.
                Missing ones are created.
            scopes: the permissions of a fine-grained token, by user, organization or model.

        Raises:
            VedError: a name is malformed, the user has the name of an organization, or the other
                way around.
        """
        if not isinstance(organizations, Mapping):
            organizations = dict.fromkeys(organizations, "write")
        self._hub.accounts.add_user(name, token, role, organizations, scopes or {})

    def add_job(
        self,
        *,
        repository: str,
        workflow: str,
        ref: str = "refs/heads/main",
        event_name: str = "push",
        environment: str | None = None,
        lifetime: int = ID_TOKEN_LIFETIME,
    ) -> dict[str, str]:
        """Add a GitHub Actions job that may request id tokens.

        Args:
            repository: the GitHub repository, as owner/name.
            workflow: the file name of the workflow, for example checkpoints.yml.
            ref: the git reference that the job runs on.
            event_name: the event that triggered the job.
            environment: the deployment environment of the job, if any.
            lifetime: of its id tokens, in seconds.

        Returns:
            The two environment variables of the job: ACTIONS_ID_TOKEN_REQUEST_URL and
            ACTIONS_ID_TOKEN_REQUEST_TOKEN.
        """
        job = Job(repository, workflow, ref, event_name, environment, lifetime)
        run, token = self._hub.issuer.add(job)
        url = f"{self.endpoint}/actions/{run}/idtoken?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token}

    def add_publisher(
        self,
        resource: str,
        *,
        repository: str,
        workflow: str | None = None,
        environment: str | None = None,
        ref: str | None = None,
        read_only: bool = False,
    ) -> None:
        """Add a trusted publisher: jobs of a GitHub repository that need no stored token.

        Args:
            resource: an existing Hub repo, which the jobs may write to, or an existing user,
                whose gated repos the jobs may read. The id of a dataset or Space begins with
                datasets/ or spaces/.
            repository: the GitHub repository of the jobs, as owner/name.
            workflow: the file name of the jobs' workflow. None: any.
            environment: the deployment environment of the jobs. None: any.
            ref: the git reference of the jobs. None: any.
            read_only: whether the jobs may only read the repo.

        Raises:
            VedError: the Hub has no such repo or user.
        """
        if find_publisher(resource, self._hub.storage, self._hub.accounts) is None:
            raise VedError(
                f"The local Hub has no repo or user {resource}.", code=ErrorCode.LOCAL_HUB
            )
        claims = {"workflow": workflow, "environment": environment, "ref": ref}
        required = {name: value for name, value in claims.items() if value is not None}
        self._hub.publishers.add(resource, {"repository": repository, **required}, read_only)

    def repository_path(
        self, repo_id: str, repo_type: Literal["model", "dataset", "space"] = "model"
    ) -> Path:
        """Return the path of a repo's bare git repository.

        Raises:
            VedError: the Hub has no such repo.
        """
        repository = self._hub.storage.find(f"{repo_type}s", repo_id)
        if repository is None:
            raise VedError(f"The local Hub has no {repo_type} {repo_id}.", code=ErrorCode.LOCAL_HUB)
        return repository.path

    def serve_forever(self) -> None:
        """Serve until SIGINT or SIGTERM arrives. Call it in the main thread.

        It starts the hub if the hub is not running yet, and stops it again in that case.

        Raises:
            VedError: the port is taken.
        """
        with stop_signal() as stop, self if self._thread is None else nullcontext():
            stop.wait()

    def __enter__(self) -> Self:
        """Start the hub.

        Raises:
            VedError: the port is taken.
        """
        try:
            listeners = [self._on_exit.enter_context(self._listen())]
            listeners += [self._on_exit.enter_context(bind(self._host, 0)) for _ in range(2)]
        except OSError as error:
            self._on_exit.close()
            cause = f"Port {self._port} of {self._host} cannot be served: {error.strerror}."
            raise VedError(cause, "Choose another port.", code=ErrorCode.LOCAL_HUB) from error
        self._port, *others = (listener.getsockname()[1] for listener in listeners)
        cdn, cas = (f"http://{self._host}:{port}" for port in others)
        secret = secrets.token_bytes(32)
        hub = replace(self._hub, endpoint=self.endpoint, cdn=cdn, cas=cas, secret=secret)
        server = uvicorn.Server(configuration(hub, self.faults, self.requests))
        self._thread = threading.Thread(target=server.run, args=(listeners,), daemon=True)
        self._thread.start()
        self._on_exit.callback(self._thread.join)
        self._on_exit.callback(setattr, server, "should_exit", True)
        while not server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop the hub. Requests in progress get two seconds to end."""
        self._on_exit.close()
        self._thread = None

    def _listen(self) -> socket.socket:
        """Return the socket to serve on: the caller's at the first start, else a new one."""
        if self._listener is None:
            return bind(self._host, self._port)
        given, self._listener = self._listener, None
        return with_protocol(given)
