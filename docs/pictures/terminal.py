"""Take the pictures of a terminal, light and dark: `python -m docs.pictures.terminal`.

`ved plan` and `ved build` run in a terminal of 100 columns on a local Hub. The build is also
pictured while its bars move. The samples are wider than usual, so that each step takes some time.
"""

import os
import pty
import re
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ved import environment

environment.prepare()  # before the imports that read it

from rich._export_format import CONSOLE_SVG_FORMAT  # noqa: E402
from rich.ansi import AnsiDecoder  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme  # noqa: E402
from rich.text import Text  # noqa: E402

from docs.pictures.wide_samples import SOURCES  # noqa: E402
from ved.localhub import LocalHub, samples  # noqa: E402

FOLDER = Path(__file__).parents[1] / "images"
COLUMNS, ROWS = 100, 40
TOKEN = "hf_pictures"  # noqa: S105 - only for the local Hub
BEFORE = """\
namespace: my-org
defaults: {license: apache-2.0, language: en}
pairs:
  - {repo: dinov2-roberta, encoder: facebook/dinov2-base, decoder: FacebookAI/roberta-base}
"""
AFTER = f"""\
{BEFORE}\
  - {{repo: vit-gpt2, encoder: google/vit-base-patch16-224-in21k, decoder: openai-community/gpt2}}
  - {{repo: dinov2-gpt2, encoder: facebook/dinov2-base, decoder: openai-community/gpt2}}
  - {{repo: vit-misspelled, encoder: google/vit-bse, decoder: openai-community/gpt2}}
"""

# The colors of GitHub's light theme.
LIGHT = TerminalTheme(
    (255, 255, 255),
    (31, 35, 40),
    [
        (36, 41, 47),
        (207, 34, 46),
        (17, 99, 41),
        (77, 45, 0),
        (9, 105, 218),
        (130, 80, 223),
        (27, 124, 131),
        (110, 119, 129),
    ],
    [
        (87, 96, 106),
        (164, 14, 38),
        (26, 127, 55),
        (99, 60, 1),
        (33, 139, 255),
        (164, 117, 249),
        (49, 146, 170),
        (140, 149, 159),
    ],
)
THEMES = {"light": LIGHT, "dark": DIMMED_MONOKAI}

# Fonts of the reader's machine; rich would fetch one from another server.
SVG = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)

_CONTROL = re.compile(rb"\x1b\[([0-9;?]*)([A-Za-z])|\r\n|\r|\n")


def main() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as name, LocalHub(like_production=True) as hub:
        folder = Path(name)
        hub.add_user("me", token=TOKEN, organizations={"my-org": "write"})
        samples.publish(hub, SOURCES)
        variables = {
            **os.environ,
            **{"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(folder / "cache")},
            "TERM": "xterm-256color",
        }
        (folder / "pairs.yaml").write_text(BEFORE)
        run(folder, variables, "build")
        (folder / "pairs.yaml").write_text(AFTER)
        *_, plan = screens(run(folder, variables, "plan"))
        *running, build = screens(run(folder, variables, "build"))
    take("terminal-plan", "ved plan", plan, hub.endpoint)
    take("terminal-build", "ved build", build, hub.endpoint)
    take("terminal-bars", "ved build", max(running, key=moved_bars), hub.endpoint)


def moved_bars(lines: Sequence[str]) -> int:
    """Return how many bars of a screen are neither empty nor full."""
    return sum("\x1b[36m━" in line and "\x1b[90m━" in line for line in lines)


def run(folder: Path, variables: Mapping[str, str], command: str) -> bytes:
    """Return what a command writes to a terminal."""
    terminal, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, (ROWS, COLUMNS))
    received = b""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "ved", command],
        **dict.fromkeys(("stdin", "stdout", "stderr"), its_end),
        cwd=folder,
        env={**variables, "PYTHONPATH": str(Path(__file__).parents[2])},
    ):
        os.close(its_end)
        with suppress(OSError):  # which ends it, once nobody writes any more
            while piece := os.read(terminal, 2**16):
                received += piece
    os.close(terminal)
    return received


def screens(received: bytes) -> Iterator[list[str]]:
    """Yield the lines of the screen whenever it is about to be erased, and at the end.

    Knows what rich writes: ends of lines, `CSI A` to go up, `CSI 2K` to erase a line, and colors.
    """
    lines, row, start = [b""], 0, 0
    for match in _CONTROL.finditer(received):
        lines[row] += received[start : match.start()]
        start = match.end()
        if match[0] in (b"\n", b"\r\n"):
            row += 1
            lines += [b""] * (row == len(lines))
        elif match[2] == b"A":
            row -= int(match[1] or 1)
        elif match[2] == b"K":
            yield [line.decode() for line in lines]
            lines[row] = b""
        elif match[2] == b"m":
            lines[row] += match[0]
    lines[row] += received[start:]
    yield [line.decode() for line in lines]


def take(name: str, title: str, lines: Sequence[str], endpoint: str) -> None:
    """Write a picture of lines with colors, in each theme."""
    for theme, colors in THEMES.items():
        with Path(os.devnull).open("w") as nowhere:
            console = Console(
                record=True, width=COLUMNS, file=nowhere, force_terminal=True, highlight=False
            )
            console.print(Text(f"$ {title}"))
            text = "\n".join(lines).replace(endpoint, "https://huggingface.co").rstrip()
            for line in AnsiDecoder().decode(text):
                console.print(line, soft_wrap=False)
            svg = console.export_svg(title="", theme=colors, code_format=SVG, unique_id=name)
        (FOLDER / f"{name}-{theme}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
