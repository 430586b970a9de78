"""The action as a runner sees it: exit status, annotations, outputs, summary; and nothing else."""

import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from examples.demo.runner import Run, run_action
from tests.publishing import TOKEN, heads, markdown, pair, publish, tables
from ved import github
from ved.localhub import LocalHub, checkpoints
from ved.manifest import Location, loads

ACTION = yaml.safe_load((Path(__file__).parents[1] / "action.yml").read_text())
RESULTS = ("checkpoint", "result", "encoder", "decoder", "size", "time")

# The runner's own, from ActionCommandManager of https://github.com/actions/runner.
COMMANDS = (
    *("add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group"),
    *("internal-set-repo-path", "notice", "remove-matcher", "save-state", "set-env", "set-output"),
    *("stop-commands", "warning"),
)


@dataclass(frozen=True)
class Command:
    """A workflow command as the runner understood it."""

    name: str
    message: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, form: str, line: str) -> "Command":
        match = re.fullmatch(form, line)
        if match is None:
            return cls("no command")
        name, properties, message = match.groups(default="")
        pairs = [part.split("=", 1) for part in properties.split(",") if "=" in part]
        values = {key: unescaped(value, PROPERTY_ESCAPES) for key, value in pairs}
        return cls(name.lower(), unescaped(message, DATA_ESCAPES), values)


# `::name key=value,key=value::message` alone on its line, or `##[name key=value]message` anywhere.
FORMS = (r"\s*::(\S+?)(?: (.*?))?::(.*)", r".*?##\[(\S+?)(?: (.*?))?\](.*)")


def commands(log: str) -> list[Command]:
    """Return the commands in a log, as ActionCommand and ActionCommandManager find them."""
    found = []
    stop_token = ""
    for line in re.split(r"\r\n|\r|\n", log):
        candidates = [Command.parse(form, line) for form in FORMS]
        command = next((each for each in candidates if each.name in (*COMMANDS, stop_token)), None)
        if command is None:
            continue
        if stop_token:
            stop_token = "" if command.name == stop_token else stop_token
        elif command.name == "stop-commands":
            stop_token = command.message
        else:
            found.append(command)
    return found


DATA_ESCAPES = {"%0D": "\r", "%0A": "\n", "%25": "%"}
PROPERTY_ESCAPES = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}


def unescaped(text: str, escapes: Mapping[str, str]) -> str:
    for escape, character in escapes.items():
        text = text.replace(escape, character)
    return text


def annotations(run: Run, name: str = "error") -> list[Command]:
    return [command for command in commands(run.log) if command.name == name]


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
  - repo: action-good
    encoder: team/vit
    decoder: team/gpt2
  - repo: action-bad
    encoder: team/vit
    decoder: team/vit
""")

    assert run.status == 1
    head = heads(hub)["owner/action-good"]
    assert "owner/action-bad" not in heads(hub)
    assert run.outputs.keys() == ACTION["outputs"].keys()
    assert (run.outputs["built"], run.outputs["failed"]) == ("1", "1")
    good, bad = json.loads(run.outputs["results"])
    url = f"{hub.endpoint}/owner/action-good/commit/{head}"
    assert good.items() >= {
        *{"repo": "owner/action-good", "action": "built", "reason": ""}.items(),
        *{"commit": head, "url": url}.items(),
    }
    assert good["bytes"] > 100_000
    assert bad.items() >= {
        *{"repo": "owner/action-bad", "action": "failed"}.items(),
        *{"commit": None, "url": None, "bytes": 0}.items(),
    }
    (error,) = annotations(run)
    assert error.properties == {
        **{"file": "pairs.yaml", "line": "6", "col": "5"},
        "title": "owner/action-bad",
    }
    assert "is a 'vit' checkpoint, which cannot be the decoder" in error.message
    assert error.message == bad["reason"]
    rows = tables(run.summary)[RESULTS]
    assert [row[0] for row in rows] == ["owner/action-good", "owner/action-bad"]
    assert rows[0][1] == f"✅ built, {head[:12]}"
    assert rows[1][1] == f"❌ {bad['reason']}"
    assert url in [token.attrGet("href") for token in markdown(run.summary)]
    assert "1 built, 1 failed." in run.summary


def test_the_log_is_folded_by_pair_and_the_token_masked_first(act: Act) -> None:
    run = act(
        manifest_of(
            pair("owner/folded-1", encoder="team/missing"),
            pair("owner/folded-2", encoder="team/missing"),
        )
    )
    assert run.log.startswith(f"::add-mask::{TOKEN}\n")
    assert run.log.count(TOKEN) == 1
    inside = run.log.split("::group::owner/folded-1\n")[1].split("::endgroup::")[0]
    assert "team/missing" in inside
    structure = [command for command in commands(run.log) if "group" in command.name]
    assert structure == [
        *(Command("group", "owner/folded-1"), Command("endgroup")),
        *(Command("group", "owner/folded-2"), Command("endgroup")),
    ]


def test_each_failure_is_annotated_at_its_own_pair_and_nothing_is_published(
    act: Act, hub: LocalHub, sources: dict[str, Path]
) -> None:
    hub.add_user("stranger", token="hf_stranger")
    publish(hub, "stranger/hidden", sources["vit"], token="hf_stranger", private=True)
    publish(hub, "owner/of-others", sources["vit"])
    before = heads(hub)
    reasons = {
        "{repo: owner/of-others, encoder: team/vit, decoder: team/gpt2}": "was not made by VED",
        "{repo: stranger/x, encoder: team/vit, decoder: team/gpt2}": "may not publish to stranger",
        "{repo: team/vit, encoder: team/vit, decoder: team/gpt2}": "one of its own sources",
        "{repo: owner/x, encoder: stranger/hidden, decoder: team/gpt2}": "there is no such repo",
        "{repo: owner/y, encoder: team/vit, decoder: team/gpt2@v9}": "there is no such revision",
    }

    run = act("pairs:\n" + "".join(f"- {entry}\n" for entry in reasons))

    assert run.status == 1
    assert (run.outputs["built"], run.outputs["failed"]) == ("0", "5")
    errors = annotations(run)
    assert [(error.properties["line"], error.properties["col"]) for error in errors] == [
        (str(line), "3") for line in range(2, 7)
    ]
    for error, reason in zip(errors, reasons.values(), strict=True):
        assert reason in error.message
    assert [row[1] for row in tables(run.summary)[RESULTS]] == [
        f"❌ {error.message}" for error in errors
    ]
    assert heads(hub) == before


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_wrong", "the token is not valid"),
        ("hf_reading", "The token can only read"),
        ("", "There is no token, so nothing can be published."),
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
    assert run.summary.startswith("## VED\n\nNothing was built.\n")
    assert shown(run.summary)[-1] == error.message
    assert heads(hub) == before
    assert [command.name for command in commands(run.log)] == ["add-mask"] * bool(token) + ["error"]


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
    assert "did you mean 'decoder'?" in errors[0].message
    assert "no-owner" in errors[1].message
    assert "./not-there" in errors[2].message
    assert shown(run.summary) == [
        *("VED", "Nothing was built."),
        *(
            f"{':'.join(place)}: {error.message}"
            for place, error in zip(places, errors, strict=True)
        ),
    ]
    assert run.log.startswith(f"::add-mask::{TOKEN}\n")
    assert hub.requests == []


def test_a_manifest_that_is_not_there_is_annotated(act: Act) -> None:
    run = act(None, manifest="config/pairs.yaml")
    assert run.status == 2
    (error,) = annotations(run)
    assert error.properties == {"file": "config/pairs.yaml", "line": "1", "col": "1"}
    assert "the file cannot be read: No such file or directory" in error.message
    assert "Nothing was built." in run.summary


def test_only_builds_the_pairs_that_it_names(act: Act) -> None:
    entries = [pair(f"owner/only-{name}", encoder="team/missing") for name in "abc"]
    run = act(manifest_of(*entries), only="owner/only-c,\nowner/only-a")
    results = json.loads(run.outputs["results"])
    assert [result["repo"] for result in results] == ["owner/only-a", "owner/only-c"]


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
    assert [built["action"], named["action"], of_tensors["action"]] == ["built", "failed", "failed"]
    assert bad in named["reason"]
    assert "::error::of a tensor" in of_tensors["reason"]
    found = commands(run.log)
    assert [command.name for command in found] == [
        *("add-mask", "group", "endgroup", "group", "endgroup", "group", "endgroup"),
        *("warning", "error", "error"),
    ]
    assert found[0].message == TOKEN
    warning, *errors = found[-3:]
    assert "The encoder has no pooler" in warning.message
    assert warning.properties["title"] == "owner/of-hostile-texts"
    assert [error.message for error in errors] == [named["reason"], of_tensors["reason"]]
    assert run.outputs.keys() == {"results", "built", "failed"}
    rows = tables(run.summary)[RESULTS]
    assert [row[2] for row in rows] == [good, bad, "team/vit-of-hostile-names"]
    links = {token.attrGet("href") for token in markdown(run.summary)} - {None}
    assert links == {built["url"]}
    assert not {token.type for token in markdown(run.summary)} & {"html_inline", "image"}


@contextmanager
def hub_that_says(message: str) -> Iterator[str]:
    """Serve an error message to whatever is asked."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(json.dumps({"error": message}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
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
def test_what_a_server_says_is_never_obeyed(hostile: str, act: Act) -> None:
    with hub_that_says(f"no {hostile} yes") as endpoint:
        run = act(manifest_of(pair("owner/x")), endpoint=endpoint)
    assert run.status == 2
    mask, error = commands(run.log)
    assert (mask.message, error.name) == (TOKEN, "error")
    for said in (error.message, shown(run.summary)[-1]):
        assert "the token may not do that (no " in said
        assert " yes)" in said
    kinds = {token.type for token in markdown(run.summary)}
    assert not kinds & {"html_inline", "image", "link_open"}


def test_what_the_inputs_say_is_never_obeyed(act: Act) -> None:
    name = "::add-mask::a,b=c%0A|<b>.yaml"
    run = act(None, manifest=name)
    mask, error = commands(run.log)
    assert (mask.message, error.properties["file"]) == (TOKEN, name)
    assert shown(run.summary)[-1].startswith(f"{name}:1:1: ")


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
    log = printed(lambda: github._annotate(message, Location(file, 3, 1), title))
    (error,) = commands(log)
    properties = {"file": file, "line": "3", "col": "1"} | ({"title": title} if title else {})
    assert (error.name, error.message, error.properties) == ("error", message, properties)


@given(st.lists(TEXTS, max_size=5))
def test_nothing_within_a_group_is_a_command(lines: list[str]) -> None:
    (entry,) = loads(b"pairs: [{repo: o/r, encoder: e/e, decoder: d/d}]").pairs

    def group() -> None:
        with github._group(entry):
            for line in lines:
                print(line)

    assert commands(printed(group)) == [Command("group", "o/r"), Command("endgroup")]


@given(value=TEXTS)
def test_an_output_is_one_output_whatever_it_says(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("runner") / "output"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_OUTPUT", str(file))
        github._output("results", value)
        github._output("built", "1")
    first, *lines = file.read_bytes().decode().split("\n")
    delimiter = first.removeprefix("results<<")
    end = lines.index(delimiter)
    assert "\n".join(lines[:end]) == value
    assert [line.partition("<<")[0] for line in lines[end + 1 :]][:1] == ["built"]


# Inputs


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("pairs.yaml", "", (), "")),
        (
            {"INPUT_MANIFEST": " a/b.yaml ", "INPUT_TOKEN": "hf_x\n", "INPUT_ONLY": "a/b, c\n d,"},
            ("a/b.yaml", "hf_x", ("a/b", "c", "d"), ""),
        ),
        ({"INPUT_ENDPOINT": "https://hub.example/"}, ("pairs.yaml", "", (), "https://hub.example")),
    ],
)
def test_inputs_are_read_from_the_environment(
    variables: Mapping[str, str], expected: tuple[str, str, tuple[str, ...], str]
) -> None:
    manifest, token, only, endpoint = expected
    assert github.Inputs.read(variables) == github.Inputs(Path(manifest), token, only, endpoint)


def test_a_request_that_is_wrong_still_sets_every_output(tmp_path: Path) -> None:
    run = run_action({"manifest": "nowhere.yaml"}, tmp_path, tmp_path)
    assert run.status == 2
    assert run.outputs == {"results": "[]", "built": "0", "failed": "0"}


def test_a_summary_too_long_for_the_runner_is_cut(tmp_path: Path) -> None:
    wrong = "".join(f"  - {{repo: '!!!!{number}!!!!'}}\n" for number in range(9000))
    (tmp_path / "pairs.yaml").write_text(f"pairs:\n{wrong}")
    run = run_action({}, tmp_path, tmp_path)
    assert run.status == 2
    assert len(run.summary.encode()) < 2**20
    assert run.summary.endswith("There is more; the log has it all.\n")
