"""RESULTS.md: a section for each thing measured, with the machine that it was measured on."""

import os
import platform
import re
from pathlib import Path

from bench import history

FILE = Path(__file__).with_name("RESULTS.md")
_PREAMBLE = (
    "# Results\n\n"
    "Written by `make bench`. `python -m bench SECTION` measures one section again and leaves the "
    "others. Each section waits until the machine is idle, or says that it was not. Times depend "
    "on the machine. The two sides of a ratio are measured in turns, so compare ratios. "
    "[Steps](STEPS.md) has what made assembly faster.\n\n"
    "## Ratios by version\n\n"
)


def keep(title: str, body: str, order: tuple[str, ...]) -> None:
    """Put a section in place of the one of its title; the others stay.

    Args:
        title: the heading of the section.
        body: Markdown, without headings of the first or second level.
        order: the titles of all sections, in order; one that is in the file alone is dropped.
    """
    kept = {**_sections(), title: body}
    sections = [f"## {name}\n\n{kept[name]}" for name in order if name in kept]
    first = _PREAMBLE + history.table(history.read())
    FILE.write_text("\n\n".join([first, *sections]) + "\n")


def machine() -> str:
    """Describe this machine in one sentence."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = f"{os.cpu_count()} cores ({_processor()})"
    return f"On {cores}, {memory:.0f} GiB, Python {platform.python_version()}."


def _sections() -> dict[str, str]:
    """Return what the file has below each heading of the second level."""
    _, *parts = re.split("^## (.*)\n", FILE.read_text(), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
