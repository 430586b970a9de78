"""The program that `bench.plan` measures: plans pairs, with their sources examined here or there.

`python -m bench.planned_sources here MANIFEST ENDPOINT` examines in this process, without limits.
"""

import shutil
import sys
import tempfile
from contextlib import nullcontext
from importlib import import_module
from itertools import count
from pathlib import Path

from ved import environment

environment.prepare(endpoint=sys.argv[3])  # before the imports that read it

from ved import commands  # noqa: E402
from ved.examination.examiner import use_examiner  # noqa: E402
from ved.examination.report import Examination, Request  # noqa: E402
from ved.examination.source_files import REQUEST  # noqa: E402
from ved.hub.http import connect  # noqa: E402


class Here:
    """Examines sources in this process, by the same code.

    Args:
        directory: an existing directory for the files of sources.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count()

    def start(self) -> None:
        """Import what examines sources."""
        import_module("ved.examination.examine")

    def new_folder(self) -> Path:
        """Return the path of a folder that does not exist."""
        return self._directory / f"{next(self._numbers)}"

    def examine(self, folder: Path, origin: str) -> Examination:
        """Return what is known of the source in a folder."""
        from ved.examination.examine import examine

        request = Request.model_validate_json((folder / REQUEST).read_bytes())
        return examine(request, folder)


def main() -> None:
    """Plan the pairs of the manifest that the command line names."""
    where, manifest = sys.argv[1:3]
    directory = Path(tempfile.mkdtemp())
    with use_examiner(Here(directory)) if where == "here" else nullcontext():
        plan = commands.plan(commands.validate(Path(manifest)), api=connect())
    shutil.rmtree(directory)
    print(*(action.name for action in plan.actions))


if __name__ == "__main__":
    main()
