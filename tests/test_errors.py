"""Error codes: their headings in docs/troubleshooting.md, and their links in every report."""

import ast
import errno
import re
from itertools import pairwise
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from markdown_it import MarkdownIt

from ved.action.summary import help_links, results_table
from ved.errors import ErrorCode, RequestError, VedError, as_ved_error, with_links
from ved.hub.account import writing_rights
from ved.localhub import LocalHub
from ved.manifest.loading import loads
from ved.planning.findings import Findings
from ved.results.merging import merge_results
from ved.results.result import Result
from ved.results.rows import Row, to_json
from ved.results.text import format_lines

CODE = Path(__file__).parents[1] / "ved"
PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"
(PAIR,) = loads(b"pairs:\n- {repo: owner/x, encoder: team/vit, decoder: team/gpt2}\n").pairs


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def fail(error: Exception) -> None:
    raise error


def headings() -> list[str]:
    tokens = MarkdownIt("commonmark").parse(PAGE.read_text("utf-8"))
    return [
        slug(text.content)
        for heading, text in pairwise(tokens)
        if heading.type == "heading_open" and heading.tag == "h3"
    ]


def test_error_codes_have_a_heading_each_in_troubleshooting() -> None:
    assert sorted(headings()) == sorted(ErrorCode)


def test_error_codes_are_all_used() -> None:
    used = {
        node.attr
        for path in CODE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "ErrorCode"
    }
    assert used == {*ErrorCode.__members__}


def test_error_codes_in_links_of_troubleshooting_exist() -> None:
    linked = re.findall(r"\]\(#([^)]+)\)", PAGE.read_text("utf-8"))
    assert {*linked} <= {*headings()}


def test_error_text_ends_with_link() -> None:
    error = VedError("It is gated.", "Accept its terms.", code=ErrorCode.GATED_SOURCE)
    assert str(error) == "It is gated. Accept its terms."
    assert error.code.url.endswith("docs/troubleshooting.md#gated-source")
    assert error.text == f"It is gated. Accept its terms. See {error.code.url}"


def test_links_follow_message() -> None:
    codes = [ErrorCode.NO_TOKEN, ErrorCode.RATE_LIMIT]
    first, second = (code.url for code in codes)
    assert with_links("Two things.", codes) == f"Two things. See {first} and {second}"
    assert help_links(codes) == f"See [no token]({first}) and [rate limit]({second})."
    assert (with_links("Nothing.", []), help_links([])) == ("Nothing.", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VedError("It is gated.", code=ErrorCode.GATED_SOURCE), "gated-source"),
        (OSError(errno.ENOSPC, "No space left on device"), "not-enough-disk"),
        (OSError(errno.EACCES, "Permission denied"), "file-not-writable"),
        (KeyError("x"), "ved-itself-failed"),
    ],
    ids=["VedError", "full disk", "other OSError", "unexpected"],
)
def test_findings_have_code_of_exception(error: Exception, code: str) -> None:
    findings = Findings()
    with findings.about("encoder"):
        fail(error)
    (finding,) = findings
    assert (finding.level, finding.key, finding.code) == ("error", "encoder", code)
    assert finding.message == str(as_ved_error(error))


def test_missing_and_invalid_token_have_different_codes(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(RequestError) as missing:
        writing_rights(HfApi())
    with pytest.raises(RequestError) as wrong:
        writing_rights(HfApi(token="hf_wrong"))
    assert (missing.value.code, wrong.value.code) == ("no-token", "token-not-valid")


def refused() -> Result:
    """Return the result of a pair with three errors of two codes, and a warning."""
    findings = Findings()
    for key, code in (
        ("encoder", ErrorCode.GATED_SOURCE),
        ("decoder", ErrorCode.GATED_SOURCE),
        ("repo", ErrorCode.FOREIGN_REPO),
    ):
        with findings.about(key):
            fail(VedError(f"The {key} is wrong.", code=code))
    findings.warn("repo", "It is large.", code=ErrorCode.NOT_ENOUGH_MEMORY)
    return Result(PAIR, "refused", "All is wrong.", tuple(findings))


def test_annotations_end_with_their_link() -> None:
    gated, memory = ErrorCode.GATED_SOURCE.url, ErrorCode.NOT_ENOUGH_MEMORY.url
    assert refused().annotations() == [
        ("error", "encoder", f"The encoder is wrong. See {gated}"),
        ("error", "decoder", f"The decoder is wrong. See {gated}"),
        ("error", "repo", f"The repo is wrong. See {ErrorCode.FOREIGN_REPO.url}"),
        ("warning", "repo", f"It is large. See {memory}"),
    ]


def test_annotation_of_failed_pair_ends_with_link() -> None:
    failed = Result(PAIR, "failed", "The Hub is busy.", code=ErrorCode.RATE_LIMIT)
    assert failed.annotations() == [
        ("error", "", f"The Hub is busy. See {ErrorCode.RATE_LIMIT.url}")
    ]
    (error,) = Row.of(failed).errors
    assert (error.code, error.place) == (ErrorCode.RATE_LIMIT, Row.of(failed).place)


def test_row_and_summary_link_each_code_once() -> None:
    row = Row.of(refused())
    assert row.codes == ["gated-source", "foreign-repo"]
    assert [error.code for error in row.errors] == ["gated-source", *row.codes]
    summary = results_table([row], "https://hub.example")
    page = MarkdownIt("commonmark").enable("table").parse(summary)
    inlines = [child for token in page for child in token.children or ()]
    links = [str(child.attrGet("href")) for child in inlines if child.type == "link_open"]
    assert links == [ErrorCode.GATED_SOURCE.url, ErrorCode.FOREIGN_REPO.url]


def test_terminal_lines_end_with_links() -> None:
    failed = Result(PAIR, "failed", "The Hub is busy.", code=ErrorCode.RATE_LIMIT)
    assert format_lines([failed]).endswith(f"  The Hub is busy. See {ErrorCode.RATE_LIMIT.url}")
    first, *rest = format_lines([refused()], findings=True).splitlines()
    assert "See" not in first
    (encoder,) = (line for line in rest if "The encoder is wrong." in line)
    assert encoder.endswith(f"error: The encoder is wrong. See {ErrorCode.GATED_SOURCE.url}")


def test_collect_refuses_row_with_foreign_link(tmp_path: Path) -> None:
    row = Row.of(refused()).model_copy(update={"codes": ["x](https://elsewhere.example"]})
    (tmp_path / "results.json").write_text(to_json([row]))
    with pytest.raises(RequestError) as refusal:
        merge_results(tmp_path)
    assert refusal.value.code == "job-without-results"


def test_collect_reports_job_without_results(tmp_path: Path) -> None:
    planned: Row = Row.of(refused()).model_copy(update={"action": "build", "codes": []})
    (tmp_path / "results.json").write_text(to_json([planned]))
    (row,) = merge_results(tmp_path)
    assert (row.action, row.codes) == ("failed", ["job-without-results"])
