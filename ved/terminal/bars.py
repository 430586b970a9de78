"""Draw the progress of a run at the bottom of a terminal, below the lines of the log.

Each running step has a bar, and the last line is about the whole run:

    Downloading  me/vit-gpt2    ━━━━━━━━━━━━╸━━━━━━━━   312.0 MB of 500.0 MB
    Publishing   me/beit-bert   ━━━━━━━━━━━━━━━━━━━━━     1.2 GB of 1.2 GB
    34% of 4.4 GB after 1:20, about 2:40 left
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import TextIOBase
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ved.logs import CleanStream
from ved.sizes import format_size

_PER_SECOND = 5
"""How often bars are drawn."""

_BARS_WIDTH, _OTHER_COLUMNS = 64, 49
"""Columns of the narrowest terminal with bars, and of all but the longest repo."""

_MIN_SHARE, _MIN_SECONDS = 0.03, 5.0
"""The share and the time of a run before which nobody can tell how long the rest takes."""


@dataclass(frozen=True)
class RunningStep:
    """A step of a pair that is not finished.

    Attributes:
        repo: the repo of the pair.
        verb: what is done, such as "Downloading".
        done: bytes so far; None if unknown.
        size: bytes of the whole step; 0 if unknown.
    """

    repo: str
    verb: str
    done: int | None
    size: int


@dataclass(frozen=True)
class RunState:
    """The progress of a run.

    Attributes:
        steps: the steps that are not finished, in the order of their beginnings.
        done: bytes of all steps so far.
        total: bytes of the whole run.
        seconds: the duration so far.
    """

    steps: Sequence[RunningStep]
    done: int
    total: int
    seconds: float


@contextmanager
def live_bars(state: Callable[[], RunState], *streams: TextIO | CleanStream) -> Iterator[None]:
    """Draw bars while the block runs, and remove them at its end.

    Args:
        state: returns the progress; called several times a second, in another thread.
        streams: what is written to them appears above the bars, which are drawn on the first one.
    """
    with _live(lambda width: _render(state(), width), streams):
        yield


@contextmanager
def live_text(text: str, *streams: TextIO | CleanStream) -> Iterator[None]:
    """Display what is being done while the block runs, and remove it at its end."""
    spinner = Spinner("line", Text(text), style="cyan")
    with _live(lambda _: spinner, streams):
        yield


@contextmanager
def _live(
    render: Callable[[int], RenderableType], streams: Sequence[TextIO | CleanStream]
) -> Iterator[None]:
    is_clean = isinstance(streams[0], CleanStream)
    terminal = streams[0].raw if isinstance(streams[0], CleanStream) else streams[0]
    console = Console(
        file=terminal,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        markup=False,
        legacy_windows=False,
    )
    with ExitStack() as stack:
        stack.enter_context(
            Live(
                console=console,
                get_renderable=lambda: render(console.width),
                refresh_per_second=_PER_SECOND,
                transient=True,
                # A program that uses VED as a library may print, too.
                redirect_stdout=not is_clean,
                redirect_stderr=not is_clean,
            )
        )
        above = _Above(console)
        stack.callback(above.finish)
        for stream in streams:
            if isinstance(stream, CleanStream):
                stack.enter_context(stream.diverted(above))
        yield


class _Above(TextIOBase):
    """Writes whole lines above the bars of a console.

    Args:
        console: the console that draws bars.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._pending = ""

    def write(self, text: str) -> int:
        """Write the lines of a text. Its last line, if it has no end yet, is written later."""
        *lines, self._pending = f"{self._pending}{text}".split("\n")
        for line in lines:
            self._console.print(Text(line), soft_wrap=True)
        return len(text)

    def finish(self) -> None:
        """Write a line that has no end."""
        if self._pending:
            self.write("\n")


def _render(state: RunState, width: int) -> Group:
    """Return the bars for a terminal of some columns; a narrow one has percentages instead."""
    is_wide = width >= _BARS_WIDTH
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    most = width - _OTHER_COLUMNS if is_wide else None
    ratio = None if is_wide else 1
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=most, ratio=ratio)
    if is_wide:
        table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for step in state.steps:
        # Text objects: a string could contain the library's own markup.
        head, amount = (Text(step.verb), Text(step.repo, "bold")), Text(_amount(step))
        table.add_row(*head, *((_bar(step), amount) if is_wide else (Text(_share(step)),)))
    return Group(table, Text(_sentence(state), "bold"))


def _bar(step: RunningStep) -> ProgressBar:
    is_measured = step.done is not None and step.size > 0
    return ProgressBar(
        total=step.size if is_measured else None,
        completed=step.done or 0,
        # Colors of the terminal's own palette are readable on dark and on light backgrounds.
        style="bright_black",
        complete_style="cyan",
        finished_style="cyan",
        pulse_style="cyan",
    )


def _share(step: RunningStep) -> str:
    return f"{step.done / step.size:.0%}" if step.done is not None and step.size else ""


def _amount(step: RunningStep) -> str:
    size = format_size(step.size) if step.size else ""
    return size if step.done is None or not size else f"{format_size(step.done)} of {size}"


def _sentence(state: RunState) -> str:
    """Return how far a run is, such as "34% of 4.4 GB after 1:20, about 2:40 left"."""
    elapsed = f"after {format_seconds(state.seconds)}"
    if not state.total:
        return elapsed.capitalize()
    share = min(state.done / state.total, 1.0)
    text = f"{share:.0%} of {format_size(state.total)} {elapsed}"
    if not _MIN_SHARE < share < 1 or state.seconds < _MIN_SECONDS:
        return text
    return f"{text}, about {format_seconds(state.seconds / share - state.seconds)} left"


def format_seconds(seconds: float) -> str:
    """Return a duration as minutes and seconds, such as 1:20, or with hours, such as 2:01:20."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
