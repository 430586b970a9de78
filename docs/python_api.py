"""Write the reference of the public Python API from signatures and docstrings, without imports."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "ved.commands": None,
    "ved.modeling": None,
    "ved.localhub": ("LocalHub", "Behavior", "RateLimit", "ActionLimit"),
}
"""The public modules, with the documented names; None for all of `__all__`."""

_LINE = 88
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Examples):$", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+): ", re.MULTILINE)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef


def reference() -> str:
    """Return the Markdown of all public modules."""
    return "\n".join(_module(name, names) for name, names in PUBLIC.items())


def _module(module: str, names: Sequence[str] | None) -> str:
    tree = _parse(module)
    parts = [f"## `{module}`\n"]
    # The docstring of a module with only some public names is about other names too.
    if names is None:
        parts.append(_markdown(ast.get_docstring(tree) or ""))
    definitions = {name: _definition(module, name) for name in names or _all(tree)}
    ordered = sorted(definitions.items(), key=lambda item: isinstance(item[1], ast.ClassDef))
    parts += (_symbol(f"{module}.{name}", definition) for name, definition in ordered)
    return "\n".join(parts)


def _symbol(name: str, definition: _Definition) -> str:
    title = f"### `{name}`\n"
    documented = _markdown(ast.get_docstring(definition) or "")
    if not isinstance(definition, ast.ClassDef):
        return "\n".join((title, _code(_signature(definition)), documented))
    members = "\n".join(_member(each) for each in _public_members(definition))
    return "\n".join(filter(None, (title, _code(_constructor(definition)), documented, members)))


def _member(function: _Function) -> str:
    is_property = any(
        isinstance(each, ast.Name) and each.id == "property" for each in function.decorator_list
    )
    if is_property:
        assert function.returns is not None
        code = f"{function.name}: {_annotation(function.returns)}"
    else:
        code = _signature(function)
    return f"#### `{function.name}`\n\n{_code(code)}\n" + _markdown(
        ast.get_docstring(function) or ""
    )


def _public_members(definition: ast.ClassDef) -> Iterator[_Function]:
    for node in definition.body:
        if isinstance(node, _Function) and not node.name.startswith("_"):
            yield node


def _constructor(definition: ast.ClassDef) -> str:
    """Return the signature of a class: that of `__init__`, or the fields of a dataclass."""
    name = f"class {definition.name}"
    for node in definition.body:
        if isinstance(node, _Function) and node.name == "__init__":
            return _signature(node, name=name).replace(f"{name}()", name)
    if not any("dataclass" in ast.unparse(each) for each in definition.decorator_list):
        return name
    return _call(name, [_unparse(node) for node in definition.body if _is_field(node)])


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)


def _unparse(node: ast.AST) -> str:
    """Return code with double quotes, and the value of a default factory."""
    text = re.sub(r"'([^'\"]*)'", r'"\1"', ast.unparse(node))
    return re.sub(r"field\(default_factory=(\w+)\)", r"\1()", text)


def _signature(function: _Function, name: str = "") -> str:
    arguments = [each for each in _arguments(function.args) if each not in ("self", "cls")]
    returns = function.returns
    result = "" if returns is None or name else f" -> {_annotation(returns)}"
    return _call(name or f"def {function.name}", arguments, result)


def _call(name: str, arguments: Sequence[str], result: str = "") -> str:
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) <= _LINE:
        return line
    return f"{name}(\n{''.join(f'    {each},{chr(10)}' for each in arguments)}){result}"


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    without = len(positional) - len(arguments.defaults)
    for number, each in enumerate(positional):
        yield _argument(each, arguments.defaults[number - without] if number >= without else None)
    if arguments.vararg:
        yield f"*{_argument(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(each, default)
    if arguments.kwarg:
        yield f"**{_argument(arguments.kwarg)}"


def _argument(argument: ast.arg, default: ast.expr | None = None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        text += f": {_annotation(argument.annotation)}"
    if default is not None:
        text += f" = {_unparse(default)}"
    return text


def _annotation(node: ast.expr) -> str:
    """Return a type as text, without the quotes of a forward reference."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return _unparse(node)


def _markdown(docstring: str) -> str:
    """Return a Google-style docstring as Markdown."""
    text, *sections = _SECTION.split(docstring)
    parts = [_prose(text.strip())]
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        body = dedent(content.strip("\n"))
        if title == "Examples":
            parts.append(_examples(body))
        elif title in ("Returns", "Yields"):
            parts.append(f"{title}: {_one_line(body)}\n")
        else:
            parts.append(f"{title}:\n\n{_entries(body)}")
    return "\n".join(filter(None, parts))


def _prose(text: str) -> str:
    """Return paragraphs; indented ones become code."""
    parts = []
    for paragraph in re.split(r"\n\n(?=\S)", text):
        sentences, *code = re.split(r"\n\n(?=    )", paragraph, maxsplit=1)
        parts.append(f"{_one_line(sentences)}\n")
        parts += (_code(dedent(each)) for each in code)
    return "\n".join(parts)


def _entries(body: str) -> str:
    """Return `name: text` entries as a list."""
    start, *rest = _ENTRY.split(body)
    if start:
        return f"{_one_line(body)}\n"
    return "".join(
        f"- `{name}`: {_one_line(text)}\n" for name, text in zip(rest[::2], rest[1::2], strict=True)
    )


def _examples(body: str) -> str:
    paragraphs = body.split("\n\n")
    return "\n".join(
        _code(each) if each.startswith(">>> ") else f"{_one_line(each)}\n" for each in paragraphs
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    language = "pycon" if text.startswith(">>> ") else "python"
    return f"```{language}\n{text.strip()}\n```\n"


def _definition(module: str, name: str) -> _Definition:
    """Return the definition of a name, wherever the module imports it from."""
    for node in ast.walk(_parse(module)):
        if isinstance(node, _Definition) and node.name == name:
            if isinstance(node, ast.ClassDef):
                node.body += _inherited(module, node)
            return node
    for node in ast.walk(_parse(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _definition(node.module, alias.name)
    raise LookupError(f"{module} has no {name}")


def _inherited(module: str, definition: ast.ClassDef) -> list[ast.stmt]:
    """Return the methods of the base classes that are VED's own."""
    imported = {
        alias.name
        for node in ast.walk(_parse(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ved.")
        for alias in node.names
    }
    bases = [base.id for base in definition.bases if isinstance(base, ast.Name)]
    return [
        node
        for base in bases
        if base in imported
        for node in _definition(module, base).body
        if isinstance(node, _Function)
    ]


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else ()
        if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
            assert isinstance(node, ast.Assign)
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise LookupError("no __all__")


def _parse(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text("utf-8"))
