"""Write what the documentation says of the code, from the code: `make docs`."""

import re
from pathlib import Path
from typing import Any

import yaml

from docs import reference
from docs.tables import code, table

ROOT = Path(__file__).parents[1]


def pages() -> dict[Path, str]:
    """Return the pages that are written here, wholly or in part, as they should be."""
    readme, workflows = ROOT / "README.md", ROOT / "docs" / "workflows.md"
    action = _load(ROOT / "action.yml")
    called = _load(ROOT / ".github" / "workflows" / "build-pairs.yml")["on"]["workflow_call"]
    tables = {
        "inputs": _inputs(action["inputs"]),
        "outputs": _described("output", action["outputs"]),
    }
    of_called = {
        "inputs": _inputs(called["inputs"]),
        "secrets": _described("secret", called["secrets"]),
    }
    return {
        readme: _with_tables(readme, tables),
        workflows: _with_tables(workflows, of_called),
        ROOT / "docs" / "manifest.md": reference.manifest(),
    }


def _load(path: Path) -> dict[str, Any]:
    """Read YAML with every scalar as text, `on` included, which otherwise is true."""
    value: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506
    return value


def _inputs(inputs: dict[str, dict[str, str]]) -> str:
    rows = [
        (code(name), code(each["default"]), each["description"]) for name, each in inputs.items()
    ]
    return table(("input", "default", ""), rows)


def _described(kind: str, things: dict[str, dict[str, str]]) -> str:
    rows = [(code(name), each["description"]) for name, each in things.items()]
    return table((kind, ""), rows)


def _with_tables(path: Path, tables: dict[str, str]) -> str:
    page = path.read_text("utf-8")
    for name, content in tables.items():
        page = _put_between(f"<!-- {name} -->\n", f"<!-- /{name} -->\n", f"\n{content}\n", page)
    return page


def _put_between(start: str, end: str, content: str, page: str) -> str:
    """Return a page with other content between two lines of it, which it has once each."""
    pattern = re.escape(start) + ".*" + re.escape(end)
    page, count = re.subn(pattern, lambda _: start + content + end, page, flags=re.DOTALL)
    assert count == 1, start
    return page


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
