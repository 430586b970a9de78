"""Run the snippets of model cards one by one, and write their outputs and labels.

usage: snippets.py REQUEST.json ANSWER.json

It runs with the packages that a card installs, in a folder of checkpoints.
"""

import contextlib
import io
import json
import sys
from pathlib import Path


def main(request: str, answer: str) -> None:
    """Run every snippet in its own namespace."""
    snippets = json.loads(Path(request).read_text())
    answers = {name: run(name, snippet) for name, snippet in snippets.items()}
    Path(answer).write_text(json.dumps(answers))


def run(name: str, snippet: str) -> dict[str, object]:
    """Return the printed lines, and the labels of a training snippet; -100 is padding."""
    namespace = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(snippet, name, "exec"), namespace)
    labels = namespace.get("labels")
    if "mask" in namespace:
        labels = labels * namespace["mask"] - 100 * (1 - namespace["mask"])
    return {
        "lines": printed.getvalue().splitlines(),
        "labels": None if labels is None else labels.tolist(),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
