"""Completion: the scripts of `ved completion`, run by the shells themselves."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ved.arguments import SHELLS, build_parser
from ved.completion import completion_script

pytestmark = pytest.mark.unit

BASH = """
source {script}
COMP_WORDS=({words} {last}) COMP_CWORD={count}
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def complete(shell: str, folder: Path, *words: str) -> list[str]:
    """Return what a shell completes the last word of a command line to."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    script = folder / f"ved.{shell}"
    script.write_text(completion_script(build_parser(), shell))
    if shell == "fish":
        program = f"source {script}; complete --do-complete '{' '.join(words)}'"
    else:
        *others, last = words
        function = next(
            line.split()[-2]
            for line in script.read_text().splitlines()
            if line.startswith("complete -o")
        )
        program = BASH.format(
            script=script,
            words=" ".join(others),
            last=f"'{last}'",
            count=len(others),
            function=function,
        )
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    finished = subprocess.run(
        [shell, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
    )
    return sorted(line.split("\t")[0].strip() for line in finished.stdout.splitlines())


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_completion_knows_commands_options_and_files(shell: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.yaml").touch()
    (tmp_path / "folder").mkdir()
    assert complete(shell, tmp_path, "ved", "pl") == ["plan"]
    options = complete(shell, tmp_path, "ved", "build", "--o")
    assert options == ["--only", "--output-dir"]
    assert complete(shell, tmp_path, "ved", "validate", "pai") == ["pairs.yaml"]
    directories = complete(shell, tmp_path, "ved", "build", "--output-dir", "f")
    assert [each.rstrip("/") for each in directories] == ["folder"]
    assert complete(shell, tmp_path, "ved", "completion", "f") == ["fish"]


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_script_is_valid(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    script = tmp_path / "script"
    script.write_text(completion_script(build_parser(), shell))
    finished = subprocess.run([shell, "-n", script], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
