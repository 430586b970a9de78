"""Write the parts of the documentation that come from the code: `make docs`."""

import re
from pathlib import Path
from typing import Any

import yaml

from docs import layers, notebooks, python_api, reference
from docs.commands import commands
from docs.error_codes import error_codes
from docs.keyless_workflow import keyless_workflow
from docs.pictures import warm_start
from docs.tables import code, table
from ved import environment
from ved.families.overview import overview

ROOT = Path(__file__).parents[1]


def pages() -> dict[Path, str]:
    """Return the up-to-date text of each page that is generated, wholly or in part."""
    docs = ROOT / "docs"
    action = _load(ROOT / "action.yml")
    workflows = ROOT / ".github" / "workflows"
    called = _load(workflows / "build-pairs.yml")["on"]["workflow_call"]
    of_action = {
        "inputs": _inputs(action["inputs"]),
        "outputs": _described("output", action["outputs"]),
    }
    of_called = {
        "inputs": _inputs(called["inputs"]),
        "secrets": _described("secret", called["secrets"]),
        "variables": table(
            ("variable", ""), [(code(name), text) for name, text in environment.HONORED.items()]
        ),
    }
    architecture = {"packages": layers.packages(), "contract": layers.contract()}
    return {
        docs / "action.md": _with_parts(docs / "action.md", of_action),
        docs / "families.md": _with_parts(docs / "families.md", {"families": _families()}),
        docs / "commands.md": commands(),
        docs / "workflows.md": _with_parts(docs / "workflows.md", of_called),
        docs / "architecture.md": _with_parts(docs / "architecture.md", architecture),
        docs / "troubleshooting.md": _with_parts(
            docs / "troubleshooting.md",
            {"codes": error_codes((docs / "troubleshooting.md").read_text("utf-8"))},
        ),
        docs / "python-api.md": _with_parts(
            docs / "python-api.md", {"reference": python_api.reference()}
        ),
        docs / "manifest.md": reference.manifest(),
        **notebooks.notebooks(),
        workflows / "build-pairs-keyless.yml": keyless_workflow(
            (workflows / "build-pairs.yml").read_text("utf-8")
        ),
        **warm_start.pictures(),
    }


def _load(path: Path) -> dict[str, Any]:
    """Read YAML with every scalar as text: YAML 1.1 reads the key `on` as true."""
    value: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506
    return value


def _families() -> str:
    rows = [
        (
            code(each.family),
            each.role,
            code(each.published_as),
            each.flax_class.replace("generate", "`generate`"),
            f"[{each.model}](https://huggingface.co/{each.model})",
        )
        for each in overview()
    ]
    return table(("family", "role", "published as", "transformers' Flax class", "example"), rows)


def _inputs(inputs: dict[str, dict[str, str]]) -> str:
    rows = [
        (code(name), code(each["default"]), each["description"]) for name, each in inputs.items()
    ]
    return table(("input", "default", ""), rows)


def _described(kind: str, things: dict[str, dict[str, str]]) -> str:
    rows = [(code(name), each["description"]) for name, each in things.items()]
    return table((kind, ""), rows)


def _with_parts(path: Path, parts: dict[str, str]) -> str:
    page = path.read_text("utf-8")
    for name, content in parts.items():
        page = _put_between(f"<!-- {name} -->\n", f"<!-- /{name} -->\n", f"\n{content}\n", page)
    return page


def _put_between(start: str, end: str, content: str, page: str) -> str:
    """Replace the content between two lines of a page, each of which occurs once."""
    pattern = re.escape(start) + ".*" + re.escape(end)
    page, count = re.subn(pattern, lambda _: start + content + end, page, flags=re.DOTALL)
    assert count == 1, start
    return page


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
