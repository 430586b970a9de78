"""Pairs from manifest to Hub: what is published, what is refused, and that one fails alone."""

import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from huggingface_hub.utils import close_session

from tests import checkpoints
from tests.support.publishing import (
    SAMPLES,
    asked_for,
    build_locally,
    build_pair,
    client,
    download,
    files_of,
    header_size,
    heads,
    manifest,
    pair,
    publish,
    sent,
)
from ved import interruption
from ved.commands import Result, ResultCollector, RunOptions, build, plan
from ved.errors import ErrorCode, RequestError
from ved.execution import checkpoint_dir
from ved.execution.reporter import UNCHECKED
from ved.families.family import Role
from ved.localhub import LocalHub

NEEDED = {
    *("model.safetensors", "config.json", "generation_config.json"),
    *("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("README.md", "architecture.svg", "ved.json"),
}


@pytest.fixture
def strangers(module_hub: LocalHub, sources: dict[str, Path]) -> None:
    """Let somebody else have a gated source and a private one, and ourselves a repo by hand."""
    module_hub.add_user("stranger", token="hf_stranger")
    api = client(module_hub, "hf_stranger")
    for repo, private in (("stranger/gated", False), ("stranger/private", True)):
        if not api.repo_exists(repo):
            publish(module_hub, repo, sources["vit"], token="hf_stranger", private=private)
    api.update_repo_settings("stranger/gated", gated="manual")
    if not api.repo_exists("owner/by-hand"):
        publish(module_hub, "owner/by-hand", sources["gpt2"])


SEEDS = count(1)


@pytest.fixture
def encoder_of_its_own(hub: LocalHub, tmp_path: Path) -> Iterator[Path]:
    """Publish team/of-its-own, which nobody has downloaded before, and lend out its weights."""
    directory = checkpoints.vit(tmp_path / "of-its-own", seed=next(SEEDS))
    publish(hub, "team/of-its-own", directory)
    hub.requests.clear()
    yield directory / "model.safetensors"
    client(hub).delete_repo("team/of-its-own")


# What is published


def test_build_publishes_one_commit(hub: LocalHub, tmp_path: Path) -> None:
    result = build_pair(hub, pair("owner/one-commit"))

    assert (result.action, result.reason) == ("built", "New repo.")
    assert heads(hub)["owner/one-commit"] == result.commit
    assert result.url == f"{hub.endpoint}/owner/one-commit/commit/{result.commit}"
    commits = [exchange for exchange in hub.requests if "/commit/" in exchange.path]
    assert [exchange.method for exchange in commits] == ["POST"]
    served = download(hub, "owner/one-commit", tmp_path)
    assert served.keys() >= NEEDED
    del served[".gitattributes"]
    assert result.size == sum(len(content) for content in served.values())


def test_build_publishes_what_it_builds(hub: LocalHub, tmp_path: Path) -> None:
    entry = pair("owner/the-same", decoder="team/bart", seed=3, tags=["a tag"])
    built = files_of(build_locally(hub, entry, tmp_path / "built"))
    build_pair(hub, entry)
    served = download(hub, "owner/the-same", tmp_path)
    assert {**built, ".gitattributes": served[".gitattributes"]} == served


def test_build_rebuilds_only_after_a_change(hub: LocalHub) -> None:
    first = build_pair(hub, pair("owner/again"))
    same = build_pair(hub, pair("owner/again"))
    other = build_pair(hub, pair("owner/again", seed=1))
    assert [first.action, same.action, other.action] == ["built", "skipped", "built"]
    assert (same.commit, same.url) == (first.commit, first.url)
    assert other.reason == "seed was 0, is 1."
    assert heads(hub)["owner/again"] == other.commit != first.commit
    assert len(client(hub).list_repo_commits("owner/again")) == 3


def test_build_adopts_a_foreign_repo(
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


def test_build_makes_a_repo_private(hub: LocalHub) -> None:
    build_pair(hub, pair("owner/private-pair", private=True))
    build_pair(hub, pair("owner/public-pair"))
    assert client(hub).model_info("owner/private-pair").private
    assert not client(hub).model_info("owner/public-pair").private


def test_build_after_a_crash_succeeds(hub: LocalHub) -> None:
    hub.faults.add("POST", "/api/models/owner/crashed/commit/", status=500)
    crashed = build_pair(hub, pair("owner/crashed"))
    assert (crashed.action, crashed.commit, crashed.url) == ("failed", None, None)
    assert "Cannot publish owner/crashed: the Hub answers with status 500" in crashed.reason
    assert client(hub).list_repo_files("owner/crashed") == [".gitattributes"]

    result = build_pair(hub, pair("owner/crashed"))

    assert result.action == "built"
    assert heads(hub)["owner/crashed"] == result.commit


class Meanwhile(logging.Handler):
    """Lets a colleague do something as soon as VED is assembling a pair."""

    def __init__(self, repo: str, act: Callable[[], object]) -> None:
        super().__init__()
        self.repo, self.act = repo, act

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(f"{self.repo}: Assembling"):
            self.act()


@contextmanager
def meanwhile(
    repo: str, act: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    caplog.set_level(logging.INFO, "ved")
    colleague = Meanwhile(repo, act)
    logging.getLogger("ved").addHandler(colleague)
    try:
        yield
    finally:
        logging.getLogger("ved").removeHandler(colleague)


def test_build_does_not_overwrite_a_concurrent_commit(
    hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    build_pair(hub, pair("owner/raced-pair"))

    def commit() -> None:
        client(hub).upload_file(
            path_or_fileobj=b"theirs", path_in_repo="notes.txt", repo_id="owner/raced-pair"
        )

    with meanwhile("owner/raced-pair", commit, caplog):
        result = build_pair(hub, pair("owner/raced-pair", seed=1))

    assert (result.action, result.commit) == ("failed", None)
    assert "somebody else committed to it meanwhile. Nothing was changed" in result.reason
    (latest, *_) = client(hub).list_repo_commits("owner/raced-pair")
    assert latest.title == "Upload notes.txt with huggingface_hub"
    assert heads(hub)["owner/raced-pair"] == latest.commit_id


# What is refused


@pytest.mark.parametrize(
    ("keys", "key", "code", "data"),
    [
        ({"repo": "stranger/new"}, "repo", ErrorCode.TOKEN_MAY_NOT_WRITE, "stranger"),
        ({"repo": "owner/by-hand"}, "repo", ErrorCode.FOREIGN_REPO, "owner/by-hand"),
        (
            {"repo": "team/VIT", "adopt": True},
            "repo",
            ErrorCode.REPO_IS_ITS_OWN_SOURCE,
            "team/VIT",
        ),
        ({"encoder": "team/missing"}, "encoder", ErrorCode.NO_SUCH_REPO, "team/missing"),
        ({"encoder": "stranger/private"}, "encoder", ErrorCode.NO_SUCH_REPO, "stranger/private"),
        ({"encoder": "stranger/gated"}, "encoder", ErrorCode.GATED_SOURCE, "stranger/gated"),
        ({"encoder": "team/vit@v9"}, "encoder", ErrorCode.NO_SUCH_REVISION, "team/vit at v9"),
        (
            {"encoder": f"team/vit@{'0' * 40}"},
            "encoder",
            ErrorCode.NO_SUCH_REVISION,
            f"team/vit at {'0' * 40}",
        ),
        ({"decoder": "team/vit"}, "decoder", ErrorCode.UNSUPPORTED_FAMILY, "'vit'"),
        ({"token_ids": {"pad": 9999}}, "token_ids", ErrorCode.TOKEN_IDS, "9999"),
    ],
)
@pytest.mark.usefixtures("strangers")
def test_build_refuses_at_the_key_and_publishes_nothing(
    keys: dict[str, Any], key: str, code: ErrorCode, data: str, hub: LocalHub
) -> None:
    before = heads(hub)

    result = build_pair(hub, pair(**{"repo": "owner/refused", **keys}))

    assert (result.action, result.is_bad) == ("refused", True)
    assert (result.commit, result.url, result.size) == (None, None, 0)
    (error,) = [found for found in result.findings if found.level == "error"]
    assert (error.key, error.code, error.message) == (key, code, result.reason)
    assert data in result.reason
    assert heads(hub) == before


@pytest.mark.parametrize(
    "keys", [{"repo": "stranger/new"}, {"repo": "owner/by-hand"}, {"token_ids": {"pad": 9999}}]
)
@pytest.mark.usefixtures("strangers")
def test_build_downloads_no_weights_of_a_refused_pair(
    keys: dict[str, Any], hub: LocalHub, encoder_of_its_own: Path
) -> None:
    entry = pair("owner/refused", encoder="team/of-its-own")
    assert build_pair(hub, {**entry, **keys}).action == "refused"
    assert sent(hub, encoder_of_its_own) == header_size(encoder_of_its_own)


def test_build_downloads_no_weights_without_disk(hub: LocalHub, encoder_of_its_own: Path) -> None:
    entry = manifest(pair("owner/too-large", encoder="team/of-its-own"))
    (result,) = build(entry, RunOptions(max_disk=1000), client(hub))

    assert result.action == "refused"
    assert result.codes == [ErrorCode.NOT_ENOUGH_DISK]
    assert "1.0 KB" in result.reason
    assert sent(hub, encoder_of_its_own) == header_size(encoder_of_its_own)
    assert "owner/too-large" not in heads(hub)


def test_build_replaces_trained_weights_only_with_overwrite(hub: LocalHub) -> None:
    build_pair(hub, pair("owner/trained"))
    trained = client(hub).upload_file(
        path_or_fileobj=b"trained", path_in_repo="model.safetensors", repo_id="owner/trained"
    )

    refused = build_pair(hub, pair("owner/trained", seed=1))
    assert refused.action == "refused"
    assert refused.codes == [ErrorCode.CHANGED_SINCE]
    assert "model.safetensors" in refused.reason
    assert heads(hub)["owner/trained"] == trained.oid

    replaced = build_pair(hub, pair("owner/trained", seed=1, overwrite=True))
    assert replaced.action == "built"
    assert "model.safetensors" in replaced.reason
    assert heads(hub)["owner/trained"] == replaced.commit


@pytest.mark.parametrize(
    "wrong",
    [
        {"encoder": "stranger/private", "decoder": "team/gpt2@v9"},
        {"repo": "stranger/new", "encoder": "stranger/private", "token_ids": {"pad": 9999}},
    ],
)
@pytest.mark.usefixtures("strangers")
def test_build_reports_all_problems_of_a_pair(wrong: dict[str, Any], hub: LocalHub) -> None:
    result = build_pair(hub, pair(**{"repo": "owner/refused", **wrong}))
    assert result.action == "refused"
    errors = {found.key: found.message for found in result.findings if found.level == "error"}
    assert errors.keys() == wrong.keys()
    assert "Cannot read stranger/private" in errors["encoder"]
    assert [message for message in errors.values() if message not in result.reason] == []


@pytest.mark.parametrize("token", ["hf_wrong", "hf_read", None])
def test_build_without_write_access_is_a_wrong_request(token: str | None, hub: LocalHub) -> None:
    hub.add_user("owner", token="hf_read", role="read")
    before = heads(hub)
    with pytest.raises(RequestError):
        build_pair(hub, pair("owner/without-token"), token=token)
    assert heads(hub) == before
    assert {exchange.path for exchange in hub.requests} <= {"/api/whoami-v2"}


def test_build_reads_a_gated_source_with_access(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/terms", checkpoints.vit(tmp_path / "vit"))
    client(hub).update_repo_settings("team/terms", gated="auto")
    assert build_pair(hub, pair("owner/accepted", encoder="team/terms")).action == "built"


# One pair's failure stays its own


def test_build_continues_after_a_failed_pair(hub: LocalHub) -> None:
    hub.faults.add("POST", "/api/models/owner/failing/commit/", status=500)
    pairs = [
        pair("owner/good-1"),
        pair("owner/bad", encoder="team/missing"),
        pair("owner/failing"),
        pair("owner/good-2", decoder="team/bart"),
    ]
    results = build(manifest(*pairs), RunOptions(), client(hub))
    assert [(result.pair.repo, result.action) for result in results] == [
        ("owner/good-1", "built"),
        ("owner/bad", "refused"),
        ("owner/failing", "failed"),
        ("owner/good-2", "built"),
    ]
    assert {"owner/good-1", "owner/good-2"} <= heads(hub).keys()
    assert "owner/bad" not in heads(hub)


@pytest.mark.parametrize(
    ("name", "role", "config", "code"),
    [
        ("deep", "encoder", b"[" * 100_000 + b"]" * 100_000, ErrorCode.DAMAGED_SOURCE),
        ("wordy", "encoder", {"image_size": "large"}, ErrorCode.UNSUPPORTED_SETTINGS),
        ("short", "encoder", {"image_size": [16]}, ErrorCode.UNSUPPORTED_SETTINGS),
        ("tall", "encoder", {"num_hidden_layers": "two"}, ErrorCode.CONFIG_NOT_USABLE),
        ("mute", "decoder", {"vocab_size": "none"}, ErrorCode.CONFIG_NOT_USABLE),
    ],
)
def test_build_reports_a_damaged_source_at_its_pair(
    name: str,
    role: Role,
    config: bytes | dict[str, Any],
    code: ErrorCode,
    hub: LocalHub,
    tmp_path: Path,
) -> None:
    directory = SAMPLES["vit" if role == "encoder" else "gpt2"](tmp_path / "strange")
    strange = directory / "config.json"
    if isinstance(config, dict):
        config = json.dumps({**json.loads(strange.read_bytes()), **config}).encode()
    strange.write_bytes(config)
    pairs = [pair(f"owner/{name}", **{role: str(directory)}), pair(f"owner/after-{name}")]

    results = build(manifest(*pairs), RunOptions(), client(hub))

    assert [result.action for result in results] == ["refused", "built"]
    assert results[0].codes == [code]
    assert str(directory) in results[0].reason


def test_build_continues_after_an_unexpected_error(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def make_checkpoint(*arguments: Any, **options: Any) -> checkpoint_dir.BuiltCheckpoint:
        if arguments[-1].repo == "owner/unlucky":
            raise ZeroDivisionError("a mistake in VED")
        return checkpoint_dir.build_checkpoint(*arguments, **options)

    monkeypatch.setattr("ved.execution.pipeline.build_checkpoint", make_checkpoint)
    pairs = [pair("owner/unlucky"), pair("owner/lucky")]

    results = build(manifest(*pairs), RunOptions(), client(hub))

    assert [result.action for result in results] == ["failed", "built"]
    assert results[0].codes == [ErrorCode.VED_ITSELF_FAILED]
    assert "ZeroDivisionError" in results[0].reason
    (traced,) = [record for record in caplog.records if record.exc_info]
    assert traced.getMessage() == "owner/unlucky: Unexpected error"


def test_build_fails_if_a_source_changes_after_the_plan(
    hub: LocalHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = checkpoints.vit(tmp_path / "vit") / "model.safetensors"
    with meanwhile("owner/of-moving", weights.unlink, caplog):
        result = build_pair(hub, pair("owner/of-moving", encoder=str(weights.parent)))
    assert result.action == "failed"
    assert result.reason.startswith("No such file or directory")
    assert "owner/of-moving" not in heads(hub)


# Which pairs


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ((), ["owner/a", "owner/b", "owner/c"]),
        (("owner/b",), ["owner/b"]),
        (("owner/c", "OWNER/A", "owner/c"), ["owner/a", "owner/c"]),
    ],
)
def test_build_only_keeps_the_order_of_the_manifest(
    only: tuple[str, ...], expected: list[str], hub: LocalHub
) -> None:
    pairs = [pair(f"owner/{name}", encoder="team/missing") for name in "abc"]
    results = build(manifest(*pairs), RunOptions(only), client(hub))
    assert [result.pair.repo for result in results] == expected


@pytest.mark.parametrize(
    ("name", "meant"),
    [("vit-gpt", ["owner/vit-gpt2"]), ("x/vit-gpt2", ["owner/vit-gpt2"]), ("x", ["a/x", "b/x"])],
)
def test_build_only_names_the_pair_that_was_meant(
    name: str, meant: list[str], hub: LocalHub
) -> None:
    pairs = [pair(repo) for repo in ("owner/vit-gpt2", "a/x", "b/x")]
    with pytest.raises(RequestError) as caught:
        build(manifest(*pairs), RunOptions((name,)), client(hub))
    assert caught.value.code == ErrorCode.NO_SUCH_PAIR
    assert re.findall(r"[\w-]+/[\w-]+", caught.value.remedy) == meant
    assert ("several" in caught.value.cause) == (len(meant) > 1)


def test_build_only_of_an_unknown_repo_is_a_wrong_request(hub: LocalHub) -> None:
    with pytest.raises(RequestError) as caught:
        build(manifest(pair("owner/a")), RunOptions(("owner/a", "owner/x", "y")), client(hub))
    assert caught.value.code == ErrorCode.NO_SUCH_PAIR
    assert "owner/x, y." in caught.value.cause
    assert "owner/a." in caught.value.remedy
    assert hub.requests == []


# Without publishing


def test_build_without_push_needs_no_token(hub: LocalHub, tmp_path: Path) -> None:
    options = RunOptions(output_directory=tmp_path, push=False)
    before = heads(hub)
    (result,) = build(manifest(pair("nobody/knows")), options, client(hub, None))
    assert (result.action, result.commit, result.url) == ("built", None, None)
    assert files_of(tmp_path / "nobody" / "knows").keys() >= NEEDED
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert heads(hub) == before


def test_build_publishes_and_keeps(hub: LocalHub, tmp_path: Path) -> None:
    options = RunOptions(output_directory=tmp_path)
    (result,) = build(manifest(pair("owner/kept")), options, client(hub))
    assert result.commit == heads(hub)["owner/kept"]
    assert files_of(tmp_path / "owner" / "kept").keys() >= NEEDED


def test_build_replaces_a_kept_checkpoint(hub: LocalHub, tmp_path: Path) -> None:
    entry = pair("owner/replaced")
    first = files_of(build_locally(hub, entry, tmp_path / "built"))
    options = RunOptions(output_directory=tmp_path / "built", push=False)
    build(manifest({**entry, "decoder": "team/bert"}), options, client(hub))
    second = files_of(tmp_path / "built" / "owner" / "replaced")
    assert "merges.txt" in first
    assert "merges.txt" not in second


def test_build_restores_a_deleted_file_of_a_kept_checkpoint(hub: LocalHub, tmp_path: Path) -> None:
    wanted = manifest(pair("owner/kept-incomplete"))
    options = RunOptions(output_directory=tmp_path, push=False)
    build(wanted, options, client(hub, None))
    weights = tmp_path / "owner" / "kept-incomplete" / "model.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    (again,) = build(wanted, options, client(hub, None))
    (unchanged,) = build(wanted, options, client(hub, None))
    assert (again.action, unchanged.action) == ("built", "skipped")
    assert weights.read_bytes() == before


def test_build_without_push_and_output_directory_is_a_wrong_request(hub: LocalHub) -> None:
    for command in (build, plan):
        with pytest.raises(RequestError) as caught:
            command(manifest(pair("owner/lost")), RunOptions(push=False), client(hub))
        assert caught.value.code == ErrorCode.WRONG_INPUT
    assert hub.requests == []


@pytest.mark.parametrize("push", [False, True])
def test_build_does_not_replace_a_foreign_directory(
    push: bool, hub: LocalHub, tmp_path: Path
) -> None:
    theirs = tmp_path / "owner" / "precious"
    theirs.mkdir(parents=True)
    (theirs / "thesis.txt").write_text("years of work")
    before = heads(hub)

    options = RunOptions(output_directory=tmp_path, push=push)
    (result,) = build(manifest(pair("owner/precious")), options, client(hub))

    assert result.action == "refused"
    assert result.codes == [ErrorCode.DIRECTORY_IN_USE]
    assert str(theirs) in result.reason
    assert files_of(theirs) == {"thesis.txt": b"years of work"}
    assert heads(hub) == before


# What is asked of the Hub


def test_build_talks_only_to_the_hub(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = set()
    look_up = socket.getaddrinfo

    def noted(host: Any, *arguments: Any, **keywords: Any) -> Any:
        hosts.add(host)
        return look_up(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    close_session()  # so that every connection is a new one
    assert build_pair(hub, pair("owner/discreet", seed=5)).action == "built"
    assert hosts == {"127.0.0.1"}


def test_build_resolves_and_downloads_shared_sources_once(
    hub: LocalHub, encoder_of_its_own: Path, without_xet: None
) -> None:
    pairs = [
        pair("owner/shared-1", encoder="team/of-its-own"),
        pair("owner/shared-2", encoder="team/of-its-own", decoder="team/bart"),
    ]

    results = build(manifest(*pairs), RunOptions(), client(hub))

    assert [result.action for result in results] == ["built", "built"]
    asked = [(exchange.method, exchange.path) for exchange in hub.requests]
    assert asked.count(("GET", "/api/models/team/of-its-own")) == 1
    whole = encoder_of_its_own.stat().st_size
    assert sent(hub, encoder_of_its_own) == header_size(encoder_of_its_own) + whole
    used = {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert asked_for(hub, "team/of-its-own") == used


# Interrupted runs


def test_build_keeps_results_in_the_collector_after_an_unexpected_error(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync_collections(*_: Any) -> list[Result]:
        raise RuntimeError("a defect")

    monkeypatch.setattr("ved.execution.run.sync_collections", sync_collections)
    pairs = [pair("owner/kept-result"), pair("owner/kept-refusal", encoder="team/missing")]
    collector = ResultCollector()

    with pytest.raises(RuntimeError):
        build(manifest(*pairs), RunOptions(), client(hub), collector=collector)

    first, second = collector.results
    assert (first.action, first.commit) == ("built", heads(hub)["owner/kept-result"])
    assert second.action == "refused"


def test_build_reports_pairs_that_an_interrupt_leaves_unfinished(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_checkpoint(*_: Any, **__: Any) -> checkpoint_dir.BuiltCheckpoint:
        raise KeyboardInterrupt

    monkeypatch.setattr("ved.execution.pipeline.build_checkpoint", build_checkpoint)
    collector = ResultCollector()

    with pytest.raises(KeyboardInterrupt):
        build(manifest(pair("owner/unbuilt")), RunOptions(), client(hub), collector=collector)

    (result,) = collector.results
    assert (result.action, result.codes) == ("failed", [ErrorCode.RUN_ENDED_EARLY])
    assert "owner/unbuilt" not in heads(hub)


def test_build_reports_a_commit_whose_check_is_interrupted(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_published(*_: Any, **__: Any) -> None:
        interruption._interrupted.set()
        Event().wait(60)

    monkeypatch.setattr("ved.execution.readback.check_published", check_published)
    collector = ResultCollector()
    try:
        with pytest.raises(KeyboardInterrupt):
            build(manifest(pair("owner/unchecked")), RunOptions(), client(hub), collector=collector)
    finally:
        interruption._interrupted.clear()

    (result,) = collector.results
    assert (result.action, result.commit) == ("built", heads(hub)["owner/unchecked"])
    assert result.checksums
    assert UNCHECKED in result.reason
