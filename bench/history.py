"""The key ratios of each version: history.json, and a table of it for RESULTS.md."""

import datetime
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from ved import __version__

FILE = Path(__file__).with_name("history.json")


class Ratio(NamedTuple):
    """A figure by which versions are compared; both of its sides are measured in one run.

    Attributes:
        name: both sides, such as "cold pair: script / VED". It is a heading of the table.
        value: the ratio.
    """

    name: str
    value: float


class Row(TypedDict):
    """The newest figures of a version.

    Attributes:
        version: the version.
        commit: the commit that was measured last.
        date: the day of that, in ISO 8601.
        ratios: ratios by name.
    """

    version: str
    commit: str
    date: str
    ratios: dict[str, float]


def record(ratios: Sequence[Ratio], file: Path = FILE) -> None:
    """Update the row of this version, or append it. Ratios that were not measured now stay."""
    rows = read(file)
    if not rows or rows[-1]["version"] != __version__:
        rows.append(Row(version=__version__, commit="", date="", ratios={}))
    row = rows[-1]
    row["commit"] = _commit()
    row["date"] = datetime.date.today().isoformat()
    row["ratios"].update({name: float(f"{value:.3g}") for name, value in ratios})
    file.write_text(json.dumps(rows, indent=2) + "\n")


def read(file: Path = FILE) -> list[Row]:
    """Return the rows, oldest first."""
    rows: list[Row] = json.loads(file.read_text()) if file.exists() else []
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table with a line for each ratio and a column for each version."""
    names = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
    lines = [["", *(f"{row['version']}<br>{row['commit']}<br>{row['date']}" for row in rows)]]
    lines.append(["---", *("---:" for _ in rows)])
    lines += [[name, *(_cell(row["ratios"], name) for row in rows)] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def compare(ratios: Sequence[Ratio]) -> str:
    """Return a Markdown table of ratios beside the newest ones of the history."""
    newest = {name: value for row in read() for name, value in row["ratios"].items()}
    lines = [f"| {name} | {value:.3g} | {_cell(newest, name)} |" for name, value in ratios]
    return "\n".join(["| | now | history |", "| --- | ---: | ---: |", *lines])


def _cell(ratios: Mapping[str, float], name: str) -> str:
    return f"{ratios[name]:.3g}" if name in ratios else ""


def _commit() -> str:
    """Return the commit of the working tree, shortened."""
    command = ["git", "-C", str(FILE.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.check_output(command, text=True).strip()
