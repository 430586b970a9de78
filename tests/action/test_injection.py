"""Text from outside stays text: no command, no output, no markup, no path, no address."""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.demo.runner import Run, prepare_step, read_run
from tests.support.action import (
    VED_PAGES,
    assert_harmless,
    assert_harmless_card,
    links,
    only_commands,
    summary_rows,
)
from tests.support.hostile import Answer, Request, impostor
from tests.support.publishing import TOKEN, build_locally, pair
from tests.support.workflow_commands import commands
from ved.action.inputs import Inputs
from ved.action.log import StepLog
from ved.action.reports import RunOutcome, write_reports
from ved.action.workflow_commands import WorkflowCommands
from ved.errors import ErrorCode, RequestError, VedError
from ved.families.family import Role
from ved.hub.access import HubAccess
from ved.hub.repo_info import RepoInfo
from ved.localhub import LocalHub
from ved.manifest.loading import ManifestError, loads
from ved.manifest.pair_models import Pair
from ved.manifest.problems import Problem
from ved.planning import plan
from ved.planning.findings import Finding
from ved.planning.options import RunOptions
from ved.record import BuildRecord, RecordedSnapshot, build_record, card
from ved.results.merging import merge_results
from ved.results.result import Result, planned_result
from ved.sources import Pinned, Snapshot, SourceMetadata
from ved.text import clean

ENDPOINT = "https://hub.example"

UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FEW = settings(max_examples=40, suppress_health_check=UNCHECKED)


# Each of these has a meaning to the runner, to Markdown, to a shell or to a file system.
TRICKS = [
    *("\n", "\r", "\r\n", "\x85", "\u2028", "\x0b", "%0A", "%0D%0A", "%25", "\x00", "\x1b[2K"),
    *("::error::", "::add-mask::x", "::stop-commands::x", "::set-output name=built::9"),
    *("##[error]", "##[group]", "\nbuilt<<EOF\n9\nEOF\n", "ved-", "EOF", "=", "GITHUB_ENV"),
    *("|", "`", "```", "```mermaid\ngraph TD\n```", "~~~", "# ", "- ", "---", "\\"),
    *("[a](https://x.example)", "![a](https://x.example/a.png)", "[a]: https://x.example"),
    *("https://x.example", "www.x.example", "javascript:", "@someone", "#1", "&lt;"),
    *("<img src=x onerror=y>", "<script>", "<!--", "</details>"),
    *("../", "../../../../tmp/x", "/etc/passwd", "~", "$(x)", "{{ 7 * 7 }}", "{% raw %}", "%s"),
    *("\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\U0010ffff", "x" * 3000, " ", "é"),
]
HOSTILE = st.lists(st.sampled_from(TRICKS) | st.characters(codec=None), max_size=8).map("".join)


def report(outcome: RunOutcome, folder: Path) -> Run:
    """Write the reports of a run, and return them as the runner reads them."""
    printed = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in prepare_step({}, folder, folder).items():
            patch.setenv(name, value)
        status = write_reports(Inputs.read({}), outcome, WorkflowCommands(StepLog(printed)))
    return read_run(status, printed.getvalue().decode(), folder)


def visible(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


# Reports


@FEW
@given(texts=st.tuples(HOSTILE, HOSTILE, HOSTILE))
def test_reports_show_reasons_and_findings_as_text(
    texts: tuple[str, str, str], tmp_path: Path
) -> None:
    reason, warning, error = texts
    (described,) = loads(json.dumps({"pairs": [pair("owner/x")]}).encode()).pairs
    findings = (
        Finding("warning", "encoder", warning, ErrorCode.IMAGE_SIZE),
        Finding("error", "decoder", error, ErrorCode.TOKEN_IDS),
    )
    outcome = RunOutcome(planned=[Result(described, "failed", reason, findings)])
    outcome.fail(2, VedError(reason, code=ErrorCode.WRONG_INPUT))

    run = report(outcome, tmp_path)

    assert run.status == 2
    assert [each.message for each in only_commands(run, "warning", "error")] == [
        f"{clean(warning)} See {ErrorCode.IMAGE_SIZE.url}",
        f"{clean(error)} See {ErrorCode.TOKEN_IDS.url}",
    ]
    assert run.outputs["failed"] == "1"
    assert_harmless(run.summary, VED_PAGES)
    (row,) = summary_rows(run)
    shown, _, _ = row[2].rpartition(" See ")
    assert shown.strip() == clean(reason).strip()


# Manifests


KEYS = st.fixed_dictionaries(
    {},
    optional={
        "repo": HOSTILE,
        "encoder": HOSTILE | st.fixed_dictionaries({"model": HOSTILE, "revision": HOSTILE}),
        "license": HOSTILE,
        "language": HOSTILE,
        "tags": st.lists(HOSTILE, max_size=2),
        "description": HOSTILE,
        "seed": HOSTILE,
        "weights": HOSTILE,
    },
)


@FEW
@given(keys=KEYS, strange=HOSTILE)
def test_manifest_is_refused_or_shown_as_text(keys: dict[str, Any], strange: str) -> None:
    entry = {**pair("owner/x"), **keys} | ({strange: strange} if strange else {})
    problems = problems_of(entry)
    buffer = io.BytesIO()
    printer = WorkflowCommands(StepLog(buffer))
    for problem in problems:
        printer.annotate(problem.text, problem)
    found = commands(buffer.getvalue().decode())
    assert [command.name for command in found] == ["error"] * len(problems)
    assert [command.properties["file"] for command in found] == ["pairs.yaml"] * len(problems)
    assert all(problem.message.isprintable() for problem in problems)


@FEW
@given(tag=HOSTILE, license=HOSTILE)
def test_card_metadata_is_what_the_manifest_says(tag: str, license: str) -> None:
    for keys in ({"tags": [tag]}, {"license": license}):
        entry = {**pair("owner/x"), **keys}
        if not problems_of(entry):
            (described,) = loads(json.dumps({"pairs": [entry]}).encode()).pairs
            assert_is_the_pairs(card.card_metadata(described, [], "f", "w"), described)


# Metadata of sources

METADATA = st.fixed_dictionaries(
    {},
    optional={
        "license": HOSTILE | st.lists(HOSTILE, max_size=1),
        "language": HOSTILE | st.lists(HOSTILE, max_size=3),
        "tags": st.lists(HOSTILE, max_size=3),
    },
)


def source(name: str, gated: str, metadata: dict[str, Any]) -> Snapshot:
    """Return a source as it is pinned if the Hub answers with this metadata."""
    info = RepoInfo(name, gated=gated, card=metadata)
    return Snapshot(name, "0" * 40, {}, None, SourceMetadata.of(info))


@FEW
@given(gated=HOSTILE, metadata=METADATA)
def test_card_metadata_copies_only_plain_text_of_sources(
    gated: str, metadata: dict[str, Any]
) -> None:
    sources = [source(name, gated, metadata) for name in ("team/vit", "team/gpt2")]
    (described,) = loads(json.dumps({"pairs": [pair("owner/x", license="mit")]}).encode()).pairs
    assert len(card.card_digest(described, sources, ENDPOINT)) == 64
    found = yaml.safe_load(card.card_metadata(described, sources, "f", "w"))
    assert (found["license"], found["base_model"]) == ("mit", ["team/vit", "team/gpt2"])
    carried = [*found.get("language", []), *found["tags"]]
    assert [text for text in carried if not re.fullmatch("[A-Za-z0-9 ._+-]+", text)] == []


def problems_of(entry: dict[str, Any]) -> Sequence[Problem]:
    try:
        loads(json.dumps({"pairs": [entry]}).encode())
    except ManifestError as error:
        return error.problems
    return ()


def assert_is_the_pairs(metadata: str, described: Pair) -> None:
    """Check that a card's metadata is one YAML document with the pair's own keys only."""
    assert "\n---" not in f"\n{metadata}"
    found = yaml.safe_load(metadata)
    assert found.keys() <= {
        *("library_name", "pipeline_tag", "base_model", "license", "language", "tags", "ved")
    }
    assert found["tags"] == list(dict.fromkeys((*card.TAGS, *described.tags)))
    assert found.get("license") == described.license


# The record of a published repo, a source of its new card


@pytest.fixture(scope="module")
def recorded(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "built"
    return build_locally(module_hub, pair("owner/recorded"), folder) / build_record.FILE_NAME


def texts_in(content: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of the texts in JSON, of the first 12 items in each object."""
    items: Any = ()
    if isinstance(content, dict):
        items = [*content.items()][:12]
    elif isinstance(content, list):
        items = enumerate(content)
    elif isinstance(content, str):
        yield path
    for key, value in items:
        yield from texts_in(value, (*path, key))


def changed(content: Any, path: tuple[Any, ...], text: str, *, key: bool) -> Any:
    """Return JSON with the text at a path, or its key, replaced by another text."""
    if not path:
        return text
    first, *rest = path
    copy = content.copy()
    inner = changed(copy[first], tuple(rest), text, key=key)
    if key and not rest and isinstance(copy, dict):
        copy[text] = copy.pop(first)
    else:
        copy[first] = inner
    return copy


@settings(FEW, max_examples=80)
@given(data=st.data(), gated=HOSTILE, metadata=METADATA)
def test_record_is_refused_or_text_in_the_new_card(
    data: st.DataObject, gated: str, metadata: dict[str, Any], recorded: Path, tmp_path: Path
) -> None:
    content = json.loads(recorded.read_bytes())
    encoder, decoder = source("team/vit", "", {}), source("team/gpt2", gated, metadata)
    pinned: dict[Role, Pinned] = {
        "encoder": Pinned(encoder, encoder),
        "decoder": Pinned(decoder, decoder),
    }
    path = data.draw(st.sampled_from([*texts_in(content)]))
    content = changed(content, path, data.draw(HOSTILE), key=data.draw(st.booleans()))
    (described,) = loads(json.dumps({"pairs": [pair("owner/recorded")]}).encode()).pairs
    try:
        published = build_record.parse_record(json.dumps(content).encode(), "owner/recorded@0")
        card.renew_card(published, described, pinned, ENDPOINT, tmp_path)
    except VedError:
        return
    written = (tmp_path / card.FILE_NAME).read_bytes().decode()
    head, _, text = written.removeprefix("---\n").partition("\n---\n")
    assert_is_the_pairs(head, described)
    names = [source.name for source in published.sources.values() if source.commit]
    assert yaml.safe_load(head).get("base_model", []) == names
    repos = [f"{ENDPOINT}/{source.name}" for source in snapshots(published) if source.commit]
    trees = [f"{ENDPOINT}/{source.name}/tree/{source.commit}" for source in snapshots(published)]
    assert {each for each in links(text) if each.startswith(ENDPOINT)} <= {*repos, *trees}
    assert_harmless_card(text, *repos)


def snapshots(published: BuildRecord) -> list[RecordedSnapshot]:
    return [each for source in published.sources.values() for each in (source, source.config)]


# Results of other jobs

ROW: dict[str, Any] = {
    **{"repo": "owner/x", "encoder": "a/b", "decoder": "c/d", "action": "built", "reason": ""},
    **{"warnings": [], "commit": "0" * 40, "url": None, "fingerprint": "", "bytes": 1},
    "seconds": 1.5,
}


@FEW
@given(
    key=st.sampled_from(sorted(ROW)),
    value=HOSTILE | st.lists(HOSTILE, max_size=2) | st.integers() | st.floats(),
    as_ascii=st.booleans(),
)
def test_results_of_other_jobs_are_refused_or_shown_as_text(
    key: str, value: object, as_ascii: bool, tmp_path: Path
) -> None:
    content = json.dumps([{**ROW, key: value}], ensure_ascii=as_ascii)
    results = tmp_path / "results"
    results.mkdir(exist_ok=True)
    (results / "row.json").write_text(content, errors="surrogatepass")
    outcome = RunOutcome()
    try:
        outcome.reported = merge_results(results)
    except RequestError as error:
        outcome.fail(2, error)
    run = report(outcome, tmp_path)
    only_commands(run)
    assert len(outcome.reported) + len(outcome.problems) == 1
    assert_harmless(run.summary, "https://huggingface.co/owner/x/commit/0", VED_PAGES)


# Answers of a Hub


ANSWERS = st.sampled_from(["sha", "cardData", "siblings", "lastModified", "private", "id", "error"])


@settings(FEW, max_examples=25)
@given(kind=ANSWERS, text=HOSTILE, place=st.sampled_from(["team/vit", "models?", "owner/x"]))
def test_answers_about_repos_are_shown_as_text(
    kind: str, text: str, place: str, hub: LocalHub, tmp_path: Path
) -> None:
    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        answer = forwarded()
        if f"/api/{place}" not in request.path and f"/api/models/{place}" not in request.path:
            return answer
        if kind == "error":
            header = {"X-Error-Message": visible(text)} if text.isascii() else {}
            return Answer.of_json({"error": text}, 403, **header)
        value: Any = text
        if kind == "cardData":
            value = {"license": text, "ved": {"fingerprint": text, "card_digest": text}, text: text}
        if kind == "siblings":
            value = [{"rfilename": text, "size": 1}, {"rfilename": "config.json", "size": 1}]
        content = answer.json()
        if isinstance(content, dict):
            return answer.with_json({**content, kind: value})
        return answer.with_json([{"id": "owner/x", "tags": [], kind: value}])

    (described,) = loads(json.dumps({"pairs": [pair("owner/x")]}).encode()).pairs
    with impostor(hub.endpoint, change) as server:
        api = HfApi(server.endpoint, token=TOKEN)
        planned = plan.make_plan([described], RunOptions(), HubAccess(api))
    outcome = RunOutcome(planned=[planned_result(each, api.endpoint) for each in planned])
    run = report(outcome, tmp_path)
    only_commands(run, "warning", "error")
    assert_harmless(run.summary, f"{server.endpoint}/owner/x/commit/", VED_PAGES)
