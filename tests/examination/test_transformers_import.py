"""import_transformers changes how often transformers reads its files, and none of its names."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

IMPORT = """
import json, sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
{first}
from transformers import AutoConfig, AutoTokenizer, models
times = sum(name.endswith("models/zamba/configuration_zamba.py") for name in opened)
print(json.dumps([times, sorted(dir(models))]))
"""


def imported(first: str) -> tuple[int, list[str]]:
    """Return how often a process opens a file that it does not import, and the names of models."""
    command = [sys.executable, "-c", IMPORT.format(first=first)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    times, names = json.loads(result.stdout.splitlines()[-1])
    return times, names


def test_import_transformers_reads_each_file_once_and_gives_all_names() -> None:
    times, names = imported(
        "from ved.examination.transformers_import import import_transformers as run; run()"
    )
    as_usual, expected = imported("")
    assert names == expected
    assert (times, as_usual) == (1, 2)
