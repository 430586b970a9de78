"""Parse the arguments of a command line, and suggest a right name for a wrong one."""

import argparse
import difflib
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from ved.text import quoted, shorten, wrap_words

_MEANT: Mapping[str, Collection[str]] = {
    "init": ("new", "create", "start", "setup"),
    "validate": ("check", "lint", "test"),
    "families": ("list", "models"),
    "plan": ("dry-run", "preview", "diff", "status"),
    "build": ("publish", "push", "upload", "deploy", "run", "apply"),
    "assemble": ("merge", "join", "convert"),
    "localhub": ("hub", "serve", "server"),
}
"""The commands that people guess, by the command that is meant."""

_ABOUT_TOKENS = "a token comes from the variable HF_TOKEN or from hf auth login"
_ABSENT: Mapping[str, str] = {
    "--token": _ABOUT_TOKENS,
    "--hf-token": _ABOUT_TOKENS,
    "--hub-token": _ABOUT_TOKENS,
    "--dry-run": "ved plan prints what a build would do",
}
"""Options that people guess and that no command has, with what to do instead."""

_MAX_UNKNOWN = 200
"""The most characters of unknown arguments that an error quotes."""


class WholeWords(argparse.HelpFormatter):
    """Wraps texts between words only, so that addresses and paths can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap_words(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(f"{indent}{line}" for line in self._split_lines(text, width))


class CommandList(WholeWords):
    """Formats the list of commands in two columns, also in Python 3.11."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = len("    completion")


class Parser(argparse.ArgumentParser):
    """A parser without colors: what it prints is cleaned of control characters."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": WholeWords, **options})
        self.color = False  # Python 3.14 colors helps and errors

    def nearest(self, name: str, choices: Iterable[str] = ()) -> str | None:
        """Return the choice or option that a misspelled name means; None if there is none."""
        word = name.lower()
        meant = [choice for choice in choices if word in _MEANT.get(choice, ())]
        options = [name for action in self._actions for name in action.option_strings]
        near = difflib.get_close_matches(word, [*choices, *options], n=1)
        return next(iter(meant or near), None)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a wrong choice with the same text in each version of Python."""
        if action.choices is None or value in action.choices:
            return
        near = self.nearest(str(value), action.choices)
        hint = f"did you mean {near}?" if near else f"choose from {', '.join(action.choices)}"
        raise argparse.ArgumentError(action, f"invalid choice: {quoted(value)}; {hint}")

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Return the parsed arguments.

        Wrong arguments print the usage of their command, and end the process with status 2.
        Without a command, the overview of all commands is printed instead.

        Args:
            arguments: the arguments; those of the process if None.
        """
        given = sys.argv[1:] if arguments is None else arguments
        for name in (each.partition("=")[0] for each in given):
            # before argparse, whose errors would quote the token
            if hint := _ABSENT.get(name.lower().replace("_", "-")):
                self.error(f"there is no option {name}: {hint}")
        options, unknown = self.parse_known_args(given)
        command: Parser = getattr(options, "parser", self)
        if unknown:
            # argparse itself would print the usage of the main command.
            command.refuse(unknown)
        if command is self:
            self.print_help(sys.stderr)
            self.exit(2)
        return options

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End the process with the error of arguments that no parser knows."""
        name = unknown[0].partition("=")[0]
        near = self.nearest(name)
        if near == name:
            self.error(f"{name} is an option of {self.prog}: write it after {self.prog}")
        hint = f"; did you mean {near}?" if near else ""
        self.error(f"unrecognized arguments: {shorten(' '.join(unknown), _MAX_UNKNOWN)}{hint}")
