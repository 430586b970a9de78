"""What the documentation shows, cut out of it: commands, files, and what programs print."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.environments import quick_models


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: what follows the fence, such as bash.
        content: its lines.
        file: what to write it to: what the paragraph before ends with, as code and with a colon.
    """

    language: str
    content: str
    file: str = ""


def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))


def blocks(page: Path) -> list[Block]:
    found, before = [], ""
    for token in tokens(page):
        if token.type == "fence":
            file = re.search(r"`([^`]+)`:$", before)
            found.append(Block(token.info, token.content, file[1] if file else ""))
        if token.type in ("inline", "fence"):
            before = token.content if token.type == "inline" else ""
    return found


def script(shown: Sequence[Block]) -> str:
    """Return a bash script that does what a reader does with some blocks, in their order."""
    parts = []
    for block in shown:
        if block.file:
            parts.append(f"cat > {block.file} <<'END OF FILE'\n{block.content}END OF FILE\n")
        elif block.language == "bash":
            parts.append(block.content)
    return "".join(parts)


def run(commands: str, folder: Path, variables: Mapping[str, str]) -> str:
    """Run a bash script that stops at the first failure, and return all that it prints."""
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def running(
    commands: str, folder: Path, variables: Mapping[str, str], until: str
) -> Iterator[list[str]]:
    """Run a bash script in the background, once it has printed a line that begins so.

    Yields the lines up to that one.
    """
    process = subprocess.Popen(
        ["bash", "-euc", commands],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        printed: list[str] = []
        for line in process.stdout:
            printed.append(line.rstrip("\n"))
            if line.startswith(until):
                break
        assert printed[-1].startswith(until), printed
        yield printed
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def environment(folder: Path, root: Path, interpreter: Path) -> dict[str, str]:
    """Return the variables of a reader who has installed VED, and nothing else.

    Args:
        folder: the reader's home.
        root: the checkout of VED.
        interpreter: a Python that has what VED needs.
    """
    programs = folder / "programs"
    programs.mkdir(parents=True)
    ved = programs / "ved"
    ved.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {interpreter} -P -m ved "$@"\n')
    ved.chmod(0o755)
    installed = folder / "installed"
    installed.mkdir()
    (installed / "ved").symlink_to(root / "ved")
    who = {"NAME": "Reader", "EMAIL": "reader@example.org"}
    return {
        "PATH": f"{programs}:{interpreter.parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(installed),
        **quick_models(),
        **{f"GIT_{role}_{key}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who},
    }
