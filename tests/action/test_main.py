"""A run of the action as the runner sees it: exit status, annotations, outputs and summary."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.checkpoints import vit
from tests.support.action import (
    ACTION,
    NO_OUTPUTS,
    Action,
    actions_of,
    annotations,
    code_of,
    explanations,
    place_of,
    rows_of,
    summary_rows,
    text_blocks,
)
from tests.support.publishing import TOKEN, heads, pair, publish
from tests.support.workflow_commands import commands
from ved.errors import ErrorCode
from ved.localhub import LocalHub

ROOT = Path(__file__).parents[2]

# Before a mode


def test_import_leaves_libraries_that_read_the_environment_alone() -> None:
    slow = "{'huggingface_hub', 'transformers', 'jax'} & sys.modules.keys()"
    program = f"import sys, ved.action; print({slow})"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


# Mode build


def test_build_publishes_one_pair_and_refuses_another(action: Action, hub: LocalHub) -> None:
    run = action.run(
        [
            pair("owner/action-bad", decoder="team/vit"),
            pair("owner/action-good", decoder="team/bart"),
        ]
    )

    assert run.status == 1
    head = heads(hub)["owner/action-good"]
    assert "owner/action-bad" not in heads(hub)
    assert run.outputs.keys() == ACTION["outputs"].keys()
    assert (run.outputs["built"], run.outputs["failed"]) == ("1", "1")
    assert (run.outputs["pending"], run.outputs["matrix"]) == ("0", '{"include": []}')
    bad, good = rows_of(run)
    url = f"{hub.endpoint}/owner/action-good/commit/{head}"
    assert good.items() >= {
        *{"repo": "owner/action-good", "action": "built", "commit": head, "url": url}.items(),
        *{"encoder": "team/vit", "decoder": "team/bart"}.items(),
    }
    assert good["bytes"] > 100_000
    assert (bad["repo"], bad["action"], bad["codes"]) == (
        "owner/action-bad",
        "refused",
        [ErrorCode.UNSUPPORTED_FAMILY],
    )
    assert (bad["commit"], bad["url"], bad["bytes"]) == (None, None, 0)
    (error,) = annotations(run)
    assert error.properties["title"] == "owner/action-bad"
    assert place_of(error)[:2] == ("pairs.yaml", "2")
    assert code_of(error) == ErrorCode.UNSUPPORTED_FAMILY
    assert error.message.startswith(bad["reason"])
    assert [(row[0], row[1], row[3]) for row in summary_rows(run)] == [
        ("owner/action-bad", "⛔ refused", "team/vit + team/vit"),
        ("owner/action-good", "✅ built", "team/vit + team/bart"),
    ]
    assert summary_rows(run)[0][2].startswith(bad["reason"])
    assert explanations(run.summary) == ([ErrorCode.UNSUPPORTED_FAMILY], [url])
    assert text_blocks(run.summary)[1] == "1 built, 1 refused."


def test_build_annotates_a_failed_pair_at_its_entry(action: Action, hub: LocalHub) -> None:
    hub.faults.add("POST", "/api/models/owner/action-fails/commit/", status=403)
    run = action.run([pair("owner/action-fails", decoder="team/bart")])
    assert (run.status, run.outputs["failed"]) == (1, "1")
    (error,) = annotations(run)
    assert error.properties["title"] == "owner/action-fails"
    assert place_of(error) == ("pairs.yaml", "2", "3")
    assert code_of(error) == ErrorCode.TOKEN_MAY_NOT_WRITE
    (row,) = summary_rows(run)
    assert row[1] == "❌ failed"
    assert error.message.startswith(rows_of(run)[0]["reason"])


def test_build_skips_what_is_up_to_date(action: Action, hub: LocalHub) -> None:
    pairs = [pair("owner/action-again", decoder="team/bart")]
    assert action.run(pairs).outputs["built"] == "1"
    run = action.run(pairs)
    assert (run.status, run.outputs["built"], run.outputs["failed"]) == (0, "0", "0")
    (row,) = rows_of(run)
    assert (row["action"], row["commit"]) == ("skipped", heads(hub)["owner/action-again"])
    assert summary_rows(run)[0][1] == "💤 skipped"
    assert explanations(run.summary)[1] == [row["url"]]


def test_build_annotates_warnings_at_their_keys_and_only_logs_notices(
    action: Action, hub: LocalHub, tmp_path: Path
) -> None:
    publish(hub, "team/vit-unpooled", vit(tmp_path / "vit", without=("pooler.",)))
    run = action.run("""\
pairs:
  - repo: owner/action-warned
    encoder: team/vit-unpooled
    decoder: team/gpt2
    token_ids: {eos: 1, pad: 1}
""")
    assert run.status == 0
    warnings = annotations(run, "warning")
    assert {(code_of(each), *place_of(each)) for each in warnings} == {
        (ErrorCode.RANDOM_PARAMETERS, "pairs.yaml", "3", "14"),
        (ErrorCode.TOKEN_IDS_DIFFER, "pairs.yaml", "5", "16"),
    }
    assert {each.properties["title"] for each in warnings} == {"owner/action-warned"}
    assert "  pairs.yaml:5:16: notice: " in run.log
    assert annotations(run, "notice") == []
    texts = rows_of(run)[0]["warnings"]
    for text, annotation in zip(texts, warnings, strict=True):
        assert annotation.message.startswith(text)
    listed = text_blocks(run.summary)[-len(texts) :]
    assert listed == [f"owner/action-warned: {text}" for text in texts]


def test_build_annotates_each_refusal_at_its_own_key(
    action: Action, hub: LocalHub, sources: dict[str, Path]
) -> None:
    hub.add_user("stranger", token="hf_stranger")
    publish(hub, "stranger/hidden", sources["vit"], token="hf_stranger", private=True)
    publish(hub, "owner/of-others", sources["vit"])
    before = heads(hub)
    refused = {
        "{repo: owner/of-others, encoder: team/vit, decoder: team/gpt2}": (ErrorCode.FOREIGN_REPO),
        "{repo: stranger/x, encoder: team/vit, decoder: team/gpt2}": ErrorCode.TOKEN_MAY_NOT_WRITE,
        "{repo: team/vit, encoder: team/vit, decoder: team/gpt2}": (
            ErrorCode.REPO_IS_ITS_OWN_SOURCE
        ),
        "{encoder: stranger/hidden, decoder: team/gpt2, repo: owner/x}": ErrorCode.NO_SUCH_REPO,
        "{decoder: team/gpt2@v9, encoder: team/vit, repo: owner/y}": ErrorCode.NO_SUCH_REVISION,
    }

    run = action.run("pairs:\n" + "".join(f"- {entry}\n" for entry in refused))

    assert run.status == 1
    assert (run.outputs["built"], run.outputs["failed"]) == ("0", "5")
    errors = annotations(run)
    columns = ("10", "10", "10", "13", "13")  # where the value of the entry's first key begins
    assert [place_of(error)[1:] for error in errors] == [
        (str(line), column) for line, column in enumerate(columns, 2)
    ]
    assert [code_of(error) for error in errors] == [*refused.values()]
    assert actions_of(run) == ["refused"] * 5
    assert {row[1] for row in summary_rows(run)} == {"⛔ refused"}
    assert heads(hub) == before


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("hf_wrong", ErrorCode.TOKEN_NOT_VALID),
        ("hf_reading", ErrorCode.TOKEN_MAY_NOT_WRITE),
        ("", ErrorCode.EMPTY_TOKEN),
    ],
)
def test_build_rejects_a_token_that_cannot_publish(
    token: str, code: ErrorCode, action: Action, hub: LocalHub
) -> None:
    hub.add_user("owner", token="hf_reading", role="read")
    before = heads(hub)

    run = action.run([pair("owner/without-token")], token=token)

    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == code
    assert run.summary.startswith("## VED\n\nNothing was done.\n")
    assert error.message.startswith(text_blocks(run.summary)[2])
    assert heads(hub) == before
    assert [command.name for command in commands(run.log)] == ["add-mask"] * bool(token) + ["error"]


# Mode plan


def test_plan_reports_what_would_be_done_and_writes_nothing(action: Action, hub: LocalHub) -> None:
    before = pair("owner/planned-before", decoder="team/bart")
    action.run([before])
    published = heads(hub)
    pairs = [
        before,
        pair("owner/planned-new", decoder="team/bart"),
        pair("owner/planned-bad", decoder="team/vit"),
    ]

    run = action.run(pairs, mode="plan", shards="2")

    assert run.status == 1
    rows = {row["repo"]: row for row in rows_of(run)}
    assert [(name, row["action"]) for name, row in rows.items()] == [
        *(("owner/planned-before", "skip"), ("owner/planned-new", "build")),
        ("owner/planned-bad", "refuse"),
    ]
    assert run.outputs.items() >= {"pending": "1", "built": "0", "failed": "1"}.items()
    (element,) = json.loads(run.outputs["matrix"])["include"]
    assert element == {
        **{"index": 0, "shard": "1/1", "repos": ["owner/planned-new"]},
        "bytes": rows["owner/planned-new"]["bytes"],
    }
    assert [row[:2] for row in summary_rows(run)] == [
        *(["owner/planned-bad", "⛔ refused"], ["owner/planned-new", "🔨 to build"]),
        ["owner/planned-before", "💤 to skip"],
    ]
    assert text_blocks(run.summary)[1] == "1 to build, 1 to skip, 1 refused."
    assert [place_of(error)[1] for error in annotations(run)] == ["4"]
    assert heads(hub) == published


def test_plan_needs_no_token(action: Action, hub: LocalHub) -> None:
    pairs = [pair("owner/planned-by-a-fork", decoder="team/bart")]
    run = action.run(pairs, token="", mode="plan")
    assert (run.status, run.outputs["pending"]) == (0, "1")
    assert run.log.startswith("::stop-commands::")
    assert {exchange.method for exchange in hub.requests} <= {"GET", "HEAD"}


# Requests that are wrong


def test_manifest_errors_are_annotated_at_their_places(action: Action, hub: LocalHub) -> None:
    run = action.run("""\
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
    codes = [code_of(error) for error in errors]
    assert codes == [
        *(ErrorCode.UNKNOWN_KEY, ErrorCode.REPO_WITHOUT_OWNER, ErrorCode.NO_SUCH_DIRECTORY)
    ]
    places = [place_of(error) for error in errors]
    assert places == [
        ("pairs.yaml", "4", "5"),
        ("pairs.yaml", "5", "11"),
        ("pairs.yaml", "7", "14"),
    ]
    blocks = text_blocks(run.summary)
    assert blocks[:2] == ["VED", "Nothing was done."]
    assert [":".join(place) for place in places] == [
        text.partition(": ")[0] for text in blocks[2:5]
    ]
    assert explanations(run.summary) == (codes, [])
    assert run.log.startswith(f"::add-mask::{TOKEN}\n")
    assert run.outputs == NO_OUTPUTS
    assert hub.requests == []


@pytest.mark.parametrize("files", [[], ["models/pairs.yaml"]], ids=["no checkout", "wrong path"])
def test_missing_manifest_is_explained(files: list[str], action: Action) -> None:
    for name in files:
        (action.workspace / name).parent.mkdir(parents=True)
        (action.workspace / name).write_text("pairs: []")
    run = action.run(None, manifest="config/pairs.yaml")
    assert run.status == 2
    (error,) = annotations(run)
    assert error.properties == {}  # there is no such file to annotate
    assert code_of(error) == ErrorCode.MANIFEST_NOT_READABLE
    assert ("actions/checkout" in error.message) == (files == [])
    assert all(repr(name) in error.message for name in files)
    assert text_blocks(run.summary)[1] == "Nothing was done."


def test_manifest_outside_of_the_workspace_is_not_read(action: Action, tmp_path: Path) -> None:
    outside = tmp_path / "environ"
    outside.write_text("SOMETHING=of the machine\n")
    action.workspace.mkdir(parents=True)
    (action.workspace / "linked.yaml").symlink_to(outside)
    for manifest in ("linked.yaml", str(outside)):
        run = action.run(None, manifest=manifest)
        assert run.status == 2
        (error,) = annotations(run)
        assert code_of(error) == ErrorCode.OUTSIDE_THE_WORKSPACE
        assert "SOMETHING" not in run.log + run.summary


def test_only_selects_pairs(action: Action) -> None:
    pairs = [pair(f"owner/only-{name}", encoder="team/missing") for name in "abc"]
    run = action.run(pairs, only="owner/only-c,\nowner/only-a")
    assert [row["repo"] for row in rows_of(run)] == ["owner/only-a", "owner/only-c"]


@pytest.mark.parametrize(
    ("inputs", "code", "value"),
    [
        ({"mode": "biuld"}, ErrorCode.WRONG_INPUT, "'biuld'"),
        ({"mode": "plan", "shards": "many"}, ErrorCode.WRONG_INPUT, "'many'"),
        ({"mode": "plan", "shards": "0"}, ErrorCode.WRONG_INPUT, "0"),
        ({"mode": "plan", "shards": "257"}, ErrorCode.WRONG_INPUT, "257"),
        ({"shard": "1/3"}, ErrorCode.WRONG_INPUT, "shard"),
        ({"shard": '{"shard": "1/1", "repos": []}'}, ErrorCode.WRONG_INPUT, "repos: "),
        ({"shard": '{"repos": ["owner/y"]}'}, ErrorCode.NO_SUCH_PAIR, "owner/y"),
        ({"only": "owner/y"}, ErrorCode.NO_SUCH_PAIR, "owner/y"),
        ({"max-disk": "plenty"}, ErrorCode.WRONG_INPUT, "'plenty'"),
        ({"mode": "report"}, ErrorCode.JOB_WITHOUT_RESULTS, "results"),
        ({"mode": "report", "results": "nowhere"}, ErrorCode.JOB_WITHOUT_RESULTS, "nowhere"),
    ],
)
def test_wrong_input_is_explained_before_any_request(
    inputs: Mapping[str, str], code: ErrorCode, value: str, action: Action, hub: LocalHub
) -> None:
    run = action.run([pair("owner/x")], **inputs)
    assert run.status == 2
    (error,) = annotations(run)
    assert code_of(error) == code
    assert value in error.message
    blocks = text_blocks(run.summary)
    assert blocks[:2] == ["VED", "Nothing was done."]
    assert error.message.startswith(blocks[2])
    assert run.outputs.items() >= {"matrix": NO_OUTPUTS["matrix"], "built": "0"}.items()
    assert all(row["codes"] == [code] for row in rows_of(run))
    assert hub.requests == []


# The log


def test_log_masks_the_token_first_and_stops_commands(action: Action) -> None:
    run = action.run(
        [
            pair("owner/logged-1", encoder="team/missing"),
            pair("owner/logged-2", decoder="team/bart"),
        ]
    )
    mask, stop, *lines = run.log.splitlines()
    assert mask == f"::add-mask::{TOKEN}"
    assert run.log.count(TOKEN) == 1
    end = lines.index(f"::{stop.removeprefix('::stop-commands::')}::")
    for text in ("  owner/logged-1", "owner/logged-2: Assembling", "owner/logged-2: Published as"):
        assert any(text in line for line in lines[:end])
    assert [line.partition(" ")[0] for line in lines[end + 1 :]] == ["::error"]


def test_hub_on_loopback_that_does_not_answer_is_named(action: Action, unused_port: int) -> None:
    endpoint = f"http://127.0.0.1:{unused_port}"
    run = action.run([pair("owner/x")], mode="plan", endpoint=endpoint)
    errors = annotations(run)
    assert {code_of(error) for error in errors} == {ErrorCode.HUB_DOES_NOT_ANSWER}
    assert all(endpoint in error.message and "bridge" in error.message for error in errors)
