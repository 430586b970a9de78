"""Text of any length and of any characters: what people and programs get of it."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.action.test_injection import report
from tests.support.action import (
    Action,
    actions_of,
    annotations,
    code_of,
    rows_of,
    summary_rows,
)
from tests.support.hostile import Answer, Request, impostor, serving
from tests.support.publishing import TOKEN, build_locally, pair, publish, tables
from tests.support.workflow_commands import lines
from ved import cli, logs
from ved.action.reports import RunOutcome
from ved.errors import ErrorCode, VedError
from ved.limits import NAME_LENGTH
from ved.localhub import LocalHub
from ved.manifest.loading import loads
from ved.manifest.pair_models import Pair
from ved.planning.findings import Finding
from ved.record import card
from ved.redaction import KNOWN
from ved.results import Result, Row, fit_rows, to_json
from ved.text import MAX_MESSAGE, clean, shorten

LONG = "long " * 1_000_000
CONTROLS = {
    "title": "\x1b]0;evil\x07",
    "screen": "\x1b[2J\x1b[1;1H",
    "C1": "\x9b31m\x85",
    "null": "\x00\x08\x7f",
    "override": "\u202etxt.exe\u202c",
    "isolate": "\u2066a\u2067b\u2068c\u2069",
    "zero width": "\u200b\u200d\u2060\ufeff",
    "separators": "\u2028\u2029\x0b\x0c",
    "surrogates": "\ud800\udc00x\udfff",
    "tags": "\U000e0041\U000e007f",
}
EVERY = "".join(CONTROLS.values())
ENCODABLE = EVERY.replace(CONTROLS["surrogates"], "")


def assert_visible(*texts: str) -> None:
    """Check that texts have no character but printable ones and newlines."""
    wrong = {char for text in texts for char in text if not char.isprintable()}
    assert wrong <= {"\n"}


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test, with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


# Values


@pytest.mark.parametrize(
    "text", [*CONTROLS.values(), EVERY * 9000, LONG, "é" * 5000, "\ud800"], ids=range(14)
)
def test_clean_text_is_short_and_visible(text: str) -> None:
    cleaned = clean(text)
    assert_visible(cleaned)
    assert len(cleaned) <= MAX_MESSAGE
    assert clean(cleaned) == cleaned
    if len(text) > MAX_MESSAGE:
        assert cleaned.endswith(f"… ({len(text):,} characters)")


@pytest.mark.parametrize("limit", [0, 1, 30, 5_000_000])
def test_shortened_text_notes_its_length(limit: int) -> None:
    shortened = shorten(LONG, limit)
    assert shortened.endswith("(5,000,000 characters)") != (limit == 5_000_000)
    assert shorten("short", 30) == "short"


def test_secret_at_the_end_of_a_short_text_is_not_cut() -> None:
    KNOWN.add("hf_the_secret")
    for start in range(MAX_MESSAGE - 60, MAX_MESSAGE + 1):
        assert "hf_" not in clean("x" * start + "hf_the_secret" + "y" * 50)


def pair_of(**keys: Any) -> Pair:
    (described,) = loads(json.dumps({"pairs": [pair("owner/x", **keys)]}).encode()).pairs
    return described


@pytest.mark.parametrize("text", [EVERY, LONG], ids=["every", "long"])
def test_messages_are_short_and_visible(text: str) -> None:
    error = VedError(text, text, code=ErrorCode.WRONG_INPUT)
    finding = Finding("error", "encoder", text, ErrorCode.WRONG_INPUT)
    result = Result(pair_of(), "failed", text, (finding,) * 3)
    row = Row.of(result)
    texts = [str(error), error.text, finding.text, row.reason, *row.warnings, to_json([row])]
    assert_visible(*texts)
    assert max(map(len, texts)) < 30_000


@pytest.mark.parametrize("text", [EVERY, LONG], ids=["every", "long"])
def test_log_records_are_short_and_visible(text: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.LogFormatter())
    try:
        raise ValueError(f"{text}\n" * 5)
    except ValueError as error:
        information = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", 20, "x", 1, "%s", (text,), information)
    handler.emit(record)
    assert_visible(stream.getvalue())
    assert len(stream.getvalue()) < 50_000
    assert "Traceback" in stream.getvalue()


# The reports of a run


def results_of(count: int, reason: str, warnings: int) -> list[Result]:
    """Return failed results, and a good one at the end."""
    manifest = {"pairs": [pair(f"owner/x{number}") for number in range(count)]}
    pairs = loads(json.dumps(manifest).encode()).pairs
    findings = (Finding("warning", "encoder", reason, ErrorCode.IMAGE_SIZE),) * warnings
    failed = [Result(each, "failed", reason, findings) for each in pairs[:-1]]
    return [*failed, Result(pairs[-1], "skipped", "Up to date.")]


@pytest.mark.parametrize(
    ("count", "reason", "warnings"),
    [
        (3, LONG, 1),
        (300, "<|>`*" * 10_000, 3),
        pytest.param(100, EVERY * 50, 100, marks=pytest.mark.slow),
        (800, "\U0001f600" * 9999, 1),
    ],
)
def test_summary_has_every_pair(count: int, reason: str, warnings: int, tmp_path: Path) -> None:
    outcome = RunOutcome(planned=results_of(count, reason, warnings))
    outcome.fail(1, VedError(reason, code=ErrorCode.WRONG_INPUT))
    run = report(outcome, tmp_path)
    assert len(run.summary.encode()) < 1_000_000
    assert len(run.outputs["results"].encode()) < 1_000_000
    table = summary_rows(run)
    assert [row[0] for row in table] == [f"owner/x{number}" for number in range(count)]
    assert table[-1][2] == "Up to date."
    assert all(len(row[2]) >= 40 for row in table[:-1])
    assert [row["repo"] for row in rows_of(run)] == [row[0] for row in table]
    assert max(len(each.message) for each in annotations(run)) < MAX_MESSAGE + 200
    assert_visible(run.summary, *run.outputs.values(), *lines(run.log))


def test_rows_that_fit_stay_as_they_are() -> None:
    rows = [Row.of(each) for each in results_of(3, "a reason", 2)]
    assert fit_rows(rows, 10_000) == rows
    assert fit_rows(rows, 10) == []  # no row fits


def hostile_row(**keys: Any) -> dict[str, Any]:
    return {
        **{"repo": "owner/x", "encoder": "a/b", "decoder": "c/d", "action": "failed", "reason": ""},
        **{"warnings": [], "commit": None, "url": None, "fingerprint": "", "bytes": 0},
        "seconds": 0,
        **keys,
    }


@pytest.mark.parametrize("key", ["encoder", "decoder", "reason", "url", "fingerprint", "warnings"])
@pytest.mark.parametrize("text", [ENCODABLE, LONG], ids=["every", "long"])
def test_results_of_another_job_are_short_and_visible(
    key: str, text: str, action: Action, tmp_path: Path
) -> None:
    (action.workspace / "found").mkdir(parents=True)
    value = [text[:20_000]] * 200 if key == "warnings" else text
    row = hostile_row(**{key: value})
    good = hostile_row(repo="owner/good", action="skipped", reason="Up to date.")
    (action.workspace / "found" / "1.json").write_text(json.dumps([row, good]))
    run = action.run(None, mode="report", results="found", results_file="results.json")
    assert [each["repo"] for each in rows_of(run)] == ["owner/x", "owner/good"]
    assert [cells[0] for cells in summary_rows(run)] == ["owner/x", "owner/good"]
    assert len(run.outputs["results"]) < 300_000
    assert len(run.summary) < 600_000
    content = (action.workspace / "results.json").read_text()
    assert_visible(run.summary, content, *run.outputs.values(), *lines(run.log))


# Sources and servers


@pytest.mark.parametrize("text", [EVERY, LONG], ids=["every", "long"])
@pytest.mark.parametrize("place", ["error", "X-Error-Message", "config", "file names"])
def test_text_of_a_hub_is_short_and_visible(
    place: str, text: str, action: Action, hub: LocalHub
) -> None:
    header = shorten(text, 10_000).encode("ascii", "replace").decode().replace("\n", " ")
    header = "".join(char if char.isprintable() else "\x1b" for char in header)

    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        path = request.path.partition("?")[0]
        answer = forwarded()
        if place == "config" and path.endswith("config.json") and "team/gpt2" in path:
            body = json.dumps({"model_type": text[:60_000]}).encode()
            return Answer(200, answer.headers, body if request.method == "GET" else b"")
        if not path.startswith("/api/models/team/gpt2"):
            return answer
        if place == "file names":
            if "/tree/" in path:
                return answer.with_json([])
            names = [{"rfilename": text[:60_000] + str(number)} for number in range(3)]
            return answer.with_json({**answer.json(), "siblings": names})
        if place == "error":
            return Answer.of_json({"error": text}, 403)
        return Answer.of_json({}, 403, **{"X-Error-Message": header})

    entries = [pair("owner/bad"), pair("owner/good", decoder="team/bart")]
    with impostor(hub.endpoint, change) as server:
        run = action.run(entries, endpoint=server.endpoint, mode="plan")
    assert actions_of(run) == ["refuse", "build"]
    assert len(run.log) < 50_000
    assert len(run.summary) < 50_000
    assert_visible(run.summary, *run.outputs.values(), *lines(run.log))


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "é|`" * 10_000, "y" * 900, ENCODABLE],
    ids=["long", "markup", "allowed", "every"],
)
def test_name_of_a_tensor_is_short_and_visible(
    text: str, action: Action, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    rename = {"layer.1.output": f"layer.1.output{text}"}
    publish(hub, "team/vit-of-long-names", checkpoints.vit(tmp_path / "vit", rename=rename))
    entries = [pair("owner/bad", encoder="team/vit-of-long-names"), pair("owner/good")]
    run = action.run(entries, mode="plan")
    assert actions_of(run) == ["refuse", "build"]
    (error,) = annotations(run)
    assert code_of(error) in (ErrorCode.WEIGHTS_DO_NOT_FIT, ErrorCode.SOURCE_TOO_LARGE)
    assert max(map(len, [run.log, run.summary, *run.outputs.values()])) < 100_000
    assert_visible(run.summary, *run.outputs.values(), *lines(run.log))


def test_card_is_short_whatever_the_names_of_a_source(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    name = "x" * NAME_LENGTH
    encoder = checkpoints.vit(tmp_path / "vit", rename={"pooler.dense.weight": name})
    built = build_locally(hub, pair("owner/x", encoder=str(encoder)), tmp_path / "built")
    text = (built / card.FILE_NAME).read_text()
    assert "x" * 100 in text
    assert "x" * 300 not in text
    assert tables(text)


def test_card_that_is_too_long_is_refused(action: Action, hub: LocalHub) -> None:
    run = action.run([pair("owner/x", description="word " * 50_000)])
    assert [row["codes"] for row in rows_of(run)] == [[ErrorCode.MODEL_CARD_REFUSED]]


# The command line


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = cli.main(arguments)
    captured = capsys.readouterr()
    return status, captured.out + captured.err


@pytest.fixture(scope="module")
def built(module_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "built"
    return build_locally(module_hub, pair("owner/text"), folder)


@pytest.mark.parametrize("case", [*CONTROLS])
def test_terminal_gets_no_control_characters_of_a_record(
    case: str, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], hub: LocalHub
) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    record = json.loads((built / "ved.json").read_text())
    for path in built.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "ved.json").unlink()
    record["files"][f"a{CONTROLS[case]}b"] = record["files"]["config.json"]
    record["versions"]["jax"] = CONTROLS[case]
    (folder / "ved.json").write_text(json.dumps(record))
    status, printed = run_cli(capsys, "verify", str(folder), "--endpoint", hub.endpoint)
    assert status == 1
    assert printed
    assert_visible(printed)


@pytest.mark.parametrize("case", [*CONTROLS])
def test_terminal_gets_no_control_characters_of_a_manifest(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONTROLS[case]
    entry = {"repo": text, "encoder": text, "decoder": {"model": text}, text: text}
    (tmp_path / "pairs.yaml").write_text(json.dumps({"pairs": [entry]}))
    status, printed = run_cli(capsys, "validate", str(tmp_path / "pairs.yaml"))
    assert status == 2
    assert_visible(printed)


def test_terminal_gets_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")

    def repeat(request: Request) -> Answer:
        return Answer.of_json({"error": request.headers["Authorization"]}, 403)

    (tmp_path / "pairs.yaml").write_text(json.dumps({"pairs": [pair("owner/x")]}))
    with serving(repeat) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        status, printed = run_cli(
            capsys, "plan", str(tmp_path / "pairs.yaml"), "--endpoint", server.endpoint
        )
    assert status == 1
    assert "***" in printed
    assert "hf_of_the_user" not in printed


def test_clean_stream_keeps_no_control_characters() -> None:
    stream = io.StringIO()
    logs.CleanStream(stream).write("\r50%\x1b[A\tx\n\x1b[2J")
    assert stream.getvalue() == " 50%\\x1b[A\tx\n\\x1b[2J"
