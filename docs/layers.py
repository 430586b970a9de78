"""Quote the layers of the packages, and list the packages with their docstrings."""

import ast
import re
from pathlib import Path

from docs.tables import code, table

ROOT = Path(__file__).parents[1]
ORDER = (
    *(
        "cli",
        "action",
        "arguments",
        "commands",
        "completion",
        "starter",
        "execution",
        "terminal",
        "results",
        "planning",
        "publishing",
        "record",
    ),
    *(
        "examination",
        "assembly",
        "machine",
        "sources",
        "tensors",
        "tokenization",
        "families",
        "manifest",
        "hub",
        "sizes",
        "text",
    ),
    *(
        "markdown",
        "strict_json",
        "logs",
        "errors",
        "limits",
        "environment",
        "interruption",
        "parser",
        "redaction",
        "garbage",
        "modeling",
        "localhub",
    ),
)
"""The packages and modules of ved, highest layer first, then the two that stand alone."""


def contract() -> str:
    """Return the import-linter contract of pyproject.toml, verbatim."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    # Tables begin with a bracket at the start of a line.
    tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    quoted = "".join(each for each in tables if re.match(r"\[+tool\.importlinter", each))
    return f"```toml\n{quoted.strip()}\n```\n"


def packages() -> str:
    """Return a table of the packages and modules, with the first line of their docstrings."""
    found = {path.stem: path for path in (ROOT / "ved").iterdir() if _is_listed(path)}
    assert sorted(found) == sorted(ORDER), "docs/layers.py has other packages"
    rows = []
    for name in ORDER:
        path = found[name]
        label = f"ved/{path.name}" + ("/" if path.is_dir() else "")
        source = path / "__init__.py" if path.is_dir() else path
        docstring = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
        rows.append((f"[{code(label)}](../{label})", docstring.partition("\n")[0]))
    return table(("package", "content"), rows)


def _is_listed(path: Path) -> bool:
    return not path.name.startswith("_") and (path.is_dir() or path.suffix == ".py")
