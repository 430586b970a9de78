"""A place in a manifest, and a problem at a place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ved.errors import ErrorCode, with_links
from ved.text import clean


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file.

    Attributes:
        file: the file's name, as its reader was given it.
        line: the line, counted from 1.
        column: the character within the line, counted from 1.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem(Location):
    """One mistake in a file, at its place.

    Attributes:
        message: what is wrong and, if known, what to write instead; one line.
        code: the heading of docs/troubleshooting.md that explains the mistake.
    """

    message: str
    code: ErrorCode

    def __post_init__(self) -> None:
        """Clean the message, which may quote the file."""
        object.__setattr__(self, "message", clean(self.message))

    @classmethod
    def at(cls, where: Location, message: str, code: ErrorCode) -> "Problem":
        """Return a problem at a place."""
        return cls(where.file, where.line, where.column, message, code)

    @property
    def text(self) -> str:
        """The message and the address of its explanation, without the place."""
        return with_links(self.message, [self.code])

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.message}"


def keep_first_at_each_place(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield the first problem of each place, with the number of the others in its message.

    One wrong key of a grid is wrong for many cells; its author corrects it once.
    """
    by_place: dict[Location, list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        where = Location(problem.file, problem.line, problem.column)
        by_place.setdefault(where, []).append(problem)
    for where, (first, *others) in by_place.items():
        count = f" (and {len(others)} more like it)" if others else ""
        yield Problem.at(where, f"{first.message}{count}", first.code)
