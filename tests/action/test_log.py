"""The log of a step: no text is a command, a secret or a control character."""

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.workflow_commands import Command, commands, lines
from ved.action.log import MAX_LINE, StepLog
from ved.action.workflow_commands import WorkflowCommands
from ved.manifest import Location
from ved.redaction import KNOWN
from ved.text import clean

PIECES = st.sampled_from(
    ["\n", "\r", "\r\n", "::", "%0A", "%", ":", ",", "::error::", "##[error]", " ", "é", "\x1b["]
)
TEXTS = st.lists(PIECES | st.characters(), max_size=10).map("".join)


class Log:
    """A log with the commands that print to it."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self.stream = StepLog(self._buffer)
        self.commands = WorkflowCommands(self.stream)

    @property
    def text(self) -> str:
        return self._buffer.getvalue().decode()

    @property
    def shown(self) -> list[str]:
        """The lines that are text."""
        return [line for line in lines(self.text)[:-1] if not line.startswith("::")]


@given(message=TEXTS, file=TEXTS, title=TEXTS)
def test_annotate_prints_one_command_for_any_text(message: str, file: str, title: str) -> None:
    log = Log()
    log.commands.annotate(message, Location(file, 3, 1), title)
    (error,) = commands(log.text)
    properties = {"file": clean(file), "line": "3", "col": "1"}
    properties |= {"title": clean(title)} if title else {}
    expected = ("error", clean(message), properties)
    assert (error.name, error.message, error.properties) == expected


def test_annotate_needs_no_place() -> None:
    log = Log()
    log.commands.annotate("text", level="warning")
    assert log.text == "::warning::text\n"


@pytest.mark.parametrize("secret", ["a%b", "a:b", "a,b", "a\nb", "a\r\nb", "a\x1bb", "a\u202eb"])
def test_annotate_redacts_before_it_escapes(secret: str) -> None:
    log = Log()
    KNOWN.add(secret)
    log.commands.annotate(f"x {secret}", Location(secret, 1, 1), title=secret)
    (error,) = commands(log.text)
    assert (error.message, error.properties["file"]) == ("x ***", "***")
    assert error.properties["title"] == "***"


@given(st.lists(TEXTS, max_size=5))
def test_log_makes_no_text_a_command(texts: list[str]) -> None:
    log = Log()
    for text in texts:
        log.stream.write(text)
        log.commands.annotate("between", level="notice")
        log.stream.write(text)
    log.stream.finish()
    assert commands(log.text) == [Command("notice", "between")] * len(texts)
    assert all(line.isprintable() for line in lines(log.text.replace("\t", " ")))
    after = commands(f"{log.text}::notice::of a later step\n")[len(texts) :]
    assert after == [Command("notice", "of a later step")]


def test_log_stops_commands_with_another_token_each_time() -> None:
    log = Log()
    for _ in range(3):
        log.stream.write("text\n")
        log.commands.annotate("x")
    stops = [line for line in lines(log.text) if line.startswith("::stop-commands::")]
    assert len({*stops}) == 3


@pytest.mark.parametrize("text", ["it is hf_x\n", "\ud800 hf_x\n", "é hf_x\r\n", "hf_x\t\x00\n"])
def test_log_writes_lines_without_secrets(text: str) -> None:
    log = Log()
    KNOWN.add("hf_x")
    print(text, end="", file=log.stream)
    assert log.shown == [clean(text.strip("\r\n"), keep="\t")]
    assert "***" in log.shown[0]


def test_log_finds_a_secret_that_is_printed_in_parts() -> None:
    log = Log()
    KNOWN.add("hf_first_second")
    print("it is hf_first", end="", file=log.stream)
    print("_second", file=log.stream)
    assert log.shown == ["it is ***"]


def test_log_shortens_a_line() -> None:
    log = Log()
    log.stream.write("x" * 5_000_000 + "\nnext\n")
    first, second = log.shown
    assert (len(first), second) == (MAX_LINE, "next")
    assert first.endswith("… (5,000,000 characters)")


def test_log_takes_bytes() -> None:
    log = Log()
    log.stream.buffer.write(b"::error::x\xff\n")
    assert (commands(log.text), len(lines(log.text))) == ([], 3)


@pytest.mark.parametrize("secret", ["hf_token", "hf_a%0Ab", "hf_a\n::error::b"])
def test_mask_is_obeyed_and_redacts(secret: str) -> None:
    log = Log()
    log.stream.write("before\n")
    log.commands.mask(secret)
    log.stream.write(f"::error::{secret}\n")
    (mask,) = commands(log.text)
    assert (mask.name, mask.message) == ("add-mask", secret)
    assert log.text.count(secret) == (1 if secret == "hf_token" else 0)  # others are escaped


def test_mask_prints_a_secret_that_contains_a_known_one() -> None:
    log = Log()
    KNOWN.add("hf_first")
    log.commands.mask("hf_first_second")
    (mask,) = commands(log.text)
    assert mask.message == "hf_first_second"


def test_mask_from_threads_makes_no_text_a_command() -> None:
    log = Log()
    secrets = [f"hf_{number:03}" for number in range(100)]

    def mask_some(first: int) -> None:
        for secret in secrets[first::4]:
            log.commands.mask(secret)
            log.stream.write("::error::x\n")

    threads = [threading.Thread(target=mask_some, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = commands(log.text)
    assert {command.name for command in found} == {"add-mask"}
    assert sorted(command.message for command in found) == secrets
