"""Text from outside is only text: no command, no output, no markup, no path, no address."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi, ModelInfo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.demo.runner import Run, _parse_outputs, run_action
from tests import checkpoints
from tests.support.hostile import Answer, Request, Watch, impostor
from tests.support.publishing import TOKEN, build_locally, client, markdown, pair, publish, tables
from tests.support.workflow_commands import Command, commands
from ved.action import main, workflow_commands
from ved.action.inputs import Inputs
from ved.errors import ErrorCode, RequestError, VedError
from ved.families.family import Role
from ved.hub.access import HubAccess
from ved.localhub import LocalHub
from ved.manifest.loading import ManifestError, loads
from ved.manifest.models import Pair
from ved.manifest.problems import Problem
from ved.planning import plan
from ved.planning.findings import Finding
from ved.planning.options import RunOptions
from ved.record import build_record, card
from ved.record.build_record import BuildRecord, RecordedSnapshot
from ved.results.result import Result, planned_result
from ved.results.rows import Row, collect
from ved.sources.metadata import SourceMetadata
from ved.sources.snapshot import Snapshot
from ved.sources.source import Pinned

ENDPOINT = "https://hub.example"
OUTPUTS = {"results", "matrix", "pending", "built", "failed"}

UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FEW = settings(max_examples=40, suppress_health_check=UNCHECKED)

CARD_LINKS = ("ved.json", "https://github.com/ved-action/ved")
CARD_FENCES = ("python", "bash")

# Each of these means something to somebody.
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


# What may come of it


def told(outcome: main.RunOutcome, problems: list[VedError], folder: Path) -> tuple[Run, int]:
    """Have the action tell what came of a run, and return that as the runner has it."""
    names = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
    printed = StringIO(newline="")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        for name in names:
            (folder / name).write_text("")
            patch.setenv(name, str(folder / name))
        status = main.write_reports(Inputs.read({}), outcome, problems, main.WRONG_REQUEST)
    output, summary = ((folder / name).read_bytes().decode() for name in names)
    return Run(status, printed.getvalue(), _parse_outputs(output), summary), status


def addresses(text: str) -> list[str]:
    """Return what a Markdown text links to, or shows."""
    found = [token.attrGet(key) for token in markdown(text) for key in ("href", "src")]
    return [str(address) for address in found if address is not None]


def assert_harmless(text: str, *allowed: str, fences: tuple[str, ...] = ()) -> None:
    """Check that Markdown has no HTML, and neither images nor links but to what is allowed."""
    tokens = markdown(text)
    assert not {token.type for token in tokens} & {"html_inline", "html_block", "image"}
    assert [address for address in addresses(text) if not address.startswith(allowed)] == []
    assert {token.info for token in tokens if token.type == "fence"} <= {*fences}


def told_only(run: Run, *names: str) -> list[Command]:
    """Return the commands of a run, having checked that they are of these names only."""
    found = commands(run.log)
    assert {command.name for command in found} <= {*names}
    assert run.outputs.keys() == OUTPUTS
    return found


def visible(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


# The action's own words


@FEW
@given(texts=st.tuples(HOSTILE, HOSTILE, HOSTILE))
def test_reasons_and_findings_are_only_text(texts: tuple[str, str, str], tmp_path: Path) -> None:
    reason, warning, error = texts
    (described,) = loads(json.dumps({"pairs": [pair("owner/x")]}).encode()).pairs
    findings = (
        Finding("warning", "encoder", warning, ErrorCode.IMAGE_SIZE),
        Finding("error", "decoder", error, ErrorCode.TOKEN_IDS),
    )
    result = Result(described, "failed", reason, findings)
    outcome = main.RunOutcome([Row.of(result)], [result])

    run, status = told(outcome, [VedError(reason, code=ErrorCode.WRONG_INPUT)], tmp_path)

    assert status == main.WRONG_REQUEST
    first, second = told_only(run, "warning", "error")
    assert (first.message, second.message) == (warning, error)
    assert run.outputs["failed"] == "1"
    assert_harmless(run.summary, ved_pages())
    (row,) = next(iter(tables(run.summary).values()))
    assert row[2].strip() == visible(reason).strip()


def ved_pages() -> str:
    """Return where VED explains its errors, which summaries link to."""
    return "https://github.com/ved-action/ved/"


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
def test_a_manifest_is_refused_or_only_text(keys: dict[str, Any], strange: str) -> None:
    entry = {**pair("owner/x"), **keys} | ({strange: strange} if strange else {})
    problems = problems_of(entry)
    log = printed(lambda: annotate(problems))
    found = commands(log)
    assert [command.name for command in found] == ["error"] * len(problems)
    assert [command.properties["file"] for command in found] == ["pairs.yaml"] * len(problems)
    assert all(problem.message.isprintable() for problem in problems)


@FEW
@given(tag=HOSTILE, license=HOSTILE)
def test_a_cards_metadata_says_what_the_manifest_says(tag: str, license: str) -> None:
    for keys in ({"tags": [tag]}, {"license": license}):
        entry = {**pair("owner/x"), **keys}
        if not problems_of(entry):
            (described,) = loads(json.dumps({"pairs": [entry]}).encode()).pairs
            assert_is_the_pairs(card.card_metadata(described, [], "f", "w"), described)


# What the authors of a source state of it

SAID = st.fixed_dictionaries(
    {},
    optional={
        "license": HOSTILE | st.lists(HOSTILE, max_size=1),
        "language": HOSTILE | st.lists(HOSTILE, max_size=3),
        "tags": st.lists(HOSTILE, max_size=3),
    },
)


def source(name: str, gated: str, said: dict[str, Any]) -> Snapshot:
    """Return a source as it is pinned where the Hub answers so."""
    info = ModelInfo(id=name, gated=gated, cardData=said)  # type: ignore[no-untyped-call]
    return Snapshot(name, "0" * 40, {}, None, SourceMetadata.of(info))


@FEW
@given(gated=HOSTILE, said=SAID)
def test_what_both_sources_state_is_read_or_left_out(gated: str, said: dict[str, Any]) -> None:
    sources = [source(name, gated, said) for name in ("team/vit", "team/gpt2")]
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


def annotate(problems: Sequence[Problem]) -> None:
    for problem in problems:
        workflow_commands.annotate(problem.message, problem)


def printed(print_it: Callable[[], object]) -> str:
    with redirect_stdout(StringIO(newline="")) as output:
        print_it()
    return output.getvalue()


def assert_is_the_pairs(metadata: str, described: Pair) -> None:
    """Check that a card's metadata is one YAML document that says no more than it should."""
    assert "\n---" not in f"\n{metadata}"
    found = yaml.safe_load(metadata)
    assert found.keys() <= {
        *("library_name", "pipeline_tag", "base_model", "license", "language", "tags", "ved")
    }
    assert found["tags"] == list(dict.fromkeys((*card.TAGS, *described.tags)))
    assert found.get("license") == described.license


# Records of a target, which go into its new card


@pytest.fixture(scope="module")
def recorded(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "built"
    return build_locally(module_hub, pair("owner/recorded"), folder) / build_record.FILE_NAME


def texts_in(content: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of every text in JSON; of many files or parameters, a few."""
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
    """Return JSON with a text, or the key that it is at, replaced by another."""
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
@given(data=st.data(), gated=HOSTILE, said=SAID)
def test_a_targets_record_is_refused_or_only_text_in_its_new_card(
    data: st.DataObject, gated: str, said: dict[str, Any], recorded: Path, tmp_path: Path
) -> None:
    content = json.loads(recorded.read_bytes())
    encoder, decoder = source("team/vit", "", {}), source("team/gpt2", gated, said)
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
    trees = [f"{ENDPOINT}/{source.name}/tree/{source.commit}" for source in snapshots(published)]
    assert_harmless(text, *trees, *CARD_LINKS, fences=CARD_FENCES)


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
def test_results_of_other_jobs_are_refused_or_only_text(
    key: str, value: object, as_ascii: bool, tmp_path: Path
) -> None:
    content = json.dumps([{**ROW, key: value}], ensure_ascii=as_ascii)
    (tmp_path / "row.json").write_text(content, errors="surrogatepass")
    problems: list[VedError] = []
    rows: list[Row] = []
    try:
        rows = collect(tmp_path)
    except RequestError as error:
        problems.append(error)
    run, _ = told(main.RunOutcome(rows), problems, tmp_path)
    told_only(run)
    assert len(rows) + len(problems) == 1
    assert_harmless(run.summary, "https://huggingface.co/owner/x/commit/0", ved_pages())


@pytest.mark.parametrize(
    "endpoint", ["https://a) ![b](https://x.example", "https://a b|\n<img src=x>"]
)
def test_an_endpoint_ends_no_link(endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "1.json").write_text(json.dumps([ROW]))
    inputs = {"mode": "report", "results": "results", "endpoint": endpoint}
    run = run_action(inputs, tmp_path, tmp_path)
    assert (run.status, run.outputs["built"]) == (0, "1")
    told_only(run)
    assert not {"image", "html_inline"} & {token.type for token in markdown(run.summary)}
    assert len([a for a in addresses(run.summary) if not a.startswith(ved_pages())]) == 1


# Sources


def source_of(sources: dict[str, Path], name: str, folder: Path) -> Path:
    return shutil.copytree(sources[name], folder / name)


def edit(path: Path, **changes: object) -> None:
    path.write_text(
        json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes})
    )


@pytest.mark.parametrize("as_mapping", [True, False])
def test_a_chat_templates_name_leads_nowhere(
    as_mapping: bool, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    decoder = source_of(sources, "gpt2", tmp_path / "sources")
    names = [str(tmp_path / "outside"), "../../../outside", "default", "plain"]
    listed = [{"name": name, "template": "{{ 7 * 7 }}"} for name in names]
    given = dict.fromkeys(names, "{{ 7 * 7 }}") if as_mapping else listed
    edit(decoder / "tokenizer_config.json", chat_template=given)

    built = build_locally(hub, pair("owner/x", decoder=str(decoder)), tmp_path / "built")

    assert sorted(tmp_path.rglob("*.jinja")) == []
    assert [path for path in built.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("key", ["vocab_file", "merges_file", "init_inputs"])
def test_no_setting_of_a_tokenizer_has_a_file_of_this_machine_published(
    file: str, key: str, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    decoder = source_of(sources, "bert", tmp_path / "sources")
    (decoder / "tokenizer.json").unlink(missing_ok=True)
    secret = tmp_path / "secret"
    secret.write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\nhunter2\n")
    settings_file = json.loads((decoder / "tokenizer_config.json").read_text())
    settings_file.pop("added_tokens_decoder", None)  # with which the other file is not read
    (decoder / "tokenizer_config.json").write_text(json.dumps(settings_file))
    edit(decoder / file, **{key: [str(secret)] if key == "init_inputs" else str(secret)})

    built = build_locally(hub, pair("owner/x", decoder=str(decoder)), tmp_path / "built")

    assert [path.name for path in built.iterdir() if b"hunter2" in path.read_bytes()] == []


# A whole run

EVIL = (
    "\r\n::error::a\n##[error]b%0A::add-mask::c | <img src=x> [d](https://x.example) "
    "![e](https://x.example) ```mermaid\u202e\x1b[2K`f` {{ 7 * 7 }} ../../x"
)


def hostile_sources(hub: LocalHub, folder: Path) -> None:
    """Publish sources that say hostile things wherever a source can."""
    encoder = checkpoints.vit(folder / "vit", without=("pooler.",))
    decoder = checkpoints.gpt2(folder / "gpt2")
    edit(encoder / "config.json", note=EVIL, id2label={"0": EVIL}, architectures=[EVIL])
    edit(encoder / "preprocessor_config.json", note=EVIL)
    edit(decoder / "config.json", note=EVIL, task_specific_params={EVIL: EVIL})
    edit(decoder / "tokenizer_config.json", note=EVIL, pad_token=EVIL, tokenizer_class=None)
    head = f"license: other\ntags:\n- {json.dumps(EVIL)}"
    for directory in (encoder, decoder):
        (directory / "README.md").write_text(f"---\n{head}\n---\n{EVIL}")
        (directory / "##[error]%0A `x` [d](e).txt").write_text(EVIL)
    publish(hub, "team/vit-hostile", encoder)
    publish(hub, "team/gpt2-hostile", decoder)
    renamed = checkpoints.vit(
        folder / "renamed", rename={"layer.1.output": f"layer.1.output{EVIL}"}
    )
    publish(hub, "team/vit-renamed", renamed)
    family = checkpoints.vit(folder / "family")
    edit(family / "config.json", model_type=EVIL)
    publish(hub, "team/vit-of-no-family", family)


def run_watched(folder: Path, manifest: str, **inputs: str) -> tuple[Run, Watch]:
    for name in ("workspace", "home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "workspace" / "pairs.yaml").write_text(manifest)
    watch = Watch(folder / "watch")
    variables = {**watch.variables, "TMPDIR": str(folder / "tmp")}
    return run_action(inputs, folder / "workspace", folder / "home", variables), watch


def outside(watch: Watch, folder: Path) -> list[str]:
    """Return what was written outside of the run's own folders."""
    own = [folder / name for name in ("workspace", "home", "tmp")]
    return [
        str(path)
        for path in watch.written
        if path != Path("/dev/null") and not any(path.is_relative_to(each) for each in own)
    ]


def test_a_run_of_hostile_sources_is_only_a_run(hub: LocalHub, tmp_path: Path) -> None:
    hostile_sources(hub, tmp_path)
    hub.requests.clear()
    texts = {"description": f"Said: {json.dumps(EVIL)}", "tags": ["::error::of a tag"]}
    entries = [
        pair("owner/hostile-1", encoder="team/vit-hostile", decoder="team/gpt2-hostile", **texts),
        pair("owner/hostile-2", encoder="team/vit-renamed"),
        pair("owner/hostile-3", encoder="team/vit-of-no-family"),
    ]
    inputs = {"token": TOKEN, "endpoint": hub.endpoint}
    run, watch = run_watched(tmp_path, json.dumps({"pairs": entries}), **inputs)

    results = json.loads(run.outputs["results"])
    assert [row["action"] for row in results] == ["built", "refused", "refused"], run.log
    found = told_only(run, "add-mask", "warning", "error")
    assert [command.message for command in found if command.name == "add-mask"] == [TOKEN]
    assert {row["repo"] for row in results} >= {
        command.properties["title"] for command in found if command.name != "add-mask"
    }
    assert_harmless(
        run.summary, f"{hub.endpoint}/owner/hostile-1/commit/", ved_pages(), fences=("mermaid",)
    )
    assert outside(watch, tmp_path) == []
    assert watch.looked_up <= {"127.0.0.1"}
    assert len(watch.connected) <= 2  # the Hub, and where its large files are
    assert hub.endpoint in watch.connected
    path = client(hub).hf_hub_download("owner/hostile-1", "README.md", cache_dir=tmp_path / "card")
    text = Path(path).read_bytes().decode().partition("\n---\n")[2].partition("Said:")[2]
    text = text.partition("\n")[2]
    assert_harmless(text, f"{hub.endpoint}/team/", *CARD_LINKS, fences=CARD_FENCES)


# What a Hub answers


@pytest.mark.parametrize("header", ["etag", "x-linked-etag", "x-repo-commit"])
def test_a_header_names_no_file_outside_the_cache(
    header: str, hub: LocalHub, tmp_path: Path
) -> None:
    def change(request: Request, forwarded: Callable[[], Answer]) -> Answer:
        answer = forwarded()
        if "/resolve/" in request.path:
            answer.headers[header] = f'"{tmp_path}/{request.path.rpartition("/")[2]}-outside"'
        return answer

    with impostor(hub.endpoint, change) as server:
        inputs = {"endpoint": server.endpoint, "mode": "plan"}
        run, watch = run_watched(tmp_path, json.dumps({"pairs": [pair("owner/x")]}), **inputs)
    # Of the two names for a file, one is enough.
    assert run.status == (0 if header == "x-linked-etag" else 1)
    assert outside(watch, tmp_path) == []
    assert sorted(tmp_path.glob("*-outside*")) == []


ANSWERS = st.sampled_from(["sha", "cardData", "siblings", "lastModified", "private", "id", "error"])


@settings(FEW, max_examples=25)
@given(kind=ANSWERS, text=HOSTILE, place=st.sampled_from(["team/vit", "models?", "owner/x"]))
def test_what_a_hub_tells_of_repos_is_only_text(
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
    results = [planned_result(each, api.endpoint) for each in planned]
    run, _ = told(main.RunOutcome([Row.of(each) for each in results], results), [], tmp_path)
    told_only(run, "warning", "error")
    assert_harmless(run.summary, f"{server.endpoint}/owner/x/commit/", ved_pages())
