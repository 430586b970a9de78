"""Write what the documentation says of the code, from the code: `make docs`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from ved.manifest import Pair
from ved.troubles import TROUBLES, Trouble

ROOT = Path(__file__).parents[1]
HEAD = """\
<!-- Written from ved/troubles.py by `make docs`. -->

# Troubleshooting

An error of VED says what is wrong and what to do. Where there is more to say, it ends in a link to
a heading of this page. Errors of a pair are annotated at its lines of `pairs.yaml`, and the job
summary has all of them. `ved plan pairs.yaml` on your own machine finds most of them, too, and
writes nothing.

`OWNER/NAME` stands for the repo that the message names.
"""


def pages() -> dict[Path, str]:
    """Return the pages that are written here, wholly or in part, as they should be."""
    readme = ROOT / "README.md"
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    text = readme.read_text("utf-8")
    for name, table in {
        "inputs": _inputs(action["inputs"]),
        "outputs": _outputs(action["outputs"]),
        "keys": _keys(Pair.model_fields),
    }.items():
        text = _put_between(f"<!-- {name} -->\n", f"<!-- /{name} -->\n", f"\n{table}\n", text)
    return {readme: text, ROOT / "docs" / "troubleshooting.md": troubleshooting()}


def troubleshooting() -> str:
    """Return the page of failures: an index, and what to do for each."""
    index = "\n".join(
        f"- **{section}:** {', '.join(f'[{each.title}](#{kind})' for kind, each in kinds.items())}"
        for section, kinds in TROUBLES.items()
    )
    sections = (
        "\n".join((f"## {section}\n", *map(_entry, kinds.values())))
        for section, kinds in TROUBLES.items()
    )
    return "\n".join((HEAD, index, "", *sections)).rstrip() + "\n"


def _entry(trouble: Trouble) -> str:
    steps = "".join(f"{number}. {step}\n" for number, step in enumerate(trouble.steps, start=1))
    return f"### {trouble.title}\n\n{trouble.meaning}\n\n{steps}"


def _inputs(inputs: dict[str, dict[str, str]]) -> str:
    rows = [
        (f"`{name}`", _code(each["default"]), each["description"]) for name, each in inputs.items()
    ]
    return _table(("input", "default", ""), rows)


def _outputs(outputs: dict[str, dict[str, str]]) -> str:
    rows = [(f"`{name}`", each["description"]) for name, each in outputs.items()]
    return _table(("output", ""), rows)


def _keys(fields: dict[str, FieldInfo]) -> str:
    # What has to be there comes first.
    ordered = sorted(fields.items(), key=lambda item: not item[1].is_required())
    rows = [(f"`{name}`", _default(field), field.description or "") for name, field in ordered]
    return _table(("key", "default", ""), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*needed*"
    value: Any = field.default
    if field.default_factory is not None or value is None:
        return ""
    if isinstance(value, tuple):
        return _code(f"[{', '.join(value)}]" if value else "")
    return _code(str(value).lower())


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _put_between(start: str, end: str, content: str, page: str) -> str:
    """Return a page with other content between two lines of it, which it has once each."""
    pattern = re.escape(start) + ".*" + re.escape(end)
    page, count = re.subn(pattern, lambda _: start + content + end, page, flags=re.DOTALL)
    assert count == 1, start
    return page


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
