"""Pairs from manifest to Hub: what is published, what is refused, and that one fails alone."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, configure_http_backend

from tests.publishing import (
    asked_for,
    build_locally,
    build_pair,
    client,
    download,
    files_of,
    heads,
    manifest,
    pair,
    publish,
)
from ved.build import Options, build
from ved.errors import RequestError
from ved.localhub import LocalHub, checkpoints
from ved.manifest import Pair

NEEDED = {
    *("flax_model.msgpack", "config.json", "generation_config.json", "README.md", "ved.json"),
    *("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
}


@pytest.fixture
def strangers(session_hub: LocalHub, sources: dict[str, Path]) -> None:
    """Let somebody else have a gated source and a private one, and ourselves a repo by hand."""
    session_hub.add_user("stranger", token="hf_stranger")
    api = client(session_hub, "hf_stranger")
    for repo, private in (("stranger/gated", False), ("stranger/private", True)):
        if not api.repo_exists(repo):
            publish(session_hub, repo, sources["vit"], token="hf_stranger", private=private)
    api.update_repo_settings("stranger/gated", gated="manual")
    if not api.repo_exists("owner/by-hand"):
        publish(session_hub, "owner/by-hand", sources["gpt2"])


# What is published


def test_a_pair_is_published_as_one_commit(hub: LocalHub, tmp_path: Path) -> None:
    result = build_pair(hub, pair("owner/one-commit"))

    assert (result.action, result.reason) == ("built", "")
    assert heads(hub)["owner/one-commit"] == result.commit
    assert result.url == f"{hub.endpoint}/owner/one-commit/commit/{result.commit}"
    commits = [exchange for exchange in hub.requests if "/commit/" in exchange.path]
    assert [exchange.method for exchange in commits] == ["POST"]
    served = download(hub, "owner/one-commit", tmp_path)
    assert served.keys() >= NEEDED
    del served[".gitattributes"]
    assert result.size == sum(len(content) for content in served.values())


def test_what_is_published_is_what_is_built(hub: LocalHub, tmp_path: Path) -> None:
    entry = pair("owner/the-same", decoder="team/bart", seed=3, tags=["a tag"])
    built = files_of(build_locally(hub, entry, tmp_path / "built"))
    build_pair(hub, entry)
    served = download(hub, "owner/the-same", tmp_path)
    assert {**built, ".gitattributes": served[".gitattributes"]} == served


def test_a_repo_of_ved_is_built_again(hub: LocalHub) -> None:
    first = build_pair(hub, pair("owner/again"))
    same = build_pair(hub, pair("owner/again"))
    other = build_pair(hub, pair("owner/again", seed=1))
    assert [first.action, same.action, other.action] == ["built"] * 3
    assert first.commit == same.commit != other.commit
    assert len(client(hub).list_repo_commits("owner/again")) == 3


def test_a_foreign_repo_is_adopted_where_the_manifest_says_so(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("pytorch_model.bin", "tf_model.h5", "notes.txt", "README.md"):
        (foreign / name).write_text("---\nlicense: mit\n---\nBy hand.\n")
    publish(hub, "owner/adopted-by-a-pair", foreign)

    result = build_pair(hub, pair("owner/adopted-by-a-pair", adopt=True))

    assert result.action == "built"
    served = download(hub, "owner/adopted-by-a-pair", tmp_path)
    assert served.keys() >= NEEDED | {"notes.txt"}
    assert not served.keys() & {"pytorch_model.bin", "tf_model.h5"}
    assert b"not trained" in served["README.md"]


def test_a_pair_is_private_where_the_manifest_says_so(hub: LocalHub) -> None:
    build_pair(hub, pair("owner/private-pair", private=True))
    build_pair(hub, pair("owner/public-pair"))
    assert client(hub).model_info("owner/private-pair").private
    assert not client(hub).model_info("owner/public-pair").private


def test_after_a_crash_the_next_run_succeeds(hub: LocalHub) -> None:
    hub.faults.add("POST", "/api/models/owner/crashed/commit/", status=500)
    crashed = build_pair(hub, pair("owner/crashed"))
    assert (crashed.action, crashed.commit, crashed.url) == ("failed", None, None)
    assert "Cannot publish owner/crashed: the Hub answers with status 500" in crashed.reason
    assert client(hub).list_repo_files("owner/crashed") == [".gitattributes"]

    result = build_pair(hub, pair("owner/crashed"))

    assert result.action == "built"
    assert heads(hub)["owner/crashed"] == result.commit


class Meanwhile(logging.Handler):
    """Lets a colleague commit to a repo as soon as VED is assembling."""

    def __init__(self, api: HfApi, repo: str) -> None:
        super().__init__()
        self.api, self.repo = api, repo

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "Assembling":
            self.api.upload_file(
                path_or_fileobj=b"theirs", path_in_repo="notes.txt", repo_id=self.repo
            )


def test_a_commit_made_during_the_build_is_not_overwritten(
    hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    build_pair(hub, pair("owner/raced-pair"))
    caplog.set_level(logging.INFO, "ved")
    colleague = Meanwhile(client(hub), "owner/raced-pair")
    logging.getLogger("ved").addHandler(colleague)
    try:
        result = build_pair(hub, pair("owner/raced-pair", seed=1))
    finally:
        logging.getLogger("ved").removeHandler(colleague)

    assert result.action == "failed"
    assert "somebody else committed to it meanwhile. Nothing was changed" in result.reason
    (latest, *_) = client(hub).list_repo_commits("owner/raced-pair")
    assert latest.title == "Upload notes.txt with huggingface_hub"
    assert heads(hub)["owner/raced-pair"] == latest.commit_id


# What is refused


@pytest.mark.parametrize(
    ("keys", "cause", "remedy"),
    [
        (
            {"repo": "stranger/new"},
            "The token may not publish to stranger.",
            "It may publish to owner, team",
        ),
        (
            {"repo": "owner/by-hand"},
            "owner/by-hand exists and was not made by VED (it has no ved.json).",
            "Choose another name, or say adopt: true",
        ),
        (
            {"repo": "team/VIT", "adopt": True},
            "team/VIT is one of its own sources, which publishing would replace.",
            "Choose another name.",
        ),
        (
            {"encoder": "team/missing"},
            "Cannot read team/missing: there is no such repo, or it is private",
            "Check the spelling of 'team/missing'",
        ),
        (
            {"encoder": "stranger/private"},
            "Cannot read stranger/private: there is no such repo, or it is private",
            "a private repo needs a token with access to it",
        ),
        (
            {"encoder": "stranger/gated"},
            "Cannot download config.json of stranger/gated@",
            "Accept its terms at its page (stranger/gated) with the account that owns the token.",
        ),
        (
            {"encoder": "team/vit@v9"},
            "Cannot read team/vit at v9: there is no such revision.",
            "Name a branch, a tag or a commit of the repo.",
        ),
        (
            {"encoder": f"team/vit@{'0' * 40}"},
            f"Cannot read team/vit at {'0' * 40}: there is no such revision.",
            "Name a branch, a tag or a commit of the repo.",
        ),
        (
            {"decoder": "team/vit"},
            "is a 'vit' checkpoint, which cannot be the decoder",
            "These families can be the decoder: bart, bert,",
        ),
        (
            {"token_ids": {"pad": 9999}},
            "pad 9999 (from the manifest) is outside the vocabulary of 385",
            "Set them with token_ids:",
        ),
    ],
)
@pytest.mark.usefixtures("strangers")
def test_what_cannot_be_built_is_explained_and_nothing_is_published(
    keys: dict[str, Any], cause: str, remedy: str, hub: LocalHub
) -> None:
    before = heads(hub)

    result = build_pair(hub, pair(**{"repo": "owner/refused", **keys}))

    assert result.action == "failed"
    assert (result.commit, result.url, result.size) == (None, None, 0)
    assert cause in result.reason
    assert remedy in result.reason
    assert result.reason.index(cause) < result.reason.index(remedy)
    assert heads(hub) == before


@pytest.mark.usefixtures("strangers")
def test_what_is_wrong_with_both_sources_is_said_at_once(hub: LocalHub) -> None:
    result = build_pair(
        hub, pair("owner/refused", encoder="stranger/private", decoder="team/gpt2@v9")
    )
    assert "Cannot read stranger/private" in result.reason
    assert "Cannot read team/gpt2 at v9" in result.reason


@pytest.mark.parametrize("token", ["hf_wrong", "hf_read", None])
def test_a_token_that_cannot_publish_stops_everything(token: str | None, hub: LocalHub) -> None:
    hub.add_user("owner", token="hf_read", role="read")
    before = heads(hub)
    with pytest.raises(RequestError):
        build_pair(hub, pair("owner/without-token"), token=token)
    assert heads(hub) == before
    assert {exchange.path for exchange in hub.requests} <= {"/api/whoami-v2"}


def test_a_source_that_is_gated_is_read_with_access(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/terms", checkpoints.vit(tmp_path / "vit"))
    client(hub).update_repo_settings("team/terms", gated="auto")
    assert build_pair(hub, pair("owner/accepted", encoder="team/terms")).action == "built"


# One pair's failure stays its own


def test_one_pairs_failure_stays_its_own(hub: LocalHub) -> None:
    pairs = [
        pair("owner/good-1"),
        pair("owner/bad", encoder="team/missing"),
        pair("owner/good-2", decoder="team/bart"),
    ]
    results = build(manifest(*pairs), Options(), client(hub))
    assert [(result.pair.repo, result.action) for result in results] == [
        ("owner/good-1", "built"),
        ("owner/bad", "failed"),
        ("owner/good-2", "built"),
    ]
    assert {"owner/good-1", "owner/good-2"} <= heads(hub).keys()
    assert "owner/bad" not in heads(hub)


def test_a_failure_that_nobody_thought_of_stays_its_own(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    nested = tmp_path / "nested"
    nested.mkdir()
    depth = 100_000
    (nested / "config.json").write_text("[" * depth + "]" * depth)
    pairs = [pair("owner/nested", encoder=str(nested)), pair("owner/after-nested")]
    results = build(manifest(*pairs), Options(), client(hub))
    assert [result.action for result in results] == ["failed", "built"]
    assert results[0].reason


def test_each_pair_is_built_within_its_own_group(hub: LocalHub) -> None:
    events = []

    @contextmanager
    def around(entry: Pair) -> Iterator[None]:
        events.append(f"begin {entry.repo}")
        yield
        events.append(f"end {entry.repo}")

    pairs = [pair("owner/bad-1", encoder="team/a"), pair("owner/bad-2", encoder="team/b")]
    build(manifest(*pairs), Options(), client(hub), around)

    assert events == [
        "begin owner/bad-1",
        "end owner/bad-1",
        "begin owner/bad-2",
        "end owner/bad-2",
    ]


# Which pairs


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ((), ["owner/a", "owner/b", "owner/c"]),
        (("owner/b",), ["owner/b"]),
        (("owner/c", "OWNER/A", "owner/c"), ["owner/a", "owner/c"]),
    ],
)
def test_only_selects_in_the_manifests_order(
    only: tuple[str, ...], expected: list[str], hub: LocalHub
) -> None:
    pairs = [pair(f"owner/{name}", encoder="team/missing") for name in "abc"]
    results = build(manifest(*pairs), Options(only), client(hub))
    assert [result.pair.repo for result in results] == expected


def test_only_of_an_unknown_repo_is_a_wrong_request(hub: LocalHub) -> None:
    with pytest.raises(RequestError) as caught:
        build(manifest(pair("owner/a")), Options(("owner/a", "owner/x", "y")), client(hub))
    assert caught.value.cause == "pairs.yaml has no one pair that is called owner/x, y."
    assert caught.value.remedy == "It has owner/a."
    assert hub.requests == []


# Without publishing


def test_without_publishing_no_token_is_needed(hub: LocalHub, tmp_path: Path) -> None:
    options = Options(output_directory=tmp_path, push=False)
    before = heads(hub)
    (result,) = build(manifest(pair("nobody/knows")), options, client(hub, None))
    assert (result.action, result.commit, result.url) == ("built", None, None)
    assert files_of(tmp_path / "nobody" / "knows").keys() >= NEEDED
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert heads(hub) == before


def test_what_is_published_can_be_kept_as_well(hub: LocalHub, tmp_path: Path) -> None:
    options = Options(output_directory=tmp_path)
    (result,) = build(manifest(pair("owner/kept")), options, client(hub))
    assert result.commit == heads(hub)["owner/kept"]
    assert files_of(tmp_path / "owner" / "kept").keys() >= NEEDED


def test_a_checkpoint_of_ved_is_replaced_on_disk(hub: LocalHub, tmp_path: Path) -> None:
    entry = pair("owner/replaced")
    first = files_of(build_locally(hub, entry, tmp_path / "built"))
    options = Options(output_directory=tmp_path / "built", push=False)
    build(manifest({**entry, "decoder": "team/bert"}), options, client(hub))
    second = files_of(tmp_path / "built" / "owner" / "replaced")
    assert "merges.txt" in first
    assert "merges.txt" not in second


@pytest.mark.parametrize("push", [False, True])
def test_a_directory_that_ved_did_not_make_is_not_replaced(
    push: bool, hub: LocalHub, tmp_path: Path
) -> None:
    theirs = tmp_path / "owner" / "precious"
    theirs.mkdir(parents=True)
    (theirs / "thesis.txt").write_text("years of work")
    before = heads(hub)

    options = Options(output_directory=tmp_path, push=push)
    (result,) = build(manifest(pair("owner/precious")), options, client(hub))

    assert result.action == "failed"
    assert f"{theirs} is not empty, and VED did not make it." in result.reason
    assert "Name another directory" in result.reason
    assert files_of(theirs) == {"thesis.txt": b"years of work"}
    assert heads(hub) == before


# What is asked of the Hub


def test_nobody_but_the_hub_is_asked(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = set()
    look_up = socket.getaddrinfo

    def noted(host: Any, *arguments: Any, **keywords: Any) -> Any:
        hosts.add(host)
        return look_up(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    configure_http_backend()  # anew, so that every connection is a new one
    assert build_pair(hub, pair("owner/discreet", seed=5)).action == "built"
    assert hosts == {"127.0.0.1"}


def test_sources_that_pairs_share_are_resolved_and_downloaded_once(
    hub: LocalHub, tmp_path: Path
) -> None:
    publish(hub, "team/shared", checkpoints.vit(tmp_path / "vit"))
    hub.requests.clear()
    pairs = [
        pair("owner/shared-1", encoder="team/shared"),
        pair("owner/shared-2", encoder="team/shared", decoder="team/bart"),
    ]

    results = build(manifest(*pairs), Options(), client(hub))

    assert [result.action for result in results] == ["built", "built"]
    asked = [(exchange.method, exchange.path) for exchange in hub.requests]
    assert asked.count(("GET", "/api/models/team/shared")) == 1
    files = [path for method, path in asked if method == "HEAD" and "/team/shared/" in path]
    assert len(files) == len(asked_for(hub, "team/shared")) == 3
