"""Results and errors in a terminal: wrapped, colored, and never interpreted."""

import io
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import pytest
from rich.cells import cell_len

from tests.support.publishing import pair
from ved.errors import ErrorCode, VedError
from ved.logs import CleanStream, LogFormatter
from ved.manifest.loading import ManifestError, loads
from ved.planning import ActionName
from ved.planning.findings import Finding
from ved.results.result import Outcome, Result
from ved.results.text import format_lines
from ved.terminal.output import Output

pytestmark = pytest.mark.unit

COMMIT = "0123456789abcdef" * 2 + "01234567"
URL = f"https://hub.example/owner/x/commit/{COMMIT}"
LONG = "The tensor is missing: " + "one of the encoder's tensors, " * 20
MARKUP = "[red]x[/red] [link=https://evil.example]y[/link] [/] :smile: \\[bold] https://x.example"
CONTROLS = "\x1b[2J\x1b]0;evil\x07\x9b31m\u202e"


class Terminal(io.StringIO):
    """A terminal of a width."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def isatty(self) -> bool:
        return True


def result(repo: str, action: ActionName | Outcome, reason: str = "", **keys: Any) -> Result:
    """Return a result of a pair of a manifest with one pair."""
    (its_pair,) = loads(json.dumps({"pairs": [pair(repo)]}).encode()).pairs
    return Result(its_pair, action, reason, **keys)


def error(message: str) -> tuple[Finding, ...]:
    return (Finding("error", "encoder", message, ErrorCode.NO_SUCH_REPO),)


RESULTS = [
    result("owner/x", "built", "New repo.", commit=COMMIT, url=URL, size=1_200_000_000, seconds=80),
    result("owner/another", "skip", "Up to date.", url=URL),
    result("owner/refused", "refuse", LONG, findings=error(LONG)),
    result("owner/refused-2", "refuse", LONG, findings=error(LONG)),
    result("owner/failed", "failed", LONG, code=ErrorCode.HUB_DOES_NOT_ANSWER),
]


def printed(
    columns: int, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[str]]:
    """Return what results look like in a terminal: with control sequences, and lines without."""
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal(columns)
    Output(CleanStream(terminal), variables).results(RESULTS, findings=True)
    text = terminal.getvalue()
    return text, re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


@pytest.mark.parametrize("columns", [60, 100, 140])
def test_results_are_wrapped_at_words(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text, lines = printed(columns, {}, monkeypatch)
    assert "\x1b[1;31mrefuse" in text
    assert [line for line in lines if cell_len(line) > columns and "https://" not in line] == []
    assert [line for line in lines if line != line.rstrip()] == []
    # An address stays whole, to be copied.
    assert f"    {URL}" in lines
    assert len([line for line in lines if URL in line]) == 1  # none for what is up to date
    assert len([line for line in lines if line.startswith(" ")]) > 10


def test_results_say_each_problem_and_explanation_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines = printed(100, {}, monkeypatch)
    text = " ".join(line.strip() for line in lines)
    assert text.count(LONG.strip()) == 2  # that of the refused pairs, and that of the failed one
    assert "The same as for owner/refused." in text
    for code in (ErrorCode.NO_SUCH_REPO, ErrorCode.HUB_DOES_NOT_ANSWER):
        assert text.count(code.url) == 1


def test_results_without_colors_have_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    text, lines = printed(100, {"NO_COLOR": "1"}, monkeypatch)
    assert {char for char in text if not char.isprintable()} == {"\n"}
    assert max(len(line) for line in lines if "https://" not in line) <= 100


def test_results_with_forced_colors_are_not_wrapped() -> None:
    stream = io.StringIO()
    Output(CleanStream(stream), {"FORCE_COLOR": "1"}).results(RESULTS, findings=True)
    text = stream.getvalue()
    assert "\x1b[1;31mrefuse" in text
    assert any(LONG.strip() in line for line in text.splitlines())


def test_results_in_a_pipe_have_a_line_for_each_pair() -> None:
    stream = io.StringIO()
    Output(CleanStream(stream), {"TERM": "xterm"}).results(RESULTS)
    lines = stream.getvalue().splitlines()
    assert lines == format_lines(RESULTS).splitlines()
    lines = [line for line in lines if not line.startswith(" ")]
    assert [re.split(" +", line)[:2] for line in lines] == [
        [each.action, each.pair.repo] for each in RESULTS
    ]
    assert {line.index(each.pair.repo) for line, each in zip(lines, RESULTS, strict=True)} == {11}


@pytest.mark.parametrize("text", [MARKUP, CONTROLS, f"{MARKUP}{CONTROLS}" * 50])
@pytest.mark.parametrize("columns", [50, 120])
def test_terminal_interprets_no_text_from_outside(
    text: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal(columns)
    output = Output(CleanStream(terminal), {})
    results = [
        result("owner/a", "failed", text, code=ErrorCode.WRONG_INPUT, url=text),
        result("owner/b", "refuse", text, findings=error(text)),
        result("owner/c", "build", text, findings=error(text)),
    ]
    output.results(results, findings=True)
    output.error(VedError(text, text, code=ErrorCode.WRONG_INPUT))
    output.line(text)
    manifest = json.dumps({"pairs": [{"repo": text, "encoder": text, text: 1}]})
    with pytest.raises(ManifestError) as wrong:
        loads(manifest.encode())
    output.manifest_error(wrong.value)
    written = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())  # VED's own colors
    assert {char for char in written if not char.isprintable()} == {"\n"}
    assert "\x1b]8" not in terminal.getvalue()
    if text is MARKUP:
        assert len(re.findall(re.escape(text.split()[0]), written)) >= 6
        assert ":smile:" in written
        assert "😄" not in written


def test_error_has_its_parts_below_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal(60)
    Output(CleanStream(terminal), {}).error(VedError(LONG, LONG, code=ErrorCode.WRONG_INPUT))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    starts = [line[:6] for line in lines]
    assert [start for start in starts if start.strip()] == ["ERROR ", "  TIP ", "  SEE "]
    assert lines[-1] == f"  SEE {ErrorCode.WRONG_INPUT.url}"
    assert max(map(len, lines[:-1])) <= 60


def test_log_is_wrapped_at_the_width_of_a_terminal() -> None:
    words = ["a-word-with-hyphens"] * 9
    record = logging.LogRecord("ved", logging.INFO, "", 0, " ".join(words), None, None)
    lines = LogFormatter(width=50).format(record).splitlines()
    assert max(map(len, lines)) <= 50
    assert " ".join(lines).split() == words
    assert LogFormatter().format(record) == " ".join(words)
