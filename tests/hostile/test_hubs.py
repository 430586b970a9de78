"""Hubs and proxies that never end, bomb, trickle, or lead into the runner's network."""

import gzip
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import get_session

from tests.support import hostile_hub
from tests.support.action import Action, actions_of, annotations, code_of, rows_of
from tests.support.hostile_hub import Attack, HostileServer, hostile_server
from tests.support.publishing import TOKEN, client, pair
from tests.support.raising import raises
from ved.errors import ErrorCode, RequestError
from ved.hub import addresses, connections, http, pages, responses, retries, validate_card
from ved.hub.answers import RefusedAnswerError
from ved.hub.errors import translated_errors
from ved.hub.remote_files import LocatedFile, locate_file
from ved.hub.rights import parse_rights
from ved.localhub import LocalHub
from ved.publishing.commits import publish
from ved.publishing.repos import TargetRepo, list_repos, read_repo
from ved.sources import Snapshot

COMMIT = "0" * 40
LARGEST = 2**20
"""Bytes of an answer in these tests, at most."""

CHUNK = 2**20
"""Bytes that are decompressed at a time, at most."""

SLACK = 8 * 2**20
"""Bytes that the sockets of both sides may hold."""


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make limits small, so that a test need not wait for a minute."""
    monkeypatch.setattr(responses, "MAX_ANSWER_BYTES", LARGEST)
    monkeypatch.setattr(responses.LimitedResponse, "max_bytes", LARGEST)
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(http, "TIMEOUT", httpx2.Timeout(5.0, pool=None))
    shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)


def connected(endpoint: str, monkeypatch: pytest.MonkeyPatch, token: str | None = None) -> HfApi:
    """Return a client whose session is VED's."""
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", endpoint)
        return http.connect(token)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile_server() as serving:
        yield serving


# What VED requests


def fetch_file(server: HostileServer, api: HfApi, size: int = 10**6) -> None:
    """Download a file as VED does. The server reports its size, and then does what it wants."""
    head = f'"{"a" * 40}"'

    def describe(request: hostile_hub.Request) -> None:
        request.start(200, Content_Length=size, X_Repo_Commit=COMMIT, ETag=head)

    server.attacks = {"^HEAD": describe, **server.attacks}
    Snapshot("team/x", COMMIT, {"config.json": size}, None).fetch(["config.json"], api)


def read_range(server: HostileServer, api: HfApi) -> None:
    with translated_errors("read a range"):
        located = LocatedFile(f"{api.endpoint}/x", False, 10**9, "read", pytest.fail)
        located.read_range(0, 100)


def locate(_: HostileServer, api: HfApi) -> None:
    with translated_errors("locate"):
        locate_file("team/x", COMMIT, "model.safetensors", "locate", api)


def read_account(_: HostileServer, api: HfApi) -> None:
    with translated_errors("log in"):
        parse_rights(HfApi(api.endpoint, token=TOKEN).whoami())


ASKING: dict[str, Callable[[HostileServer, HfApi], object]] = {
    "repo": lambda _, api: read_repo("team/x", api),
    "listing": lambda _, api: list_repos("team", api),
    "account": read_account,
    "card": lambda _, api: validate_card("license: mit", "team/x", api),
    "file": fetch_file,
    "range": read_range,
}

ENDLESS: dict[str, Attack] = {
    "chunks": hostile_hub.endless_chunks,
    "no length": hostile_hub.endless_body,
    "petabyte": hostile_hub.huge_body,
    "error": hostile_hub.endless_error,
    "gzip": hostile_hub.bomb_of("gzip"),
    "deflate": hostile_hub.bomb_of("deflate"),
    "gzip twice": hostile_hub.bomb_of("gzip, gzip"),
    "gzip in an error": hostile_hub.bomb_of("gzip", 403),
    "gzip in a redirect": hostile_hub.bomb_of("gzip", 302, Location="/x"),
}

TOO_LARGE = {
    *(ErrorCode.ANSWER_TOO_LARGE, ErrorCode.HUB_DOES_NOT_ANSWER, ErrorCode.GATED_SOURCE),
    *(ErrorCode.TOKEN_MAY_NOT_WRITE, ErrorCode.UNSAFE_REDIRECT),
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("attack", ENDLESS)
def test_answer_without_end_is_read_to_a_limit(
    asking: str, attack: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = connected(server.endpoint, monkeypatch)
    server.attacks = {"^(GET|POST)": ENDLESS[attack]}
    read = record_reads(monkeypatch)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of any of these codes
        ASKING[asking](server, api)
    assert getattr(caught.value, "code", caught.value) in TOO_LARGE
    assert server.sent < LARGEST + SLACK
    answers = http.MAX_REDIRECTS + 1 if "redirect" in attack else 2
    assert sum(read) <= answers * CHUNK + 2 * LARGEST


def record_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives the size of each chunk of a body, after decompression."""
    sizes: list[int] = []
    original = httpx2.Response.iter_bytes

    def read(self: httpx2.Response) -> Iterator[bytes]:
        for chunk in original(self):
            sizes.append(len(chunk))
            yield chunk

    monkeypatch.setattr(httpx2.Response, "iter_bytes", read)
    return sizes


SLOW: dict[str, Attack] = {
    "body": hostile_hub.trickling_body,
    "headers": hostile_hub.trickling_headers,
    "interim answers": hostile_hub.endless_interim_answers,
}


@pytest.mark.parametrize("asking", ["repo", "card", "file"])
@pytest.mark.parametrize("attack", SLOW)
def test_slow_answer_is_given_up(
    asking: str, attack: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.3)
    api = connected(server.endpoint, monkeypatch)
    server.attacks = {"^(GET|POST)": SLOW[attack]}
    with pytest.raises(Exception) as caught:  # noqa: PT011
        ASKING[asking](server, api)
    assert getattr(caught.value, "code", caught.value) == ErrorCode.HUB_DOES_NOT_ANSWER
    assert server.sent < 10_000


def test_silent_answer_is_given_up(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", httpx2.Timeout(0.2, pool=None))
    api = connected(server.endpoint, monkeypatch)
    server.attacks = {"": hostile_hub.silent_body}
    with raises(ErrorCode.HUB_DOES_NOT_ANSWER, "team/x"):
        read_repo("team/x", api)


def test_large_file_has_the_time_that_it_needs(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(5_000)
    monkeypatch.setattr(connections, "PATIENCE", 0.8)
    monkeypatch.setattr(connections, "SLOWEST_RATE", 200)

    def send_slowly(request: hostile_hub.Request) -> None:
        request.start(Content_Length=len(content))
        for start in range(0, len(content), 100):
            request.write(content[start : start + 100])
            time.sleep(0.02)

    api = connected(server.endpoint, monkeypatch)
    server.attacks = {"^GET": send_slowly}
    fetch_file(server, api, size=len(content))


# Answers to uploads


def batch_with(href: str) -> Attack:
    """Return an answer that names an address for an upload."""

    def answer(request: hostile_hub.Request) -> None:
        length = int(request.headers["Content-Length"])
        (wanted,) = json.loads(request.rfile.read(length))["objects"]
        upload = {"upload": {"href": href}}
        content = json.dumps({"transfer": "basic", "objects": [{**wanted, "actions": upload}]})
        request.start(Content_Length=len(content), Content_Type="application/json")
        request.write(content.encode())

    return answer


@pytest.mark.parametrize(
    ("path", "attack", "code"),
    [
        ("/preupload/", hostile_hub.endless_chunks, ErrorCode.ANSWER_TOO_LARGE),
        ("/objects/batch", hostile_hub.bomb_of("gzip"), ErrorCode.ANSWER_TOO_LARGE),
        ("/objects/batch", batch_with("http://10.0.0.1/x"), ErrorCode.UNSAFE_REDIRECT),
        ("/objects/batch", batch_with("http://169.254.169.254/x"), ErrorCode.UNSAFE_REDIRECT),
        ("/objects/batch", batch_with("file:///etc/passwd"), ErrorCode.UNSAFE_REDIRECT),
        ("/commit/main", hostile_hub.bomb_of("deflate"), ErrorCode.ANSWER_TOO_LARGE),
        ("/commit/main", hostile_hub.trickling_headers, ErrorCode.HUB_DOES_NOT_ANSWER),
        ("/repos/create", hostile_hub.huge_body, ErrorCode.ANSWER_TOO_LARGE),
    ],
)
def test_answer_to_an_upload_is_limited(
    path: str,
    attack: Attack,
    code: ErrorCode,
    hub: LocalHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_xet: None,
) -> None:
    if attack is hostile_hub.trickling_headers:
        monkeypatch.setattr(connections, "PATIENCE", 2.0)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with hostile_server(hub.endpoint) as server:
        server.attacks = {f"POST .*{path}": attack}
        api = connected(server.endpoint, monkeypatch, TOKEN)
        with raises(code, "owner/hostile"):
            publish(TargetRepo("owner/hostile"), tmp_path, private=False, api=api)
    assert server.sent < LARGEST + SLACK


# Files that are longer than the Hub reports


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("has_length", [True, False])
def test_no_byte_of_a_file_beyond_its_size_is_written(
    encoding: str,
    has_length: bool,
    server: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def send_more(request: hostile_hub.Request) -> None:
        content = b"x" * 5000
        body = gzip.compress(content) if encoding else content
        fields: dict[str, object] = {"Content_Encoding": encoding} if encoding else {}
        fields |= {"Content_Length": len(body)} if has_length else {"Connection": "close"}
        request.start(**fields)  # type: ignore[arg-type]
        request.write(body)

    api = connected(server.endpoint, monkeypatch)
    server.attacks = {"^GET": send_more}
    with raises(ErrorCode.ANSWER_TOO_LARGE, "config.json of team/x"):
        fetch_file(server, api, size=4000)
    cache = Path(constants.HF_HUB_CACHE)
    assert [
        path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 4000
    ] == []


# Pages


@pytest.mark.parametrize(
    "link",
    [
        *("/api/models?author=team", "{endpoint}/api/models", "?cursor={n}", "?", "//{host}/x"),
        "http://localhost:{port}/{n}",
    ],
)
@pytest.mark.parametrize("content", [b"[]", b'[{"id": "team/x"}]'])
def test_list_without_end_is_refused(
    link: str, content: bytes, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 20)
    api = connected(server.endpoint, monkeypatch)
    host = server.endpoint.removeprefix("http://")
    for name, value in (("endpoint", server.endpoint), ("host", host), ("port", host[-5:])):
        link = link.replace(f"{{{name}}}", value.lstrip(":"))
    server.attacks = {"": hostile_hub.pages_to(link, content)}
    with raises(ErrorCode.HUB_DOES_NOT_ANSWER, "team"):
        list_repos("team", api)
    assert len(server.asked) <= 20


def test_list_of_several_pages_is_read(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.attacks = {
        r"models\?author": hostile_hub.pages_to("/second", b'[{"id": "team/a"}]'),
        "/second": hostile_hub.sending(b'[{"id": "team/b"}]'),
    }
    assert list_repos("team", connected(server.endpoint, monkeypatch)).keys() == {
        *("team/a", "team/b")
    }


@pytest.mark.parametrize("link", ["file:///etc/passwd", "ftp://localhost/x", "gopher://x/", "x:"])
def test_next_page_is_on_a_web_server(
    link: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.attacks = {"": hostile_hub.pages_to(link)}
    with raises(ErrorCode.UNSAFE_REDIRECT, "team"):
        list_repos("team", connected(server.endpoint, monkeypatch))


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["{n}", "/x?{n}", "/same"])
def test_redirects_without_end_are_refused(
    status: int, location: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.attacks = {"": hostile_hub.redirect_to(location, status)}
    with raises(ErrorCode.UNSAFE_REDIRECT, "team/x"):
        read_repo("team/x", connected(server.endpoint, monkeypatch))
    assert len(server.asked) <= http.MAX_REDIRECTS + 1


@pytest.mark.parametrize("location", ["/{n}", "/same"])
def test_relative_redirects_of_a_file_end(
    location: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.attacks = {"": hostile_hub.redirect_to(location, 307)}
    with raises(ErrorCode.UNSAFE_REDIRECT):
        locate(server, connected(server.endpoint, monkeypatch))
    assert len(server.asked) <= 22  # huggingface_hub follows twenty by itself


@pytest.fixture
def internal(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    """Serve an internal service, in a world where 127.0.0.2 is a public address with names."""
    names = {"hub.test": "127.0.0.2", "storage.test": "127.0.0.2", "internal.test": "127.0.0.1"}
    look_up, classify = socket.getaddrinfo, addresses.classify

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        return look_up(names.get(host, host), *arguments, **options)

    def classified(address: str) -> addresses.AddressClass:
        is_public = address == "127.0.0.2"
        return addresses.AddressClass.PUBLIC if is_public else classify(address)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(addresses, "classify", classified)
    with hostile_server() as serving:
        serving.attacks = {"": hostile_hub.sending(b"[]")}
        yield serving


@pytest.fixture
def public() -> Iterator[HostileServer]:
    with hostile_server(host="127.0.0.2") as serving:
        yield serving


INTERNAL = [
    *("http://127.0.0.1:{port}/x", "http://localhost:{port}/x", "http://internal.test:{port}/x"),
    *("http://127.1:{port}/x", "http://2130706433:{port}/x", "http://0x7f.0.0.1:{port}/x"),
    *(
        "http://[::ffff:127.0.0.1]:{port}/x",
        "http://[::ffff:7f00:1]:{port}/x",
        "//localhost:{port}",
    ),
    *("http://0.0.0.0:{port}/x", "http://[::]:{port}/x", "http://[::1]:{port}/x"),
    *("http://169.254.169.254/latest/meta-data", "http://10.0.0.1/x", "http://192.168.1.1/x"),
    *("http://172.16.0.1/x", "http://100.64.0.1/x", "http://[fd00::1]/x", "http://[fe80::1]/x"),
    *("http://224.0.0.1/x", "http://[ff02::1]/x", "http://[64:ff9b::7f00:1]/x", "http://0/x"),
    *("http://[2002:7f00:1::]/x", "http://user@127.0.0.1:{port}/x", "http://255.255.255.255/x"),
]


@pytest.mark.parametrize("location", INTERNAL)
def test_public_hub_leads_to_no_internal_service(
    location: str,
    internal: HostileServer,
    public: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = internal.endpoint.rpartition(":")[2]
    endpoint = public.endpoint.replace("127.0.0.2", "hub.test")
    api = connected(endpoint, monkeypatch)
    target = location.replace("{port}", port)

    public.attacks = {"": hostile_hub.redirect_to(target)}
    with raises(ErrorCode.UNSAFE_REDIRECT):
        read_repo("team/x", api)
    with raises(ErrorCode.UNSAFE_REDIRECT):
        read_range(public, api)
    public.attacks = {"": hostile_hub.pages_to(target)}
    with raises(ErrorCode.UNSAFE_REDIRECT):
        list_repos("team", api)
    assert internal.asked == []


@pytest.mark.parametrize("host", ["storage.test", "127.0.0.2", "hub.test"])
def test_public_hub_leads_to_public_storage(
    host: str, internal: HostileServer, public: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = public.endpoint.replace("127.0.0.2", "hub.test")
    target = public.endpoint.replace("127.0.0.2", host)
    public.attacks = {
        r"models\?": hostile_hub.redirect_to(f"{target}/stored"),
        "/stored": internal.attacks[""],
    }
    assert list_repos("team", connected(endpoint, monkeypatch)) == {}


def test_name_of_the_hub_that_becomes_internal_is_refused(
    internal: HostileServer, public: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = ["127.0.0.2", "127.0.0.1", "127.0.0.1"]
    port = public.endpoint.rpartition(":")[2]
    look_up = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        now = resolved.pop(0) if host == "rebinding.test" else host
        return look_up(now, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    public.attacks = internal.attacks  # closes each connection, so that the next one is new
    api = connected(f"http://rebinding.test:{port}", monkeypatch)
    assert list_repos("team", api) == {}
    with raises(ErrorCode.UNSAFE_REDIRECT):
        list_repos("team", api)
    assert resolved == ["127.0.0.1"]


@pytest.mark.parametrize(
    "location", ["http://192.168.1.1/x", "http://10.1.2.3/", "http://0.0.0.0/"]
)
def test_hub_on_loopback_leads_to_no_other_network(
    location: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.attacks = {"": hostile_hub.redirect_to(location)}
    with raises(ErrorCode.UNSAFE_REDIRECT):
        read_repo("team/x", connected(server.endpoint, monkeypatch))


def test_encrypted_hub_leads_to_encrypted_addresses_only(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected("https://localhost:1", monkeypatch)
    with pytest.raises(RefusedAnswerError) as caught:
        get_session().get(server.endpoint, timeout=5)
    assert caught.value.code == ErrorCode.UNSAFE_REDIRECT
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 307])
@pytest.mark.parametrize("location", ["http://localhost/x", "HTTP://x.test/", "ftp://x.test/"])
def test_redirect_from_https_to_http_is_refused(status: int, location: str) -> None:
    hub = "http://hub.test"  # which may redirect to such addresses itself
    transport = http.HubTransport(addresses.AddressPolicy(hub), f"{hub}/")
    request = httpx2.Request("GET", "https://storage.test/x")
    response = responses.LimitedResponse(status, headers={"Location": location}, request=request)
    with pytest.raises(RefusedAnswerError):
        transport._check(request, response)


def test_storage_of_xet_is_checked(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def attack(request: hostile_hub.Request) -> None:
        request.start(X_Xet_Cas_Url="http://169.254.169.254/", Content_Length=0)

    server.attacks = {"": attack}
    with raises(ErrorCode.UNSAFE_REDIRECT):
        read_repo("team/x", connected(server.endpoint, monkeypatch))


def test_token_of_xet_is_renewed_at_the_hub_only(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attack(request: hostile_hub.Request) -> None:
        link = '<http://127.0.0.2/token>; rel="xet-auth"'
        request.start(X_Xet_Hash="0" * 64, Link=link, X_Repo_Commit=COMMIT, Content_Length=0)

    server.attacks = {"": attack}
    with raises(ErrorCode.UNSAFE_REDIRECT):
        locate(server, connected(server.endpoint, monkeypatch))


# Tokens and endpoints


@pytest.mark.parametrize("host", ["hub.test", "10.0.0.1", "localhost.hub.test", "127.0.0.1.test"])
@pytest.mark.parametrize("is_stored", [True, False])
def test_token_is_not_sent_without_encryption(
    host: str, is_stored: bool, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *_, **__: looked_up.append(name))
    variables = {"HF_TOKEN": TOKEN} if is_stored else {}
    token = "" if is_stored else TOKEN
    run = action.run(
        [pair("owner/x")], variables, token=token, endpoint=f"http://{host}", mode="plan"
    )
    assert run.status == 2
    assert [code_of(each) for each in annotations(run)] == [ErrorCode.ENDPOINT_NOT_ENCRYPTED]
    assert looked_up == []


def test_session_sends_no_token_without_encryption(
    internal: HostileServer, public: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = connected(public.endpoint.replace("127.0.0.2", "hub.test"), monkeypatch)
    api.token = TOKEN
    with pytest.raises(RequestError) as caught:
        api.whoami()
    assert caught.value.code == ErrorCode.ENDPOINT_NOT_ENCRYPTED
    assert (public.asked, internal.asked) == ([], [])


@pytest.mark.parametrize(
    "endpoint",
    [
        *("https://user:hunter2@hub.test", "https://hunter2@hub.test", "https://@hub.test"),
        *("http://evil.test\\@localhost", "https://hub.test/?hunter2", "https://hub.test/#hunter2"),
        *(
            "https://hub.test/hunter2 x",
            "https://hub.test\t/hunter2",
            "https://hub.test/\x00hunter2",
        ),
        *("https://hub.test/\u202ehunter2", "https://h\u00fcb.test/hunter2", "https://:80/hunter2"),
        *("https://hub.test:99999/hunter2", "https:hub.test/hunter2", "file:///hunter2"),
        *("https://hub.test:0/hunter2", "https://[::1/hunter2", "//hub.test/hunter2"),
        "https://hub.test/hunter2\n",
    ],
)
def test_endpoint_that_is_no_plain_address_is_refused(
    endpoint: str, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *_, **__: looked_up.append(name))
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(RequestError) as caught:
        http.connect()
    assert caught.value.code == ErrorCode.WRONG_INPUT
    assert "hunter2" not in str(caught.value)
    assert looked_up == []


# Runs of the action: the pair beside is planned


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test, with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


def stored_at(location: str) -> Attack:
    """Return an answer about a file that is stored elsewhere."""
    known: dict[str, Any] = {
        "X_Repo_Commit": COMMIT,
        "X_Linked_Size": 10**6,
        "X_Linked_ETag": f'"{"a" * 64}"',
    }
    return hostile_hub.redirect_to(location, **known)


WEIGHTS = "HEAD /team/bert/resolve/.*model.safetensors"
RUNS: dict[str, dict[str, Attack]] = {
    "bomb": {"GET /api/models/team/bert": hostile_hub.bomb_of("gzip")},
    "endless": {"GET /team/bert/resolve/.*/config.json": hostile_hub.endless_chunks},
    "trickle": {"HEAD /team/bert/resolve": hostile_hub.trickling_headers},
    "loop": {"HEAD /team/bert/resolve": hostile_hub.redirect_to("/{n}", 307)},
    "elsewhere": {WEIGHTS: stored_at("http://10.0.0.1/x")},
    "file of the machine": {WEIGHTS: stored_at("file:///etc/passwd")},
    "range": {WEIGHTS: stored_at("{endpoint}/stored"), "/stored": hostile_hub.bomb_of("gzip", 206)},
    "card": {},
}


@pytest.mark.parametrize("kind", RUNS)
def test_pair_beside_a_hostile_source_is_planned(
    kind: str, hub: LocalHub, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "trickle":
        monkeypatch.setattr(connections, "PATIENCE", 2.0)
    card = b"---\nself: 1\nignore_metadata_errors: true\nmodel_name: [1]\n---\n"
    if kind == "card":
        client(hub).upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="team/bert")
    pairs = [pair("owner/bad", decoder="team/bert"), pair("owner/good", decoder="team/gpt2")]
    with hostile_server(hub.endpoint) as server:
        server.attacks = RUNS[kind]
        run = action.run(pairs, endpoint=server.endpoint, mode="plan")
    rows = {row["repo"]: row for row in rows_of(run)}
    assert rows["owner/good"]["action"] == "build"
    if kind == "card":
        assert actions_of(run) == ["build", "build"]
        return
    assert rows["owner/bad"]["action"] != "build", "\n".join(server.asked)
    assert {*rows["owner/bad"]["codes"]} <= {
        *(ErrorCode.ANSWER_TOO_LARGE, ErrorCode.UNSAFE_REDIRECT, ErrorCode.HUB_DOES_NOT_ANSWER)
    }
    assert server.tokens <= {"", f"Bearer {TOKEN}"}
    assert server.sent < 64 * 2**20
