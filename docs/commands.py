"""Generate docs/commands.md, the reference of the command line, from its parser."""

import argparse
from collections.abc import Iterator

from docs.tables import code, table
from ved.arguments import build_parser

HEAD = """\
<!-- Generated from ved/arguments.py and docs/commands.py by `make docs`. -->

# Commands

`ved` is the command line of VED. The action runs the same code. `ved COMMAND --help` prints the
text of this page.

```
pip install "ved @ git+https://github.com/ved-action/ved@v0.1.0"
```

If VED has no release yet, write `@main` instead of the tag.

A token comes from the variable `HF_TOKEN` or from `hf auth login`.
[Workflows](workflows.md#environment-variables) lists all variables.

| exit status | meaning |
| --- | --- |
| 0 | success |
| 1 | a pair failed or was refused, or a checkpoint differs |
| 2 | the request was wrong, such as an invalid manifest; nothing was done |

In a terminal, each running step of a build has a bar, and texts are wrapped and colored:

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="images/terminal-bars-dark.svg">
  <img src="images/terminal-bars-light.svg" alt="A plan, and a bar for each running step.">
</picture>

Anywhere else, the results are plain lines: one for each pair, and below it a line for each finding,
which begins with a space. Results are on standard output. The log, the bars and the last line,
which counts the pairs, are on standard error.

With `--json`, the results are a list with an object for each pair, as in
[the output `results`](action.md#outputs) of the action. `place` is the place of the pair in the
manifest, and each of `errors` has a code, a message and a place.

| variable | effect |
| --- | --- |
| `NO_COLOR` | no colors and no bars |
| `FORCE_COLOR` | colors outside of a terminal, too, such as for `less -R` |
| `TERM=dumb` | plain lines in a terminal, too |
| `HF_HUB_DISABLE_PROGRESS_BARS=1` | no bars |
| `COLUMNS=60` | lines of 60 characters in a terminal, whatever its width is |

"""


def commands() -> str:
    """Return the page, in Markdown."""
    subparsers = dict(_subparsers(build_parser()))
    index = table(
        ("command", ""),
        [(f"[`ved {name}`](#ved-{name})", _sentence(each)) for name, each in subparsers.items()],
    )
    sections = (_section(name, each) for name, each in subparsers.items())
    return "\n".join((f"{HEAD}{index}", *sections))


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _sentence(parser: argparse.ArgumentParser) -> str:
    text = parser.description or ""
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    public = [each for each in parser._actions if each.help != argparse.SUPPRESS]
    rows = [(_names(each), _help(each)) for each in public if each.dest != "help"]
    options = f"\n{table(('argument', ''), rows)}" if rows else ""
    epilog = f"\n{parser.epilog}\n" if parser.epilog else ""
    return f"## `ved {name}`\n\n{_sentence(parser)}\n{options}{epilog}"


def _names(action: argparse.Action) -> str:
    """Return how a user writes an argument, such as `--port PORT`."""
    value = "" if action.nargs == 0 else _value(action)
    if not action.option_strings:
        repeated = f"{value} ..." if action.nargs in ("*", "+") else value
        return code(f"[{repeated}]" if action.nargs in ("*", "?") else repeated)
    return ", ".join(code(f"{each} {value}".strip()) for each in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    return name if action.metavar or not action.option_strings else name.upper()


def _help(action: argparse.Action) -> str:
    parts = ["required" if action.required and action.option_strings else "", action.help or ""]
    return "; ".join(filter(None, parts))
