"""Where errors lead to: every kind is in the table, and has a heading of its own on the page."""

import ast
import errno
import re
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from markdown_it import MarkdownIt

from docs.generate import troubleshooting
from ved.action.summary import results_table
from ved.errors import RequestError, VedError, as_ved_error
from ved.hub.account import writable_namespaces
from ved.localhub import LocalHub
from ved.manifest.loading import loads
from ved.planning.findings import Findings
from ved.results.result import Result
from ved.results.rows import Row, collect, to_json
from ved.results.text import format_lines
from ved.troubles import PAGE, TROUBLES, in_markdown, link, with_links

CODE = Path(__file__).parents[1] / "ved"
KINDS = [kind for section in TROUBLES.values() for kind in section]
(PAIR,) = loads(b"pairs:\n- {repo: owner/x, encoder: team/vit, decoder: team/gpt2}\n").pairs


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading of plain words."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def fail(error: Exception) -> None:
    raise error


def strings(tree: ast.AST) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def trees() -> list[ast.AST]:
    paths = [path for path in CODE.rglob("*.py") if path.name != "troubles.py"]
    return [ast.parse(path.read_text("utf-8")) for path in paths]


def test_every_kind_that_an_error_names_is_in_the_table() -> None:
    named = [
        kind
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "see"
        for kind in strings(node.value)
    ]
    assert len(named) > len(KINDS)
    assert {*named} - {*KINDS, ""} == set()


def test_every_kind_of_the_table_is_named_by_an_error() -> None:
    assert {*KINDS} - {text for tree in trees() for text in strings(tree)} == set()


def test_every_kind_is_the_anchor_of_its_own_heading() -> None:
    page = MarkdownIt("commonmark").parse(troubleshooting())
    headings = [
        slug(page[place + 1].content)
        for place, token in enumerate(page)
        if token.type == "heading_open"
    ]
    # Of two headings that are alike, GitHub calls the second otherwise.
    assert len({*headings}) == len(headings)
    assert {*KINDS} <= {*headings}
    titles = [(kind, each.title) for section in TROUBLES.values() for kind, each in section.items()]
    assert [kind for kind, _ in titles] == [slug(title) for _, title in titles]


def test_links_from_heading_to_heading_lead_somewhere() -> None:
    linked = re.findall(r"\]\(#([^)]+)\)", troubleshooting())
    assert {*linked} == {*KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_trouble_says_what_it_means_and_what_to_do(kind: str) -> None:
    (trouble,) = (section[kind] for section in TROUBLES.values() if kind in section)
    assert trouble.meaning.endswith(".")
    assert trouble.steps
    assert all(step.endswith(".") for step in trouble.steps)


def test_an_error_has_a_link_and_says_as_a_text_what_it_said_without() -> None:
    error = VedError("It is gated.", "Accept its terms.", see="gated-source")
    assert str(error) == "It is gated. Accept its terms."
    assert error.link == f"{PAGE}#gated-source"
    assert error.text == f"It is gated. Accept its terms. See {error.link}"


def test_an_error_without_a_kind_has_no_link() -> None:
    error = VedError("It is a file.", "Name a directory.")
    assert (error.link, error.text) == ("", str(error))


def test_links_of_several_kinds_follow_what_is_said() -> None:
    kinds = ["no-token", "rate-limit"]
    first, second = map(link, kinds)
    assert with_links("Two things.", kinds) == f"Two things. See {first} and {second}"
    assert in_markdown(kinds) == f"See [no token]({first}) and [rate limit]({second})."
    assert (with_links("Nothing.", []), in_markdown([])) == ("Nothing.", "")


@pytest.mark.parametrize(
    ("error", "see"),
    [
        (VedError("It is gated.", see="gated-source"), "gated-source"),
        (OSError(errno.ENOSPC, "No space left on device"), "not-enough-disk"),
        (OSError(errno.EACCES, "Permission denied"), ""),
        (KeyError("x"), "ved-itself-failed"),
    ],
    ids=["explained", "full disk", "other file", "unforeseen"],
)
def test_a_failure_becomes_a_finding_of_its_kind(error: Exception, see: str) -> None:
    findings = Findings()
    with findings.about("encoder"):
        fail(error)
    (finding,) = findings
    assert (finding.level, finding.key, finding.see) == ("error", "encoder", see)
    assert finding.message == str(as_ved_error(error))


def test_a_missing_token_and_a_wrong_one_are_two_kinds(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(RequestError) as missing:
        writable_namespaces(HfApi())
    with pytest.raises(RequestError) as wrong:
        writable_namespaces(HfApi(token="hf_wrong"))
    assert (missing.value.see, wrong.value.see) == ("no-token", "token-not-valid")


def refused() -> Result:
    """Return what becomes of a pair whose two sources are wrong, the same way and another."""
    findings = Findings()
    for key, see in (("encoder", "gated-source"), ("decoder", "gated-source"), ("repo", "")):
        with findings.about(key):
            fail(VedError(f"The {key} is wrong.", see=see))
    findings.warn("repo", "It is large.", see="not-enough-memory")
    return Result(PAIR, "refused", "All is wrong.", tuple(findings))


def test_annotations_end_in_links_each_in_its_own() -> None:
    gated, memory = link("gated-source"), link("not-enough-memory")
    assert refused().annotations() == [
        ("error", "encoder", f"The encoder is wrong. See {gated}"),
        ("error", "decoder", f"The decoder is wrong. See {gated}"),
        ("error", "repo", "The repo is wrong."),
        ("warning", "repo", f"It is large. See {memory}"),
    ]


def test_a_pair_that_fails_is_annotated_with_its_link() -> None:
    failed = Result(PAIR, "failed", "The Hub is busy.", see="rate-limit")
    assert failed.annotations() == [("error", "", f"The Hub is busy. See {link('rate-limit')}")]


def test_a_row_leads_once_to_each_kind_and_so_does_the_table() -> None:
    row = Row.of(refused())
    assert row.see == ["gated-source"]
    summary = results_table([row], "https://hub.example")
    page = MarkdownIt("commonmark").enable("table").parse(summary)
    inlines = [child for token in page for child in token.children or ()]
    links = [str(child.attrGet("href")) for child in inlines if child.type == "link_open"]
    assert links == [link("gated-source")]


def test_lines_for_a_terminal_end_in_links() -> None:
    failed = Result(PAIR, "failed", "The Hub is busy.", see="rate-limit")
    assert format_lines([failed]).endswith(f"  The Hub is busy. See {link('rate-limit')}")
    first, *rest = format_lines([refused()], findings=True).splitlines()
    assert "See" not in first
    assert rest[0].endswith(f"error: The encoder is wrong. See {link('gated-source')}")


def test_another_jobs_row_links_to_nothing_but_the_page(tmp_path: Path) -> None:
    row = Row.of(refused()).model_copy(update={"see": ["x](https://elsewhere.example"]})
    (tmp_path / "results.json").write_text(to_json([row]))
    with pytest.raises(RequestError) as refusal:
        collect(tmp_path)
    assert refusal.value.see == "job-without-results"


def test_a_job_that_told_nothing_is_a_kind_of_its_own(tmp_path: Path) -> None:
    planned: Row = Row.of(refused()).model_copy(update={"action": "build", "see": []})
    (tmp_path / "results.json").write_text(to_json([planned]))
    (row,) = collect(tmp_path)
    assert (row.action, row.see) == ("failed", ["job-without-results"])
