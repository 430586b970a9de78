"""What a stream can show, by the environment."""

import io
import os
import pty
import termios

import pytest

from ved import environment
from ved.terminal.abilities import Abilities, abilities_of

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


PLAIN = Abilities()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, PLAIN),
        ({"TERM": "xterm", "NO_COLOR": "1"}, PLAIN),
        ({"FORCE_COLOR": "1"}, Abilities(colors=True)),
        ({"FORCE_COLOR": "0"}, PLAIN),
        ({"FORCE_COLOR": "", "TERM": "dumb"}, PLAIN),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, PLAIN),
    ],
)
def test_abilities_of_a_pipe(variables: dict[str, str], expected: Abilities) -> None:
    assert abilities_of(io.StringIO(), variables) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TERM": "xterm"}, Abilities(80, colors=True, bars=True)),
        ({}, Abilities(80, colors=True, bars=True)),
        ({"NO_COLOR": ""}, Abilities(80, colors=True, bars=True)),
        ({"NO_COLOR": "1"}, Abilities(80)),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Abilities(80)),
        ({"COLUMNS": "50", "NO_COLOR": "1"}, Abilities(50)),
        ({"COLUMNS": "wide", "NO_COLOR": "1"}, Abilities(80)),
        ({"TERM": "dumb"}, PLAIN),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, PLAIN),
    ],
)
def test_abilities_of_a_terminal(
    variables: dict[str, str], expected: Abilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert abilities_of(Terminal(), variables) == expected


def test_abilities_have_no_bars_if_the_user_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "bars_are_off", True)
    assert abilities_of(Terminal(), {}) == Abilities(80, colors=True)


@pytest.mark.parametrize(
    ("columns", "width"), [(20, 40), (60, 60), (100, 100), (500, 140), (0, 80)]
)
def test_abilities_have_the_width_of_the_terminal(columns: int, width: int) -> None:
    ours, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, (24, columns))
    with os.fdopen(its_end, "w") as stream:
        assert abilities_of(stream, {}).width == width
    os.close(ours)
