"""Workflow commands: one command for each call, and none from any other text in the log."""

import io
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.workflow_commands import Command, commands
from ved.action.masking import RedactedLog, Secrets
from ved.action.workflow_commands import WorkflowCommands
from ved.manifest import Location

PIECES = st.sampled_from(
    ["\n", "\r", "\r\n", "::", "%0A", "%", ":", ",", "::error::", "##[error]", " ", "é"]
)
TEXTS = st.lists(PIECES | st.characters(codec="utf-8"), max_size=10).map("".join)


class Log:
    """A log with the commands that print to it."""

    def __init__(self, *secrets: str) -> None:
        self._buffer = io.BytesIO()
        self._secrets = Secrets()
        for secret in secrets:
            self._secrets.add(secret)
        self.stream = RedactedLog(self._buffer, self._secrets)
        self.commands = WorkflowCommands(self.stream)

    @property
    def text(self) -> str:
        return self._buffer.getvalue().decode()


@given(message=TEXTS, file=TEXTS, title=TEXTS)
def test_annotate_prints_one_command_for_any_text(message: str, file: str, title: str) -> None:
    log = Log()
    log.commands.annotate(message, Location(file, 3, 1), title)
    (error,) = commands(log.text)
    properties = {"file": file, "line": "3", "col": "1"} | ({"title": title} if title else {})
    assert (error.name, error.message, error.properties) == ("error", message, properties)


def test_annotate_needs_no_place() -> None:
    log = Log()
    log.commands.annotate("text", level="warning")
    assert log.text == "::warning::text\n"


@pytest.mark.parametrize("secret", ["a%b", "a:b", "a,b", "a\nb", "a\r\nb"])
def test_annotate_redacts_before_it_escapes(secret: str) -> None:
    log = Log(secret)
    log.commands.annotate(f"x {secret}", Location(secret, 1, 1), title=secret)
    (error,) = commands(log.text)
    assert (error.message, error.properties["file"]) == ("x ***", "***")
    assert error.properties["title"] == "***"


@given(st.lists(TEXTS, max_size=5))
def test_stopped_makes_no_text_a_command(lines: list[str]) -> None:
    log = Log()
    with log.commands.stopped():
        for line in lines:
            log.stream.write(f"{line}\n")
    log.stream.write("::notice::after it\n")
    assert commands(log.text) == [Command("notice", "after it")]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_stopped_ends_with_an_error(error: type[BaseException]) -> None:
    log = Log()
    try:
        with pytest.raises(error), log.commands.stopped():
            raise error
        # The threads of an interrupted run log on.
        assert logging.getLogger("ved").isEnabledFor(logging.ERROR) == (error is ValueError)
    finally:
        logging.disable(logging.NOTSET)
    log.stream.write("::notice::after it\n")
    assert commands(log.text) == [Command("notice", "after it")]


@pytest.mark.parametrize("secret", ["hf_token", "hf_a%0Ab", "hf_a\n::error::b"])
@pytest.mark.parametrize("is_stopped", [False, True])
def test_mask_is_obeyed_and_redacts(secret: str, is_stopped: bool) -> None:
    log = Log()
    if is_stopped:
        with log.commands.stopped():
            log.commands.mask(secret)
            log.stream.write(f"::error::{secret}\n")
    else:
        log.commands.mask(secret)
        log.stream.write(f"it is {secret}\n")
    (mask,) = commands(log.text)
    assert (mask.name, mask.message) == ("add-mask", secret)
    assert log.text.count(secret) == (1 if secret == "hf_token" else 0)  # others are escaped


def test_mask_prints_a_secret_that_contains_a_known_one() -> None:
    log = Log("hf_first")
    log.commands.mask("hf_first_second")
    (mask,) = commands(log.text)
    assert mask.message == "hf_first_second"


def test_mask_from_threads_never_ends_a_stop_too_early() -> None:
    log = Log()
    secrets = [f"hf_{number:03}" for number in range(100)]

    def mask_some(first: int) -> None:
        for secret in secrets[first::4]:
            log.commands.mask(secret)
            log.stream.write("::error::x\n")

    with log.commands.stopped():
        threads = [threading.Thread(target=mask_some, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = commands(log.text)
    assert {command.name for command in found} == {"add-mask"}
    assert sorted(command.message for command in found) == secrets
