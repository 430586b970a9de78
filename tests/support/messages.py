"""All wording that users may read, kept in one file so that a change of it is one diff to read.

`python -m tests.support.messages` writes messages.txt after a change of a text in ved/. Texts are
found in the code, not by running it: every string of several words that is no docstring. The
model card's templates are files of their own already.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ved.errors import ErrorCode

PATH = Path(__file__).with_name("messages.txt")
ROOT = Path(__file__).parents[2]

_PROSE = re.compile(r"[A-Za-z]{2,}\W*\s.*[a-z]", re.DOTALL)
_NO_CODE = "-"


def collect_messages() -> list[str]:
    """Return each text as `module: error code: template`, sorted; `-` where there is no code."""
    found = set()
    for path in sorted((ROOT / "ved").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        for code, template in _templates(tree, _NO_CODE):
            found.add(f"{module.removesuffix('.__init__')}: {code}: {template}")
    return sorted(found)


def _templates(
    node: ast.AST, code: str, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the texts below a node, each with the code of the call that gets it.

    Args:
        node: where to search.
        code: the code of the call around the node.
        variables: names of variables that calls in the function around the node get, with the
            code of these calls.
    """
    variables = variables or {}
    children = list(_values(node))
    if isinstance(node, ast.Constant | ast.JoinedStr):
        template = _template(node)
        if _PROSE.search(template):
            yield code, template.encode("unicode_escape").decode("ascii")
        children = [part for part in children if isinstance(part, ast.FormattedValue)]
    elif isinstance(node, ast.Call):
        code = _code_of(node) or code
    elif isinstance(node, ast.FunctionDef):
        variables = _variables_with_code(node)
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        code = variables.get(node.targets[0].id, code)
    for child in children:
        yield from _templates(child, code, variables)


def _variables_with_code(function: ast.FunctionDef) -> dict[str, str]:
    """Return the names in calls that get an error code, with that code."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {
        name.id: code
        for call in calls
        if (code := _code_of(call))
        for argument in _values(call)
        for name in ast.walk(argument)
        if isinstance(name, ast.Name)
    }


def _values(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the children of a node without docstrings and annotations."""
    for name, field in ast.iter_fields(node):
        is_type = isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation)
        if name in ("annotation", "returns") or (is_type and name == "value"):
            continue
        for child in field if isinstance(field, list) else [field]:
            is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_docstring:
                # The argument of a call is in a node of its own if it has a name.
                yield child.value if isinstance(child, ast.keyword) else child


def _template(node: ast.Constant | ast.JoinedStr) -> str:
    """Return a string as it is, and an f-string with its expressions in braces."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            parts.append(f"{{{ast.unparse(part.value)}}}")
        else:
            assert isinstance(part, ast.Constant)
            parts.append(str(part.value))
    return "".join(parts)


def _code_of(call: ast.Call) -> str:
    """Return the error code among the arguments of a call, or nothing."""
    for node in _values(call):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ErrorCode":
            return ErrorCode[node.attr].value
    return ""


if __name__ == "__main__":
    PATH.write_text("".join(f"{message}\n" for message in collect_messages()))
