"""Results: collected from several jobs, and shown in the job summary."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.publishing import markdown, tables
from ved.action.summary import results_table
from ved.errors import ErrorCode, RequestError
from ved.planning.actions import ActionName
from ved.results.merging import merge_results
from ved.results.result import Outcome
from ved.results.rows import Place, Row, to_json
from ved.results.text import count_actions
from ved.text import clean

HUB = "https://hub.example"
COMMIT = "0123456789abcdef" * 2 + "01234567"
HEADERS = ("checkpoint", "action", "reason", "sources", "size", "time")


def row(repo: str = "owner/x", action: ActionName | Outcome = "built", **values: Any) -> Row:
    """Return a row of a pair about which there is nothing to say but what is given."""
    known: dict[str, Any] = {
        **{"encoder": "team/vit", "decoder": "team/gpt2", "reason": "", "warnings": []},
        **{"commit": None, "url": None, "fingerprint": "", "bytes": 0, "seconds": 0.0},
    }
    return Row(repo=repo, action=action, **{**known, **values})


def write(folder: Path, **files: list[Row]) -> None:
    """Write results files, by their names without `.json`."""
    for name, rows in files.items():
        (folder / f"{name}.json").write_text(to_json(rows))


def links(text: str) -> list[str]:
    """Return the addresses that a Markdown text links to, or has images of."""
    addresses = [token.attrGet(key) for token in markdown(text) for key in ("href", "src")]
    return [str(address) for address in addresses if address is not None]


# Results of several jobs


def test_merge_results_takes_the_last_file_by_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        plan=[row("owner/a", "build"), row("owner/b", "build"), row("owner/c", "skip")],
        shard_0=[row("owner/a", "failed")],
        shard_1=[row("owner/b", "built")],
        shard_1_of_attempt_2=[row("owner/a", "built", reason="at last")],
    )
    assert merge_results(tmp_path) == [
        row("owner/a", "built", reason="at last"),
        *(row("owner/b", "built"), row("owner/c", "skipped")),
    ]


def test_merge_results_compares_numbers_in_file_names_as_numbers(tmp_path: Path) -> None:
    for attempt, action in ((10, "built"), (9, "failed")):
        folder = tmp_path / f"attempt-{attempt}-shard-0"
        folder.mkdir()
        write(folder, results=[row(action=action)])  # type: ignore[arg-type]
    assert merge_results(tmp_path) == [row(action="built")]


def test_merge_results_reads_subfolders(tmp_path: Path) -> None:
    for name, action in (("b", "built"), ("a", "failed")):
        (tmp_path / name / "of-a-job").mkdir(parents=True)
        write(tmp_path / name / "of-a-job", results=[row(action=action)])  # type: ignore[arg-type]
    assert merge_results(tmp_path) == [row(action="built")]


@pytest.mark.parametrize("planned", ["build", "card-only"])
def test_merge_results_counts_an_unfinished_plan_as_failed(
    planned: ActionName | Outcome, tmp_path: Path
) -> None:
    write(tmp_path, plan=[row(action=planned, reason="The repo is new.", bytes=10**9)])
    (failed,) = merge_results(tmp_path)
    assert (failed.action, failed.bytes) == ("failed", 0)
    assert failed.codes == [ErrorCode.JOB_WITHOUT_RESULTS]


def test_merge_results_places_the_error_of_an_unfinished_plan(tmp_path: Path) -> None:
    place = Place(file="pairs.yaml", line=3, column=5)
    write(tmp_path, plan=[row(action="build", place=place)])
    (failed,) = merge_results(tmp_path)
    (error,) = failed.errors
    assert (error.code, error.place) == (ErrorCode.JOB_WITHOUT_RESULTS, place)


def test_merge_results_reads_rows_without_uploaded_bytes(tmp_path: Path) -> None:
    told = to_json([row(bytes=5)])
    assert '"uploaded":null,' in told
    (tmp_path / "shard.json").write_text(told.replace('"uploaded":null,', ""))
    assert merge_results(tmp_path) == [row(bytes=5)]


def test_merge_results_keeps_a_renewed_card(tmp_path: Path) -> None:
    renewed = row(action="card-only", commit=COMMIT)
    write(tmp_path, plan=[row(action="card-only")], shard=[renewed])
    assert merge_results(tmp_path) == [renewed]


@pytest.mark.parametrize(
    ("planned", "ended"),
    [("skip", "skipped"), ("refuse", "refused"), ("skipped", "skipped"), ("failed", "failed")],
)
def test_merge_results_turns_planned_names_into_outcomes(
    planned: ActionName | Outcome, ended: ActionName | Outcome, tmp_path: Path
) -> None:
    write(tmp_path, plan=[row(action=planned, reason="why")])
    assert merge_results(tmp_path) == [row(action=ended, reason="why")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"null",
        b'{"repo": "owner/x"}',
        b'[{"repo": "owner/x"}]',
        b"[" * 100_000,
        b"\xff\xfe",
        to_json([row()]).replace("built", "demolished").encode(),
        to_json([row()]).replace('"owner/x"', '"\\ud800/x"').encode(),
        to_json([row()]).replace('"bytes":0', '"bytes":-1').encode(),
        to_json([row()]).replace('"bytes":0', f'"bytes":{"9" * 400}').encode(),
        to_json([row()]).replace("0.0", "NaN").encode(),
    ],
    ids=str,
)
def test_merge_results_explains_a_file_without_results(content: bytes, tmp_path: Path) -> None:
    write(tmp_path, plan=[row()])
    (tmp_path / "shard.json").write_bytes(content)
    with pytest.raises(RequestError, match=r"shard\.json does not hold the output results of"):
        merge_results(tmp_path)


def test_merge_results_explains_a_folder_named_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(RequestError, match=r"plan\.json does not hold the output results of"):
        merge_results(tmp_path)


@pytest.mark.parametrize("name", [".", "not-there"])
def test_merge_results_explains_a_folder_without_results(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no results")
    with pytest.raises(RequestError, match="There are no results in"):
        merge_results(tmp_path / name)


# What is shown


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            [
                row("owner/a", "skip", commit=COMMIT, reason="Up to date."),
                row("owner/b", "build", bytes=1_103_860, reason="The repo is new."),
                row("owner/c", "refuse", reason="There is no such repo."),
            ],
            [
                ["owner/c", "⛔ refused", "There is no such repo.", "", ""],
                ["owner/b", "🔨 to build", "The repo is new.", "1.1 MB", ""],
                ["owner/a", "💤 to skip", "Up to date.", "", ""],
            ],
            id="plan",
        ),
        pytest.param(
            [
                row("owner/a", "skipped", commit=COMMIT, reason="Up to date."),
                row("owner/b", "built", commit=COMMIT, bytes=10**9, seconds=61.6, reason="seed"),
                row("owner/c", "card-only", commit=COMMIT, bytes=3000, seconds=0.6, reason="tags"),
                row("owner/d", "failed", seconds=2.0, reason="The Hub does not answer."),
                row("owner/e", commit=COMMIT, bytes=1_200_000_000, uploaded=310_000_000),
                row("owner/f", commit=COMMIT, bytes=1_200_000_000, uploaded=0),
            ],
            [
                ["owner/d", "❌ failed", "The Hub does not answer.", "", "2 s"],
                ["owner/b", "✅ built", "seed", "1.0 GB", "62 s"],
                ["owner/c", "📝 card only", "tags", "3.0 KB", "1 s"],
                ["owner/e", "✅ built", "", "1.2 GB, 310.0 MB sent", ""],
                ["owner/f", "✅ built", "", "1.2 GB, 0 B sent", ""],
                ["owner/a", "💤 skipped", "Up to date.", "", ""],
            ],
            id="build",
        ),
    ],
)
def test_table_shows_pairs_that_need_action_first(
    rows: list[Row], expected: list[list[str]]
) -> None:
    text = results_table(rows, HUB)
    shown = tables(text)[HEADERS]
    assert {cells.pop(3) for cells in shown} == {"team/vit + team/gpt2"}
    assert shown == expected
    assert {*links(text)} == {f"{HUB}/{each.repo}/commit/{COMMIT}" for each in rows if each.commit}


def test_count_actions_counts_each_action() -> None:
    actions: list[ActionName | Outcome] = ["skip", "build", "refuse", "build", "card-only"]
    rows = [row(f"owner/{number}", action) for number, action in enumerate(actions)]
    assert count_actions(actions) == "2 to build, 1 card only, 1 to skip, 1 refused"
    assert results_table(rows, HUB).startswith(f"**{count_actions(actions)}.**\n")


def test_table_lists_warnings_below() -> None:
    text = results_table([row("owner/a"), row("owner/b", warnings=["one", "two"])], HUB)
    warned = [token.content for token in markdown(text) if token.type == "inline"]
    assert warned[-3:] == ["Warnings", "`owner/b`: one", "`owner/b`: two"]


# Text from outside


HOSTILE = [
    "](https://evil.example) [x](https://evil.example",
    "![x](https://evil.example/x.png)",
    "<img src=https://evil.example onerror=alert(1)> <!-- -->",
    "https://evil.example www.evil.example <https://evil.example>",
    "a | b \\| c \\",
    "`` ` | ``` ` \n\n# heading\n\n- item\r\n| a | b |",
    "**bold** _it_ ~~no~~ @everyone #1 &#60; &lt;",
    "\x1b[31m \u202e \u2028 \x00",
]


def assert_shown_as_it_is(shown: Row) -> None:
    """Check that a row adds one row of cells to the summary, and nothing that is obeyed."""
    text = results_table([shown], HUB)
    ((_, action, *_),) = tables(text)[HEADERS]
    assert action == "✅ built"
    assert {*links(text)} <= {f"{HUB}/owner/x/commit/{COMMIT}"}
    assert not {token.type for token in markdown(text)} & {"html_inline", "html_block", "image"}
    assert [token.type for token in markdown(text)].count("heading_open") == bool(shown.warnings)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("key", ["encoder", "decoder", "reason", "url", "fingerprint"])
def test_table_escapes_hostile_text(key: str, text: str, tmp_path: Path) -> None:
    said: dict[str, Any] = {key: text}
    write(tmp_path, shard=[row(commit=COMMIT, **said)])
    (hostile,) = merge_results(tmp_path)
    assert getattr(hostile, key) == clean(text)
    assert_shown_as_it_is(hostile)


@given(*[st.text(max_size=40) | st.sampled_from(HOSTILE)] * 3)
def test_table_escapes_any_text(source: str, reason: str, warning: str) -> None:
    said: dict[str, Any] = {"encoder": source, "reason": reason, "url": source}
    assert_shown_as_it_is(row(commit=COMMIT, warnings=[warning], **said))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("key", ["repo", "commit", "codes"])
def test_merge_results_refuses_hostile_text_in_links(key: str, text: str, tmp_path: Path) -> None:
    value = {"repo": f"owner/{text}", "commit": text, "codes": [text]}[key]
    hostile = row().model_copy(update={key: value})
    (tmp_path / "shard.json").write_text(to_json([hostile]))
    with pytest.raises(RequestError) as refused:
        merge_results(tmp_path)
    assert refused.value.code == ErrorCode.JOB_WITHOUT_RESULTS


@pytest.mark.parametrize("repo", ["x", "owner/x/y", "../x", "/x", "owner/", "owner/x\n"])
def test_row_needs_a_repo_id(repo: str) -> None:
    with pytest.raises(ValueError, match="repo id"):
        row(repo)


def test_row_escapes_lone_surrogates() -> None:
    half = row(reason="a \ud800", warnings=["\udfff"])
    assert (half.reason, half.warnings) == (r"a \ud800", [r"\udfff"])
    assert to_json([half])
