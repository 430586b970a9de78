"""No token is where it does not belong, whatever the Hub does with it."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.demo.runner import Run, run_action
from tests.support.hostile import Answer, Change, Request, Server, Watch, impostor, serving
from tests.support.publishing import TOKEN, client, download, heads, pair
from tests.support.workflow_commands import commands, lines
from ved.localhub import LocalHub

GITHUB: dict[str, Any] = {"repository": "octo-org/octo-repo", "workflow": "checkpoints.yml"}


@dataclass(frozen=True)
class Runner:
    """Runs the action in folders of its own, and knows all that it leaves there."""

    folder: Path

    def run(
        self, entry: Mapping[str, Any], extra: Mapping[str, str] | None = None, **inputs: str
    ) -> Run:
        for name in ("workspace", "home", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        # A list of JSON is YAML, with each pair on a line.
        (self.folder / "workspace" / "pairs.yaml").write_text(f"pairs:\n- {json.dumps(entry)}\n")
        variables = {"TMPDIR": str(self.folder / "tmp"), "HF_DEBUG": "1", **(extra or {})}
        files = {"results-file": "results.json", "checksums-file": "checksums.txt"}
        workspace, home = self.folder / "workspace", self.folder / "home"
        return run_action({**files, **inputs}, workspace, home, variables)

    def places(self, run: Run, secret: str, *, cache: bool = True) -> list[str]:
        """Return where a secret is, but for the commands that mask it."""
        masks = {each.line for each in commands(run.log) if each.name == "add-mask"}
        log = [line for number, line in enumerate(lines(run.log)) if number not in masks]
        texts = {"log": "\n".join(log), "summary": run.summary, **run.outputs}
        places = [name for name, text in texts.items() if secret in text]
        for path in self.folder.rglob("*"):
            # What a Hub sends is kept as it is, so what it repeats is there.
            if path.is_file() and (cache or ".cache" not in path.parts):
                places += [str(path)] if secret.encode() in path.read_bytes() else []
        return places


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    folder = tmp_path / "runner"
    folder.mkdir()
    return Runner(folder)


def masked(run: Run) -> list[str]:
    return [each.message for each in commands(run.log) if each.name == "add-mask"]


def reasons(run: Run) -> list[str]:
    return [row["reason"] for row in json.loads(run.outputs["results"])]


# Tokens


STRANGE = [
    *("hf_wrong", "hf_with space", "hf_first\nhf_second", "hf_first\r\n::error::hf_second"),
    *("hf_%0Apercent", "hf_::error::x", 'hf_"quoted\\"', "hf_\u20ac", "hf_\u00e9", "$(hf_shell)`"),
]


@pytest.mark.parametrize("token", STRANGE)
def test_a_token_that_is_none_is_masked_and_not_shown(
    token: str, hub: LocalHub, runner: Runner
) -> None:
    run = runner.run(pair("owner/x"), token=token, endpoint=hub.endpoint)
    assert run.status == 2
    assert masked(run) == [token]
    for part in token.splitlines():
        assert runner.places(run, part) == []
    assert [each.name for each in commands(run.log)] == ["add-mask", "error"]


def test_a_strange_token_beside_an_identity_is_not_shown(hub: LocalHub, runner: Runner) -> None:
    token = "hf_first\nhf_second"
    run = runner.run(pair("owner/x"), hub.add_job(**GITHUB), token=token, endpoint=hub.endpoint)
    assert (run.status, masked(run)[0]) == (1, token)
    assert runner.places(run, "hf_first") == runner.places(run, "hf_second") == []


def test_a_token_in_another_jobs_results_is_not_passed_on(hub: LocalHub, runner: Runner) -> None:
    found = runner.folder / "workspace" / "found"
    found.mkdir(parents=True)
    told = {
        **{"repo": "owner/x", "encoder": "team/vit", "decoder": "team/gpt2", "action": "failed"},
        **{"reason": f"It said {TOKEN}.", "warnings": [f"It says {TOKEN}."], "commit": None},
        **{"url": f"https://{TOKEN}", "fingerprint": TOKEN, "bytes": 0, "seconds": 0},
    }
    (found / "job.json").write_text(json.dumps([told]))
    settings = {"mode": "report", "results": "found", "endpoint": hub.endpoint}
    run = runner.run(pair("owner/x"), None, token=TOKEN, **settings)
    assert run.status == 1
    assert reasons(run) == ["It said ***."]
    assert runner.places(run, TOKEN) == [str(found / "job.json")]


# A Hub that repeats what it was sent


def sent(request: Request) -> str:
    """Return what a request holds of secrets."""
    header = request.headers.get("Authorization", "")
    body = json.loads(request.body) if request.path == "/oauth/token" else {}
    return f"{header} {body.get('subject_token', '')}".strip()


def refusing(part: str) -> Change:
    """Refuse requests to a path, and repeat the secrets in every place that an error has."""

    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        if part not in request.path:
            return forwarded()
        said = f"no: {sent(request)}"
        content = {"error": said, "error_description": said, "errors": [{"message": said}]}
        return Answer.of_json(content, 403, **{"X-Error-Message": said, "X-Request-Id": said})

    return change


def unreadable(request: Request, forwarded: Callable[[], Answer]) -> Answer:
    """Repeat the token where a date should be, which huggingface_hub's error repeats."""
    answer = forwarded()
    if not request.path.startswith("/api/models/team/gpt2"):
        return answer
    return answer.with_json({**answer.json(), "lastModified": sent(request)})


@pytest.mark.parametrize(
    "change",
    [refusing("/api/whoami-v2"), refusing("/api/models/team/gpt2"), unreadable],
    ids=["login", "source", "date"],
)
def test_a_hub_that_repeats_the_token_in_an_error_does_not_get_it_shown(
    change: Change, hub: LocalHub, runner: Runner
) -> None:
    with impostor(hub.endpoint, change) as server:
        entry = pair("owner/repeated")
        run = runner.run(entry, token=TOKEN, endpoint=server.endpoint, mode="plan")
    assert run.status > 0
    assert server.secrets == {TOKEN}
    assert "***" in run.log
    assert masked(run) == [TOKEN]
    assert runner.places(run, TOKEN) == []


@pytest.mark.parametrize("path", ["/oauth/token", "/api/models/owner/keyless-repeated/commit"])
def test_a_hub_that_repeats_a_jobs_tokens_does_not_get_them_shown(
    path: str, hub: LocalHub, runner: Runner
) -> None:
    if not client(hub).repo_exists("owner/keyless-repeated"):
        client(hub).create_repo("owner/keyless-repeated")
        hub.add_publisher("owner/keyless-repeated", repository=GITHUB["repository"])
    job = hub.add_job(**GITHUB)
    with impostor(hub.endpoint, refusing(path)) as server:
        job["ACTIONS_ID_TOKEN_REQUEST_URL"] = job["ACTIONS_ID_TOKEN_REQUEST_URL"].replace(
            hub.endpoint, server.endpoint
        )
        run = runner.run(pair("owner/keyless-repeated"), job, endpoint=server.endpoint)
        told = {part for each in server.requests for part in sent(each).split() if part != "Bearer"}
    assert run.status == 1
    assert "***" in reasons(run)[0]
    asked_with = job["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    assert {*masked(run), asked_with} == told
    assert len(told) == (2 if path == "/oauth/token" else 3)
    for secret in told:
        assert runner.places(run, secret) == []


def in_a_config(key: str) -> Change:
    """Repeat the token in the config of a source."""

    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        answer = forwarded()
        path = request.path.partition("?")[0]
        if not path.endswith("/config.json") or "team/gpt2" not in path or answer.status != 200:
            return answer
        config = forwarded_config(request, forwarded)
        content = {**config, key: f"as {sent(request)} says"}
        return Answer(200, answer.headers, json.dumps(content).encode())

    return change


def forwarded_config(request: Request, forwarded: Callable[[], Answer]) -> dict[str, Any]:
    """Return a file's content, also where only its size is asked for."""
    method, request.method = request.method, "GET"
    config: dict[str, Any] = forwarded().json()
    request.method = method
    return config


@pytest.mark.parametrize(
    ("key", "mode", "reason"),
    [("note", "build", "config.json holds the token that"), ("model_type", "plan", "***")],
)
def test_a_hub_that_repeats_the_token_in_a_file_does_not_get_it_published(
    key: str, mode: str, reason: str, hub: LocalHub, runner: Runner
) -> None:
    repo = f"owner/repeated-as-{key.replace('_', '-')}"
    with impostor(hub.endpoint, in_a_config(key)) as server:
        run = runner.run(pair(repo), token=TOKEN, endpoint=server.endpoint, mode=mode)
    assert run.status == 1
    assert reason in reasons(run)[0]
    assert runner.places(run, TOKEN, cache=False) == []
    if client(hub).repo_exists(repo):
        assert client(hub).list_repo_files(repo) == [".gitattributes"]


def test_a_hub_that_repeats_the_token_on_a_card_does_not_get_it_shown(
    hub: LocalHub, runner: Runner
) -> None:
    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        answer = forwarded()
        if not request.path.startswith("/api/models/team/gpt2"):
            return answer
        return answer.with_json({**answer.json(), "cardData": {"license": token}})

    token = "hf.token-that-a-licence-could-be"
    hub.add_user("owner", token=token)
    with impostor(hub.endpoint, change) as server:
        run = runner.run(pair("owner/x"), token=token, endpoint=server.endpoint, mode="plan")
    assert "team/gpt2 is under ***" in run.log
    assert runner.places(run, token) == []


# A Hub that sends elsewhere


def leading_to(other: Server) -> Change:
    """Lead to another server wherever a Hub can."""

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
    ("decoder", "mode", "places"),
    [
        ("team/gpt2", "plan", {"/redirect", "/xet"}),
        ("team/bart", "plan", {"/file", "/page", "/xet"}),
        ("./gpt2", "build", {"/page", "/verify"}),
    ],
)
def test_the_token_is_sent_nowhere_but_to_the_hub(
    decoder: str,
    mode: str,
    places: set[str],
    hub: LocalHub,
    sources: dict[str, Path],
    runner: Runner,
) -> None:
    for name in ("vit", "gpt2"):
        shutil.copytree(sources[name], runner.folder / "workspace" / name)
    # Of local sources nothing is downloaded, so that the build goes on to its upload.
    encoder = "./vit" if mode == "build" else "team/vit"
    entry = pair("owner/leading-elsewhere", encoder=encoder, decoder=decoder)

    def answer(request: Request) -> Answer:
        return Answer.of_json({}, 404) if request.path == "/redirect" else Answer.of_json([])

    with serving(answer) as other, impostor(hub.endpoint, leading_to(other)) as server:
        run = runner.run(entry, token=TOKEN, endpoint=server.endpoint, mode=mode)
        assert server.secrets == {TOKEN}
        assert {request.path.partition("?")[0] for request in other.requests} == places, run.log
        assert other.secrets == set()
        assert all(TOKEN not in str(request) for request in other.requests)
    assert runner.places(run, TOKEN) == []


# A run that goes well


def test_a_good_run_leaves_no_secret_anywhere(
    hub: LocalHub, runner: Runner, tmp_path: Path
) -> None:
    watch = Watch(tmp_path / "watch")
    variables = {**watch.variables, "INPUT_ENDPOINT": hub.endpoint}
    run = runner.run(pair("owner/kept-secret"), variables, token=TOKEN, endpoint=hub.endpoint)

    assert run.status == 0, run.log
    assert (masked(run), runner.places(run, TOKEN)) == ([TOKEN], [])
    assert [str(each) for each in watch.started if TOKEN in str(each)] == []
    assert "owner/kept-secret" in heads(hub)
    published = download(hub, "owner/kept-secret", tmp_path)
    assert [name for name, content in published.items() if TOKEN.encode() in content] == []
