"""Running a local Hub: in a thread for tests, or until a signal for the command line."""

import ipaddress
import secrets
import signal
import socket
import tempfile
import threading
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from ved.errors import ErrorCode, VedError
from ved.localhub.accounts import Accounts, Role
from ved.localhub.app import create_app
from ved.localhub.call import Hub
from ved.localhub.collections import Collections
from ved.localhub.faults import Exchange, Faults, ReachableProtocol, Wire
from ved.localhub.issuer import LIFETIME, Issuer, Job
from ved.localhub.publishers import AccessTokens, Publishers, publisher
from ved.localhub.storage import Storage

_STOPS = (signal.SIGINT, signal.SIGTERM)


class LocalHub:
    """A Hugging Face Hub on loopback; it serves inside its `with` block.

    Args:
        root: where repos and accounts are kept, made if need be. A hub on the same root later
            serves the same ones. None: a temporary folder, removed on exit.
        port: 0 for any free one.
        host: an IPv4 address of loopback; no other is served.
        multipart_threshold: LFS objects of more bytes are uploaded in parts of this size.
        page_size: the most items that one page of a listing holds.
        access_token_lifetime: seconds for which a token is good that a CI job got in exchange.

    Attributes:
        faults: how the hub misbehaves.
        requests: what was asked and answered since the start; `requests.clear()` forgets it.

    Raises VedError when the host is not loopback or the port is taken.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        multipart_threshold: int = 64 * 2**20,
        page_size: int = 1000,
        access_token_lifetime: int = 3600,
    ) -> None:
        _require_loopback(host)
        self._host, self._port = host, port
        self._on_exit = ExitStack()
        if root is None:
            root = Path(
                self._on_exit.enter_context(tempfile.TemporaryDirectory(prefix="localhub-"))
            )
        root.mkdir(parents=True, exist_ok=True)
        self._accounts = Accounts(root / "accounts.json")
        self._storage = Storage(root)
        self._collections = Collections(root / "collections.json")
        self._issuer = Issuer()
        self._publishers = Publishers(root / "publishers.json")
        self._access_tokens = AccessTokens(access_token_lifetime)
        self._multipart_threshold = multipart_threshold
        self._page_size = page_size
        self._thread: threading.Thread | None = None
        self.faults = Faults()
        self.requests: list[Exchange] = []

    @property
    def endpoint(self) -> str:
        """The URL for HF_ENDPOINT or HfApi(endpoint=...); its port is known from the start on."""
        return f"http://{self._host}:{self._port}"

    def add_organization(self, name: str) -> None:
        """Add an organization."""
        self._accounts.add_organization(name)

    def add_user(
        self, name: str, *, token: str, role: Role = "write", organizations: tuple[str, ...] = ()
    ) -> None:
        """Add a user, or to a user who is there already a token or memberships.

        Organizations that are not there yet are added. Their members may write to them.
        """
        self._accounts.add_user(name, token, role, organizations)

    def add_job(
        self,
        *,
        repository: str,
        workflow: str,
        ref: str = "refs/heads/main",
        event_name: str = "push",
        environment: str | None = None,
        lifetime: int = LIFETIME,
    ) -> dict[str, str]:
        """Have a job of GitHub Actions that may ask for id tokens; return its two variables.

        Args:
            repository: on GitHub, as owner/name.
            workflow: its file's name, such as checkpoints.yml.
            ref: what it runs on.
            event_name: what set it off.
            environment: the deployment environment that it names.
            lifetime: seconds for which its id tokens are good.
        """
        job = Job(repository, workflow, ref, event_name, environment, lifetime)
        run, token = self._issuer.add(job)
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
    ) -> None:
        """Trust the jobs of a repository on GitHub; what else is given must be exactly theirs.

        Args:
            resource: the repo that they may write to (datasets/ and spaces/ before its id if it is
                one), or the user whose gated repos they may read; either has to be there.
        """
        if publisher(resource, self._storage, self._accounts) is None:
            raise VedError(
                f"The local Hub has no repo and no user {resource}.", code=ErrorCode.LOCAL_HUB
            )
        wanted = {"workflow": workflow, "environment": environment, "ref": ref}
        given = {name: value for name, value in wanted.items() if value is not None}
        self._publishers.add(resource, {"repository": repository, **given})

    def repository_path(self, identifier: str, kind: str = "models") -> Path:
        """Return where a repo's bare git repository is; kind is models, datasets or spaces."""
        repository = self._storage.find(kind, identifier)
        if repository is None:
            raise VedError(
                f"The local Hub has no {identifier} among its {kind}.", code=ErrorCode.LOCAL_HUB
            )
        return repository.path

    def serve_forever(self) -> None:
        """Serve until SIGINT or SIGTERM, in the main thread, within a `with` block or without."""
        stop = threading.Event()
        before = {number: signal.signal(number, lambda *_: stop.set()) for number in _STOPS}
        with self if self._thread is None else nullcontext():
            stop.wait()
        for number, handler in before.items():
            signal.signal(number, handler)

    def __enter__(self) -> Self:
        try:
            listener = self._on_exit.enter_context(_listener(self._host, self._port))
            cdn = self._on_exit.enter_context(_listener(self._host, 0))
        except OSError as error:
            self._on_exit.close()
            cause = f"Port {self._port} of {self._host} cannot be served: {error.strerror}."
            raise VedError(cause, "Choose another port.", code=ErrorCode.LOCAL_HUB) from error
        self._port = listener.getsockname()[1]
        server = uvicorn.Server(self._configuration(f"http://{self._host}:{cdn.getsockname()[1]}"))
        self._thread = threading.Thread(target=server.run, args=([listener, cdn],), daemon=True)
        self._thread.start()
        self._on_exit.callback(self._thread.join)
        self._on_exit.callback(setattr, server, "should_exit", True)
        while not server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._on_exit.close()
        self._thread = None

    def _configuration(self, cdn: str) -> uvicorn.Config:
        hub = Hub(
            endpoint=self.endpoint,
            cdn=cdn,
            storage=self._storage,
            accounts=self._accounts,
            collections=self._collections,
            issuer=self._issuer,
            publishers=self._publishers,
            access_tokens=self._access_tokens,
            secret=secrets.token_bytes(32),
            multipart_threshold=self._multipart_threshold,
            page_size=self._page_size,
        )
        return uvicorn.Config(
            Wire(create_app(hub), self.faults, self.requests),
            http=ReachableProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            access_log=False,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )


def _listener(host: str, port: int) -> socket.socket:
    # Not socket.create_server: asyncio sends without delay only where the protocol is spelt out.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _require_loopback(host: str) -> None:
    try:
        is_loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise VedError(
            f"The local Hub does not serve {host!r}: it has no defence but being out of reach.",
            "Use 127.0.0.1.",
            code=ErrorCode.LOCAL_HUB,
        )
