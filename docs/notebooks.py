"""Notebooks of the scripts in examples/finetuning, which are in the percent format of Jupytext.

In a notebook, commands for pip are not comments, and the arguments are a list to edit.
"""

import json
import re
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "examples" / "finetuning"
_START = re.compile(r'^# %%(?: (\[markdown\]))?(?: tags=\["(\w+)"\])?\n', re.MULTILINE)


def notebooks() -> dict[Path, str]:
    """Return the text of the notebook of each script, by path."""
    scripts = sorted(SCRIPTS.glob("finetune_*.py"))
    return {script.with_suffix(".ipynb"): notebook(script.read_text("utf-8")) for script in scripts}


def notebook(script: str) -> str:
    """Return the notebook of a script, as JSON of nbformat 4.5."""
    # Parts come in threes: markdown or None, a tag or None, and the text of the cell.
    _, *parts = _START.split(script)
    cells = [
        _cell(number, *parts[start : start + 3])
        for number, start in enumerate(range(0, len(parts), 3), start=1)
    ]
    content = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, markdown: str | None, tag: str | None, text: str) -> dict[str, object]:
    text = text.strip("\n")
    if markdown or tag == "install":
        text = re.sub("^# ?", "", text, flags=re.MULTILINE)
    text = re.sub(r"= .*  # in a notebook: ", "= ", text)
    cell: dict[str, object] = {
        "cell_type": "markdown" if markdown else "code",
        "id": f"cell-{number}",
        "metadata": {"tags": [tag]} if tag else {},
        "source": text.splitlines(keepends=True),
    }
    return cell if markdown else {**cell, "execution_count": None, "outputs": []}
