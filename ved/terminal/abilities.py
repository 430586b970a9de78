"""Find out what a stream can show: colors, a width to wrap at, and bars that move."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from ved import environment
from ved.logs import CleanStream

_MIN_WIDTH, _MAX_WIDTH = 40, 140
"""Characters of a line. Longer ones are hard to read, and shorter ones have no room for names."""

_OFF = ("", "0")


@dataclass(frozen=True)
class Abilities:
    """The abilities of a stream.

    Attributes:
        width: characters of a line; None for lines of any length, for programs.
        colors: whether to color texts.
        bars: whether to draw bars, which need control characters.
    """

    width: int | None = None
    colors: bool = False
    bars: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether lines are for programs, such as grep."""
        return self.width is None and not self.colors


def abilities_of(
    stream: TextIO | CleanStream, variables: Mapping[str, str] = os.environ
) -> Abilities:
    """Return what a stream can show.

    `NO_COLOR` forbids all control characters. `FORCE_COLOR` asks for colors where there is no
    terminal, such as in a pager or in a log that displays them. A terminal with `TERM=dumb` has
    lines only. `COLUMNS` replaces the width of the terminal. `HF_HUB_DISABLE_PROGRESS_BARS` forbids
    bars. Source of the names: https://no-color.org, https://force-color.org, POSIX and
    huggingface_hub.

    Args:
        stream: where to print.
        variables: the environment.
    """
    is_terminal = stream.isatty()
    term = variables.get("TERM", "")
    if is_terminal and term == "dumb":
        return Abilities()
    forbidden = variables.get("NO_COLOR", "") != ""
    forced = variables.get("FORCE_COLOR", "") not in _OFF
    width = None
    if is_terminal:
        width = min(max(_columns(stream, variables), _MIN_WIDTH), _MAX_WIDTH)
    return Abilities(
        width=width,
        colors=not forbidden and (is_terminal or forced),
        bars=not forbidden and is_terminal and not environment.bars_are_off,
    )


def _columns(stream: TextIO | CleanStream, variables: Mapping[str, str]) -> int:
    chosen = variables.get("COLUMNS", "")
    if chosen.isascii() and chosen.isdecimal() and int(chosen[:5]) > 0:
        return int(chosen[:5])
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns
