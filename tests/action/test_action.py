"""The action as a runner sees it: exit status, annotations, outputs, summary; and nothing else."""

import io
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from examples.demo.runner import Run, run_action
from tests import checkpoints
from tests.support.publishing import TOKEN, heads, markdown, pair, publish, tables
from tests.support.workflow_commands import Command, commands
from ved.action import files, workflow_commands
from ved.action.inputs import Inputs
from ved.errors import TROUBLESHOOTING
from ved.localhub import LocalHub
from ved.manifest import Location

ACTION = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())
RESULTS = ("checkpoint", "action", "reason", "sources", "size", "time")

NOTHING = {
    **{"results": "[]", "matrix": '{"include": []}'},
    **{"pending": "0", "built": "0", "failed": "0"},
}


def annotations(run: Run, name: str = "error") -> list[Command]:
    return [command for command in commands(run.log) if command.name == name]


def words(annotation: Command) -> str:
    """Return what an annotation says, without the addresses of more."""
    return annotation.message.partition(f" See {TROUBLESHOOTING}")[0]


Act = Callable[..., Run]


@pytest.fixture
def act(hub: LocalHub, tmp_path: Path) -> Act:
    """Run the action in a workspace with a manifest of its own."""

    def run(text: str | None, token: str = TOKEN, **inputs: str) -> Run:
        workspace, home = tmp_path / "workspace", tmp_path / "home"
        for directory in (workspace, home):
            directory.mkdir(exist_ok=True)
        if text is not None:
            (workspace / "pairs.yaml").write_text(text)
        defaults = {"manifest": "pairs.yaml", "token": token, "endpoint": hub.endpoint}
        return run_action(defaults | inputs, workspace, home)

    return run


def manifest_of(*pairs: Mapping[str, object]) -> str:
    return yaml.safe_dump({"pairs": list(pairs)}, sort_keys=False)


# What comes of a run


def test_of_two_pairs_the_possible_one_is_published(act: Act, hub: LocalHub) -> None:
    run = act("""\
namespace: owner
pairs:
  - repo: action-bad
    encoder: team/vit
    decoder: team/vit
  - repo: action-good
    encoder: team/vit
    decoder: team/bart
""")

    assert run.status == 1
    head = heads(hub)["owner/action-good"]
    assert "owner/action-bad" not in heads(hub)
    assert run.outputs.keys() == ACTION["outputs"].keys()
    assert (run.outputs["built"], run.outputs["failed"]) == ("1", "1")
    assert (run.outputs["pending"], run.outputs["matrix"]) == ("0", '{"include": []}')
    bad, good = json.loads(run.outputs["results"])
    url = f"{hub.endpoint}/owner/action-good/commit/{head}"
    assert good.items() >= {
        *{"repo": "owner/action-good", "action": "built", "commit": head, "url": url}.items(),
        *{"encoder": "team/vit", "decoder": "team/bart"}.items(),
    }
    assert good["bytes"] > 100_000
    assert bad.items() >= {
        *{"repo": "owner/action-bad", "action": "refused"}.items(),
        *{"commit": None, "url": None, "bytes": 0}.items(),
    }
    (error,) = annotations(run)
    assert error.properties == {
        **{"file": "pairs.yaml", "line": "5", "col": "14"},
        "title": "owner/action-bad",
    }
    assert "is a 'vit' checkpoint, which cannot be the decoder" in error.message
    assert words(error) == bad["reason"]
    assert bad["codes"] == ["unsupported-family"]
    assert error.message.endswith(f" See {TROUBLESHOOTING}#unsupported-family")
    rows = tables(run.summary)[RESULTS]
    said = f"{bad['reason']} See family that does not work."
    assert [row[:4] for row in rows] == [
        ["owner/action-bad", "⛔ refused", said, "team/vit + team/vit"],
        ["owner/action-good", "✅ built", good["reason"], "team/vit + team/bart"],
    ]
    assert explanations(run.summary) == (["unsupported-family"], [url])
    assert "**1 built, 1 refused.**" in run.summary


def test_a_pair_that_fails_when_it_is_published_is_annotated_at_its_entry(
    act: Act, hub: LocalHub
) -> None:
    hub.faults.add("POST", "/api/models/owner/action-fails/commit/", status=403)
    run = act(manifest_of(pair("owner/action-fails", decoder="team/bart")))
    assert (run.status, run.outputs["failed"]) == (1, "1")
    (error,) = annotations(run)
    assert error.properties == {
        **{"file": "pairs.yaml", "line": "2", "col": "3"},
        "title": "owner/action-fails",
    }
    assert "Cannot publish owner/action-fails: the token may not do that" in error.message
    (row,) = tables(run.summary)[RESULTS]
    assert row[1] == "❌ failed"
    assert row[2].startswith(words(error))


def test_what_is_published_already_is_skipped(act: Act, hub: LocalHub) -> None:
    text = manifest_of(pair("owner/action-again", decoder="team/bart"))
    assert act(text).outputs["built"] == "1"
    run = act(text)
    assert (run.status, run.outputs["built"], run.outputs["failed"]) == (0, "0", "0")
    (row,) = json.loads(run.outputs["results"])
    assert (row["action"], row["commit"]) == ("skipped", heads(hub)["owner/action-again"])
    assert tables(run.summary)[RESULTS][0][1] == "💤 skipped"
    assert links(run.summary) == [row["url"]]


def test_warnings_are_annotated_at_the_keys_that_they_are_about_and_notices_only_logged(
    act: Act, hub: LocalHub, tmp_path: Path
) -> None:
    publish(hub, "team/vit-unpooled", checkpoints.vit(tmp_path / "vit", without=("pooler.",)))
    run = act("""\
pairs:
  - repo: owner/action-warned
    encoder: team/vit-unpooled
    decoder: team/gpt2
    token_ids: {eos: 1, pad: 1}
""")
    assert run.status == 0
    (warning,) = annotations(run, "warning")
    assert "The encoder has no pooler" in warning.message
    assert warning.properties == {
        **{"file": "pairs.yaml", "line": "3", "col": "14"},
        "title": "owner/action-warned",
    }
    assert "  pairs.yaml:5:16: notice: Pad and eos are both 1" in run.log
    assert annotations(run, "notice") == []
    assert json.loads(run.outputs["results"])[0]["warnings"] == [warning.message]
    assert shown(run.summary)[-1] == f"owner/action-warned: {warning.message}"


def test_the_token_is_masked_first_and_the_log_is_not_heeded(act: Act) -> None:
    run = act(
        manifest_of(
            pair("owner/logged-1", encoder="team/missing"),
            pair("owner/logged-2", decoder="team/bart"),
        )
    )
    mask, stop, *lines = run.log.splitlines()
    assert mask == f"::add-mask::{TOKEN}"
    assert run.log.count(TOKEN) == 1
    token = stop.removeprefix("::stop-commands::")
    end = lines.index(f"::{token}::")
    for told in ("  owner/logged-1", "owner/logged-2: Assembling", "owner/logged-2: Published as"):
        assert any(told in line for line in lines[:end])
    assert [line.partition(" ")[0] for line in lines[end + 1 :]] == ["::error"]


def test_each_refusal_is_annotated_at_its_own_key_and_nothing_is_published(
    act: Act, hub: LocalHub, sources: dict[str, Path]
) -> None:
    hub.add_user("stranger", token="hf_stranger")
    publish(hub, "stranger/hidden", sources["vit"], token="hf_stranger", private=True)
    publish(hub, "owner/of-others", sources["vit"])
    before = heads(hub)
    refused = {
        "{repo: owner/of-others, encoder: team/vit, decoder: team/gpt2}": "was not made by VED",
        "{repo: stranger/x, encoder: team/vit, decoder: team/gpt2}": "may not publish to stranger",
        "{repo: team/vit, encoder: team/vit, decoder: team/gpt2}": "one of its own sources",
        "{encoder: stranger/hidden, decoder: team/gpt2, repo: owner/x}": "there is no such repo",
        "{decoder: team/gpt2@v9, encoder: team/vit, repo: owner/y}": "there is no such revision",
    }

    run = act("pairs:\n" + "".join(f"- {entry}\n" for entry in refused))

    assert run.status == 1
    assert (run.outputs["built"], run.outputs["failed"]) == ("0", "5")
    errors = annotations(run)
    columns = ("10", "10", "10", "13", "13")  # where the value of the entry's first key begins
    assert [(error.properties["line"], error.properties["col"]) for error in errors] == [
        (str(line), column) for line, column in enumerate(columns, 2)
    ]
    for error, reason in zip(errors, refused.values(), strict=True):
        assert reason in error.message
    for error, row in zip(errors, tables(run.summary)[RESULTS], strict=True):
        assert row[1] == "⛔ refused"
        assert row[2].startswith(words(error))
    assert heads(hub) == before


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_wrong", "the token is not valid"),
        ("hf_reading", "The token can only read"),
        ("", "The job may not ask GitHub for an id token, so nothing can be published without"),
    ],
)
def test_a_token_that_cannot_publish_is_a_wrong_request(
    token: str, message: str, act: Act, hub: LocalHub
) -> None:
    hub.add_user("owner", token="hf_reading", role="read")
    before = heads(hub)

    run = act(manifest_of(pair("owner/without-token")), token)

    assert run.status == 2
    (error,) = annotations(run)
    assert message in error.message
    assert run.summary.startswith("## VED\n\nNothing was done.\n")
    assert shown(run.summary)[2] == words(error)
    assert heads(hub) == before
    assert [command.name for command in commands(run.log)] == ["add-mask"] * bool(token) + ["error"]


def links(summary: str) -> list[str]:
    """Return the addresses that a summary links to, or has images of."""
    addresses = [token.attrGet(key) for token in markdown(summary) for key in ("href", "src")]
    return [str(address) for address in addresses if address is not None]


def explanations(summary: str) -> tuple[list[str], list[str]]:
    """Return which headings of the page on failures a summary leads to, and where else."""
    start = f"{TROUBLESHOOTING}#"
    addresses = links(summary)
    explained = [each.removeprefix(start) for each in addresses if each.startswith(start)]
    return explained, [each for each in addresses if not each.startswith(start)]


def shown(summary: str) -> list[str]:
    """Return the texts of a summary's blocks, as they are read."""
    blocks = [token for token in markdown(summary) if token.type == "inline"]
    return ["".join(span.content for span in block.children or ()) for block in blocks]


# A request that is wrong


def test_every_mistake_of_a_manifest_is_annotated_at_its_place(act: Act, hub: LocalHub) -> None:
    run = act("""\
pairs:
  - repo: owner/x
    encoder: team/vit
    decodr: team/gpt2
  - repo: no-owner
    encoder: team/vit
    decoder: ./not-there
""")

    assert run.status == 2
    errors = annotations(run)
    places = [tuple(error.properties.values()) for error in errors]
    assert places == [
        ("pairs.yaml", "4", "5"),
        ("pairs.yaml", "5", "11"),
        ("pairs.yaml", "7", "14"),
    ]
    codes = [error.message.rpartition("#")[2] for error in errors]
    assert codes == ["unknown-key", "repo-without-owner", "no-such-directory"]
    assert "'decoder'" in errors[0].message
    assert "no-owner" in errors[1].message
    assert "./not-there" in errors[2].message
    assert shown(run.summary) == [
        *("VED", "Nothing was done."),
        *(
            f"{':'.join(place)}: {words(error)}"
            for place, error in zip(places, errors, strict=True)
        ),
        "See unknown key and repo without owner and no such directory.",
    ]
    assert run.log.startswith(f"::add-mask::{TOKEN}\n")
    assert hub.requests == []


def test_a_manifest_that_is_not_there_is_annotated(act: Act) -> None:
    run = act(None, manifest="config/pairs.yaml")
    assert run.status == 2
    (error,) = annotations(run)
    assert error.properties == {"file": "config/pairs.yaml", "line": "1", "col": "1"}
    assert "the file cannot be read: No such file or directory" in error.message
    assert "Nothing was done." in run.summary


def test_only_builds_the_pairs_that_it_names(act: Act) -> None:
    entries = [pair(f"owner/only-{name}", encoder="team/missing") for name in "abc"]
    run = act(manifest_of(*entries), only="owner/only-c,\nowner/only-a")
    results = json.loads(run.outputs["results"])
    assert [result["repo"] for result in results] == ["owner/only-a", "owner/only-c"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"mode": "biuld"}, "There is no mode 'biuld'. It is one of build, plan, report."),
        ({"mode": "plan", "shards": "many"}, "'many' is not a number of shards."),
        ({"mode": "plan", "shards": "257"}, "257 shards are not possible."),
        ({"shard": "1/3"}, "The shard cannot be read: "),
        ({"shard": '{"shard": "1/1", "repos": []}'}, "The shard cannot be read: repos: "),
        ({"shard": '{"repos": ["owner/y"]}'}, "has no one pair that is called owner/y."),
        ({"only": "owner/y"}, "has no one pair that is called owner/y."),
        ({"max-disk": "plenty"}, "'plenty' is not a size."),
        ({"mode": "report"}, "Mode report has no results."),
        ({"mode": "report", "results": "nowhere"}, "There are no results in nowhere."),
    ],
)
def test_an_input_that_is_wrong_is_explained(
    inputs: dict[str, str], message: str, act: Act, hub: LocalHub
) -> None:
    before = heads(hub)
    run = act(manifest_of(pair("owner/x")), **inputs)
    assert run.status == 2
    (error,) = annotations(run)
    assert message in error.message
    assert shown(run.summary)[:3] == ["VED", "Nothing was done.", words(error)]
    assert run.outputs == NOTHING
    assert heads(hub) == before


# Plans


def test_a_plan_says_what_would_be_done_and_writes_nothing(act: Act, hub: LocalHub) -> None:
    act(manifest_of(pair("owner/planned-before", decoder="team/bart")))
    before = heads(hub)
    text = manifest_of(
        pair("owner/planned-before", decoder="team/bart"),
        pair("owner/planned-new", decoder="team/bart"),
        pair("owner/planned-bad", decoder="team/vit"),
    )

    run = act(text, mode="plan", shards="2")

    assert run.status == 1
    rows = {row["repo"]: row for row in json.loads(run.outputs["results"])}
    assert [(name, row["action"]) for name, row in rows.items()] == [
        *(("owner/planned-before", "skip"), ("owner/planned-new", "build")),
        ("owner/planned-bad", "refuse"),
    ]
    assert run.outputs.items() >= {"pending": "1", "built": "0", "failed": "1"}.items()
    (element,) = json.loads(run.outputs["matrix"])["include"]
    assert element == {
        **{"shard": "1/1", "repos": ["owner/planned-new"]},
        "bytes": rows["owner/planned-new"]["bytes"],
    }
    assert [row[:2] for row in tables(run.summary)[RESULTS]] == [
        *(["owner/planned-bad", "⛔ refused"], ["owner/planned-new", "🔨 to build"]),
        ["owner/planned-before", "💤 to skip"],
    ]
    assert "**1 to build, 1 to skip, 1 refused.**" in run.summary
    assert [error.properties["line"] for error in annotations(run)] == ["10"]
    assert heads(hub) == before


def test_a_plan_needs_no_token(act: Act, hub: LocalHub) -> None:
    run = act(manifest_of(pair("owner/planned-by-a-fork", decoder="team/bart")), "", mode="plan")
    assert (run.status, run.outputs["pending"]) == (0, "1")
    assert run.log.startswith("::stop-commands::")
    assert {exchange.method for exchange in hub.requests} <= {"GET", "HEAD"}


# The results file

REFUSED = manifest_of(pair("owner/x", encoder="team/missing"))


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
def test_results_are_written_to_a_file_that_everybody_can_read(act: Act, tmp_path: Path) -> None:
    run = act(REFUSED, mode="plan", **{"results-file": "results/of/plan.json"})
    file = tmp_path / "workspace" / "results" / "of" / "plan.json"
    assert json.loads(file.read_text()) == json.loads(run.outputs["results"]) != []
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_results_are_written_whatever_fails(act: Act, tmp_path: Path) -> None:
    file = tmp_path / "workspace" / "results.json"
    run = act(REFUSED, **{"results-file": "results.json"})
    assert run.status == 1
    assert json.loads(file.read_text()) == json.loads(run.outputs["results"]) != []
    run = act("pairs: nonsense", **{"results-file": "results.json"})
    assert run.status == 2
    assert file.read_text() == "[]\n"


@pytest.mark.parametrize(
    "name", ["../results.json", "{tmp_path}/results.json", "link/results.json"]
)
@pytest.mark.parametrize("what", ["results", "checksums"])
def test_a_file_outside_the_workspace_is_refused(
    what: str, name: str, act: Act, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "link").symlink_to(tmp_path)
    name = name.format(tmp_path=tmp_path)
    run = act(REFUSED, mode="plan", **{f"{what}-file": name})
    assert run.status == 2
    *_, error = annotations(run)
    assert words(error) == (
        f"The {what} file {name!r} is outside the workspace. Name one inside of it."
    )
    assert shown(run.summary)[1:3] == ["Nothing was done.", words(error)]
    assert run.log.count("::error") == 1
    assert list(tmp_path.rglob("results.json")) == []


def test_a_results_file_that_cannot_be_written_is_explained(act: Act, tmp_path: Path) -> None:
    run = act(REFUSED, mode="plan", **{"results-file": "pairs.yaml/x.json"})
    assert run.status == 2
    *_, error = annotations(run)
    assert error.message == "The results file cannot be written: File exists (pairs.yaml)."


# Text from outside


def test_what_a_manifest_and_a_source_say_is_never_obeyed(
    act: Act, hub: LocalHub, tmp_path: Path
) -> None:
    good, bad = "./::add-mask::a %0A|`<b>`", "./##[error]::error file=x::![b](c)"
    workspace = tmp_path / "workspace"
    checkpoints.vit(workspace / good, without=("pooler.",))
    (workspace / bad).mkdir()
    names = {"layer.1.output": "layer.1.output\n::error::of a tensor%0A|<b>`"}
    directory = checkpoints.vit(tmp_path / "vit", rename=names)
    publish(hub, "team/vit-of-hostile-names", directory)
    keys = {"description": "\n::error::of a text\n", "tags": ["::error::of a tag", "%0A##[error]x"]}

    run = act(
        manifest_of(
            pair("owner/of-hostile-texts", encoder=good, **keys),
            pair("owner/of-a-hostile-name", encoder=bad),
            pair("owner/of-hostile-tensors", encoder="team/vit-of-hostile-names"),
        )
    )

    built, named, of_tensors = json.loads(run.outputs["results"])
    assert [row["action"] for row in (built, named, of_tensors)] == ["built", "refused", "refused"]
    assert bad in named["reason"]
    assert "::error::of a tensor" in of_tensors["reason"]
    mask, *said = commands(run.log)
    assert (mask.name, mask.message) == ("add-mask", TOKEN)
    assert {command.name for command in said} == {"warning", "error"}
    assert {command.properties["title"] for command in said} == {
        row["repo"] for row in (built, named, of_tensors)
    }
    assert annotations(run, "warning")[0].message == built["warnings"][0]
    errors = {each.properties["title"]: words(each) for each in annotations(run)}
    assert errors.keys() == {named["repo"], of_tensors["repo"]}
    assert errors[named["repo"]] in named["reason"]
    assert errors[of_tensors["repo"]] == of_tensors["reason"]
    assert run.outputs.keys() == ACTION["outputs"].keys()
    rows = tables(run.summary)[RESULTS]
    assert {row[3] for row in rows} == {
        f"{name} + team/gpt2" for name in (good, bad, "team/vit-of-hostile-names")
    }
    _, others = explanations(run.summary)
    assert others == [built["url"]]
    assert "html_inline" not in {token.type for token in markdown(run.summary)}


@contextmanager
def hub_that_says(status: int, content: object) -> Iterator[str]:
    """Answer the same to whatever is asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "hostile",
    [
        "\r\n::add-mask::a\n##[error]b %0A",
        "| <img src=x> [c](https://example.org) ![d](e)",
        "\ud800",  # half a character, which no encoding can write
    ],
)
@pytest.mark.parametrize("token", [TOKEN, ""])
def test_what_a_server_says_is_never_obeyed(hostile: str, token: str, act: Act) -> None:
    # With a token the whole run fails, when it logs in; without one a pair does.
    with hub_that_says(403, {"error": f"no {hostile} yes"}) as endpoint:
        run = act(manifest_of(pair("owner/x")), token, endpoint=endpoint, mode="plan")
    assert run.status == (2 if token else 1)
    told = shown(run.summary)[2] if token else tables(run.summary)[RESULTS][0][2]
    errors = annotations(run)
    assert {command.name for command in commands(run.log)} - {"add-mask"} == {"error"}
    for said in (told, *(error.message for error in errors)):
        assert "the token may not do that (no " in said
        assert " yes)" in said
    assert explanations(run.summary)[1] == []
    assert "html_inline" not in {token.type for token in markdown(run.summary)}


def test_what_nobody_thought_of_is_told_with_every_output_set(
    hub: LocalHub, tmp_path: Path
) -> None:
    # A library that is broken, which is imported once the manifest is seen to be right.
    (tmp_path / "huggingface_hub.py").write_text("1 / 0  # ::error::of a library")
    (tmp_path / "pairs.yaml").write_text(REFUSED)
    inputs = {"mode": "plan", "endpoint": hub.endpoint}
    run = run_action(inputs, tmp_path, tmp_path, {"PYTHONPATH": str(tmp_path)})
    assert run.status == 1
    (error,) = commands(run.log)
    assert error.message.startswith("VED itself failed (")
    assert "Traceback" in run.log
    assert shown(run.summary)[:3] == ["VED", "Nothing was done.", words(error)]
    assert run.outputs == NOTHING


def test_what_the_inputs_say_is_never_obeyed(act: Act) -> None:
    name = "::add-mask::a,b=c%0A|<b>.yaml"
    run = act(None, manifest=name)
    mask, error = commands(run.log)
    assert (mask.message, error.properties["file"]) == (TOKEN, name)
    assert shown(run.summary)[2].startswith(f"{name}:1:1: ")


PIECES = st.sampled_from(
    ["\n", "\r", "\r\n", "::", "%0A", "%", ":", ",", "::error::", "##[error]", " ", "é"]
)
TEXTS = st.lists(PIECES | st.characters(codec="utf-8"), max_size=10).map("".join)


def printed(print_it: Callable[[], object]) -> str:
    with redirect_stdout(io.StringIO(newline="")) as output:
        print_it()
    return output.getvalue()


@given(message=TEXTS, file=TEXTS, title=TEXTS)
def test_an_annotation_is_one_command_whatever_it_says(message: str, file: str, title: str) -> None:
    log = printed(lambda: workflow_commands.annotate(message, Location(file, 3, 1), title))
    (error,) = commands(log)
    properties = {"file": file, "line": "3", "col": "1"} | ({"title": title} if title else {})
    assert (error.name, error.message, error.properties) == ("error", message, properties)


@given(st.lists(TEXTS, max_size=5))
def test_nothing_in_the_log_is_a_command(lines: list[str]) -> None:
    def log() -> None:
        with workflow_commands.StopCommands():
            for line in lines:
                print(line)
        print("::notice::after it")

    assert commands(printed(log)) == [Command("notice", "after it")]


@given(value=TEXTS)
def test_an_output_is_one_output_whatever_it_says(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("runner") / "output"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_OUTPUT", str(file))
        files.set_output("results", value)
        files.set_output("built", "1")
    first, *lines = file.read_bytes().decode().split("\n")
    delimiter = first.removeprefix("results<<")
    end = lines.index(delimiter)
    assert "\n".join(lines[:end]) == value
    assert [line.partition("<<")[0] for line in lines[end + 1 :]][:1] == ["built"]


# Inputs


NO_INPUTS = Inputs(
    manifest=Path("pairs.yaml"),
    token="",
    only=(),
    endpoint="",
    mode="build",
    shards="1",
    shard="",
    max_disk="",
    results="",
    results_file="",
    allowed_namespaces=(),
    checksums_file="",
)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        ({"INPUT_MANIFEST": " a/b.yaml "}, {"manifest": Path("a/b.yaml")}),
        ({"INPUT_TOKEN": "hf_x\n"}, {"token": "hf_x"}),
        ({"INPUT_ONLY": "a/b, c\n d,"}, {"only": ("a/b", "c", "d")}),
        ({"INPUT_ENDPOINT": "https://hub.example/"}, {"endpoint": "https://hub.example"}),
        ({"INPUT_MODE": "plan", "INPUT_SHARDS": " 4 "}, {"mode": "plan", "shards": "4"}),
        ({"INPUT_SHARD": '{\n"repos": []\n}\n'}, {"shard": '{\n"repos": []\n}'}),
        ({"INPUT_MAX-DISK": "10 GB"}, {"max_disk": "10 GB"}),
        (
            {"INPUT_RESULTS": "all", "INPUT_RESULTS-FILE": "all/1.json"},
            {"results": "all", "results_file": "all/1.json"},
        ),
    ],
)
def test_inputs_are_read_from_the_environment(
    variables: Mapping[str, str], expected: Mapping[str, Any]
) -> None:
    assert Inputs.read(variables) == replace(NO_INPUTS, **expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", NO_INPUTS.mode), ("shards", NO_INPUTS.shards), ("manifest", str(NO_INPUTS.manifest))],
)
def test_defaults_are_those_of_the_action(name: str, value: str) -> None:
    assert ACTION["inputs"][name]["default"] == value


def test_every_input_of_the_action_is_read() -> None:
    names = {name.replace("-", "_") for name in ACTION["inputs"]}
    assert names == {each.name for each in fields(Inputs)}


def test_a_request_that_is_wrong_still_sets_every_output(tmp_path: Path) -> None:
    run = run_action({"manifest": "nowhere.yaml"}, tmp_path, tmp_path)
    assert run.status == 2
    assert run.outputs == NOTHING
    assert run.outputs.keys() == ACTION["outputs"].keys()


def test_a_summary_too_long_for_the_runner_is_cut(tmp_path: Path) -> None:
    wrong = "".join(f"  - {{repo: '!!!!{number}!!!!'}}\n" for number in range(9000))
    (tmp_path / "pairs.yaml").write_text(f"pairs:\n{wrong}")
    run = run_action({}, tmp_path, tmp_path)
    assert run.status == 2
    assert len(run.summary.encode()) < 2**20
    assert run.summary.endswith("There is more; the log has it all.\n")
