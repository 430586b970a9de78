"""Secrets of a run: masked first, and in no place where they do not belong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.demo.runner import Run
from tests.support.action import Action, annotations, code_of, rows_of
from tests.support.hostile import (
    Answer,
    Change,
    Request,
    Server,
    Watch,
    impostor,
    serving,
    with_value_in_file,
)
from tests.support.publishing import TOKEN, client, download, heads, pair
from tests.support.workflow_commands import commands, lines
from ved.errors import ErrorCode
from ved.localhub import LocalHub

GITHUB: dict[str, Any] = {"repository": "octo-org/octo-repo", "workflow": "checkpoints.yml"}

DEBUG = {"HF_DEBUG": "1"}
"""Has huggingface_hub log its requests."""


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action without a token, and with both files."""
    files = {"results-file": "results.json", "checksums-file": "checksums.txt"}
    return Action(tmp_path / "runner", {"endpoint": hub.endpoint, **files})


def places(action: Action, run: Run, secret: str, *, cache: bool = True) -> list[str]:
    """Return the places that contain a secret, apart from the commands that mask it.

    Args:
        action: what ran, with all files that it left.
        run: the result.
        secret: what to look for.
        cache: whether the Hub's cache counts, which has all that a Hub sent.
    """
    masks = {each.line for each in commands(run.log) if each.name == "add-mask"}
    log = [line for number, line in enumerate(lines(run.log)) if number not in masks]
    texts = {"log": "\n".join(log), "summary": run.summary, **run.outputs}
    found = [name for name, text in texts.items() if secret in text]
    for path in action.folder.rglob("*"):
        if path.is_file() and (cache or ".cache" not in path.parts):
            found += [str(path)] if secret.encode() in path.read_bytes() else []
    return found


def masks_of(run: Run) -> list[str]:
    return [each.message for each in commands(run.log) if each.name == "add-mask"]


def reasons(run: Run) -> list[str]:
    return [row["reason"] for row in rows_of(run)]


# Tokens

STRANGE = [
    *("hf_wrong", "hf_with space", "hf_first\nhf_second", "hf_first\r\n::error::hf_second"),
    *("hf_%0Apercent", "hf_::error::x", 'hf_"quoted\\"', "hf_\u20ac", "hf_\u00e9", "$(hf_shell)`"),
]


@pytest.mark.parametrize("token", STRANGE)
def test_invalid_token_is_masked_and_not_shown(token: str, action: Action) -> None:
    run = action.run([pair("owner/x")], DEBUG, token=token)
    assert run.status == 2
    assert masks_of(run) == [token]
    for part in token.splitlines():
        assert places(action, run, part) == []
    assert [each.name for each in commands(run.log)] == ["add-mask", "error"]
    assert code_of(annotations(run)[0]) == ErrorCode.TOKEN_NOT_VALID


def test_invalid_token_beside_an_identity_is_not_shown(action: Action, hub: LocalHub) -> None:
    token = "hf_first\nhf_second"
    run = action.run([pair("owner/x")], hub.add_job(**GITHUB) | DEBUG, token=token)
    assert (run.status, masks_of(run)[0]) == (1, token)
    assert places(action, run, "hf_first") == places(action, run, "hf_second") == []


def test_token_in_results_of_another_job_is_redacted(action: Action) -> None:
    found = action.workspace / "found"
    found.mkdir(parents=True)
    row = {
        **{"repo": "owner/x", "encoder": "team/vit", "decoder": "team/gpt2", "action": "failed"},
        **{"reason": f"It said {TOKEN}.", "warnings": [f"It says {TOKEN}."], "commit": None},
        **{"url": f"https://{TOKEN}", "fingerprint": TOKEN, "bytes": 0, "seconds": 0},
    }
    (found / "job.json").write_text(json.dumps([row]))
    run = action.run(None, DEBUG, token=TOKEN, mode="report", results="found")
    assert run.status == 1
    assert reasons(run) == ["It said ***."]
    assert places(action, run, TOKEN) == [str(found / "job.json")]


def in_a_file(action: Action) -> dict[str, str]:
    """Store the token in the file where huggingface_hub looks for it."""
    path = action.folder / "token" / "file"
    path.parent.mkdir(parents=True)
    path.write_text(f"{TOKEN}\n")
    return {"HF_TOKEN_PATH": str(path)}


@pytest.mark.parametrize(
    "given",
    [
        lambda _: {"HF_TOKEN": TOKEN},
        lambda _: {"HF_TOKEN": f"{TOKEN[:5]}\r\n{TOKEN[5:]} "},  # the library repairs it
        lambda _: {"HUGGING_FACE_HUB_TOKEN": TOKEN},
        in_a_file,
    ],
    ids=["HF_TOKEN", "HF_TOKEN of two lines", "HUGGING_FACE_HUB_TOKEN", "file"],
)
@pytest.mark.parametrize("part", ["/api/whoami-v2", "/api/models/team/gpt2"])
def test_token_from_elsewhere_than_the_input_is_masked_and_not_shown(
    given: Callable[[Action], dict[str, str]], part: str, action: Action, hub: LocalHub
) -> None:
    with impostor(hub.endpoint, refusing(part)) as server:
        variables = given(action)
        run = action.run(
            [pair("owner/x")], variables | DEBUG, endpoint=server.endpoint, mode="plan"
        )
    is_helper = part == "/api/whoami-v2"  # a plan goes on without it
    assert (run.status == 0) == is_helper
    assert server.secrets == {TOKEN}
    assert "***" in run.log
    assert TOKEN in masks_of(run)
    kept = variables.get("HF_TOKEN_PATH")
    assert places(action, run, TOKEN) == ([kept] if kept else [])
    assert ("error" in {each.name for each in commands(run.log)}) != is_helper


def test_tokens_of_the_runner_are_masked_first(action: Action) -> None:
    variables = {
        **{"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token", "HF_TOKEN": "hf_stored"},
        **{"ACTIONS_RUNTIME_TOKEN": "runtime-token", "HUGGING_FACE_HUB_TOKEN": "hf_older"},
    }
    secrets = [TOKEN, "hf_stored", "hf_older", "request-token", "runtime-token"]
    run = action.run(f"pairs: {' '.join(secrets)}", variables, token=TOKEN)
    assert lines(run.log)[:5] == [f"::add-mask::{secret}" for secret in secrets]
    for secret in secrets:
        assert places(action, run, secret) == [str(action.workspace / "pairs.yaml")]


# A Hub that repeats what it was sent


def sent(request: Request) -> str:
    """Return the secrets in a request."""
    header = request.headers.get("Authorization", "")
    body = json.loads(request.body) if request.path == "/oauth/token" else {}
    return f"{header} {body.get('subject_token', '')}".strip()


def refusing(part: str) -> Change:
    """Refuse requests to a path, and repeat the secrets in every place that an error has."""

    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        if part not in request.path:
            return forwarded()
        text = f"no: {sent(request)}"
        content = {"error": text, "error_description": text, "errors": [{"message": text}]}
        return Answer.of_json(content, 403, **{"X-Error-Message": text, "X-Request-Id": text})

    return change


def unreadable(request: Request, forwarded: Callable[[], Answer]) -> Answer:
    """Repeat the token where the name of a file should be, which VED's error repeats."""
    answer = forwarded()
    if not request.path.startswith("/api/models/team/gpt2"):
        return answer
    return answer.with_json({**answer.json(), "siblings": [{"rfilename": [sent(request)]}]})


@pytest.mark.parametrize(
    ("change", "is_helper"),
    [
        (refusing("/api/whoami-v2"), True),  # a plan goes on without it
        (refusing("/api/models/team/gpt2"), False),
        (unreadable, False),
    ],
    ids=["login", "source", "file"],
)
def test_token_in_an_error_of_the_hub_is_not_shown(
    change: Change, is_helper: bool, action: Action, hub: LocalHub
) -> None:
    with impostor(hub.endpoint, change) as server:
        run = action.run(
            [pair("owner/repeated")], DEBUG, token=TOKEN, endpoint=server.endpoint, mode="plan"
        )
    assert (run.status == 0) == is_helper
    assert server.secrets == {TOKEN}
    assert "***" in run.log
    assert masks_of(run) == [TOKEN]
    assert places(action, run, TOKEN) == []


@pytest.mark.parametrize("path", ["/oauth/token", "/api/models/owner/keyless-repeated/commit"])
def test_tokens_of_a_job_in_an_error_of_the_hub_are_not_shown(
    path: str, action: Action, hub: LocalHub
) -> None:
    client(hub).create_repo("owner/keyless-repeated")
    hub.add_publisher("owner/keyless-repeated", repository=GITHUB["repository"])
    job = hub.add_job(**GITHUB)
    with impostor(hub.endpoint, refusing(path)) as server:
        job["ACTIONS_ID_TOKEN_REQUEST_URL"] = job["ACTIONS_ID_TOKEN_REQUEST_URL"].replace(
            hub.endpoint, server.endpoint
        )
        run = action.run([pair("owner/keyless-repeated")], job | DEBUG, endpoint=server.endpoint)
        known = {
            part for each in server.requests for part in sent(each).split() if part != "Bearer"
        }
    assert run.status == 1
    assert "***" in reasons(run)[0]
    assert {*masks_of(run)} == known
    assert job["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] in known
    assert len(known) == (2 if path == "/oauth/token" else 3)
    for secret in known:
        assert places(action, run, secret) == []


@pytest.mark.parametrize(
    ("file", "key", "mode", "code", "reason"),
    [
        (
            *("tokenizer_config.json", "chat_template", "build"),
            *(ErrorCode.SECRET_IN_CHECKPOINT, "tokenizer_config.json"),
        ),
        ("config.json", "model_type", "plan", ErrorCode.UNSUPPORTED_FAMILY, "***"),
    ],
)
def test_token_in_a_file_of_the_hub_is_not_published(
    file: str, key: str, mode: str, code: ErrorCode, reason: str, action: Action, hub: LocalHub
) -> None:
    repo = f"owner/repeated-as-{key.replace('_', '-')}"
    change = with_value_in_file("team/gpt2", file, key, lambda request: f"as {sent(request)} says")
    with impostor(hub.endpoint, change) as server:
        run = action.run([pair(repo)], DEBUG, token=TOKEN, endpoint=server.endpoint, mode=mode)
    assert run.status == 1
    assert rows_of(run)[0]["codes"] == [code]
    assert reason in reasons(run)[0]
    assert places(action, run, TOKEN, cache=False) == []
    if client(hub).repo_exists(repo):
        assert client(hub).list_repo_files(repo) == [".gitattributes"]


def test_token_on_a_card_of_the_hub_is_not_shown(action: Action, hub: LocalHub) -> None:
    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        answer = forwarded()
        if not request.path.startswith("/api/models/team/gpt2"):
            return answer
        return answer.with_json({**answer.json(), "cardData": {"license": token}})

    token = "hf.token-that-a-license-could-be"
    hub.add_user("owner", token=token)
    with impostor(hub.endpoint, change) as server:
        run = action.run(
            [pair("owner/x")], DEBUG, token=token, endpoint=server.endpoint, mode="plan"
        )
    assert "***" in run.log
    assert places(action, run, token) == []


# A Hub that sends elsewhere


def leading_to(other: Server) -> Change:
    """Lead to another server in all the ways that a Hub has."""

    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        answer = forwarded()
        path = request.path.partition("?")[0]
        if path.startswith("/api/models/team/gpt2"):
            return Answer(307, {"Location": f"{other.endpoint}/redirect"})
        if path == "/api/models":
            answer.headers["Link"] = f'<{other.endpoint}/page>; rel="next"'
        if path.startswith("/team/vit/resolve/"):
            link = f'<{other.endpoint}/xet>; rel="xet-auth"'
            answer.headers |= {"X-Xet-Hash": "0" * 64, "Link": link}
        if path.startswith("/team/bart/resolve/"):
            answer.headers["X-Linked-Size"] = str(len(answer.body))
            return Answer(302, {**answer.headers, "Location": f"{other.endpoint}/file"})
        if path.endswith("/info/lfs/objects/batch"):
            content = answer.json()
            for each in content["objects"]:
                each["actions"]["verify"] = {"href": f"{other.endpoint}/verify"}
            return answer.with_json(content)
        return answer

    return change


@pytest.mark.parametrize(
    ("decoder", "mode", "places_asked"),
    [
        ("team/gpt2", "plan", {"/redirect"}),
        ("team/bart", "plan", {"/file", "/page"}),
        ("./gpt2", "build", {"/page", "/verify"}),
    ],
)
def test_token_is_sent_only_to_the_hub(
    decoder: str,
    mode: str,
    places_asked: set[str],
    action: Action,
    hub: LocalHub,
    sources: dict[str, Path],
) -> None:
    # Only LFS has an address to verify an upload.
    variables = {**DEBUG, "HF_HUB_DISABLE_XET": "1"} if mode == "build" else DEBUG
    for name in ("vit", "gpt2"):
        shutil.copytree(sources[name], action.workspace / name)
    # Nothing is downloaded of local sources, so that the build goes on to its upload.
    encoder = "./vit" if mode == "build" else "team/vit"
    entry = pair("owner/leading-elsewhere", encoder=encoder, decoder=decoder)

    def answer(request: Request) -> Answer:
        return Answer.of_json({}, 404) if request.path == "/redirect" else Answer.of_json([])

    with serving(answer) as other, impostor(hub.endpoint, leading_to(other)) as server:
        run = action.run([entry], variables, token=TOKEN, endpoint=server.endpoint, mode=mode)
        assert server.secrets == {TOKEN}
        asked = {request.path.partition("?")[0] for request in other.requests}
        assert asked == places_asked, run.log
        assert other.secrets == set()
        assert all(TOKEN not in str(request) for request in other.requests)
    assert places(action, run, TOKEN) == []


# A run that succeeds


@pytest.mark.slow
def test_successful_run_leaves_no_secret(action: Action, hub: LocalHub, tmp_path: Path) -> None:
    watch = Watch(tmp_path / "watch")
    repo = "owner/kept-secret"
    run = action.run_as_process([pair(repo)], DEBUG, command=watch.command, token=TOKEN)

    assert run.status == 0, run.log
    assert (masks_of(run), places(action, run, TOKEN)) == ([TOKEN], [])
    assert [str(each) for each in watch.started if TOKEN in str(each)] == []
    assert repo in heads(hub)
    published = download(hub, repo, tmp_path)
    assert [name for name, content in published.items() if TOKEN.encode() in content] == []
