"""The program of the process that examines sources.

It reads the name of a folder from standard input, a line each, and answers with a line of JSON on
standard output. Each folder has the files of a source and `request.json`. The process ends when its
standard input ends.
"""

import os
import re
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from ved import garbage
from ved.examination import sandbox
from ved.examination.report import Answer, AnyRequest, Examination, one_line, parse_request
from ved.examination.source_files import REQUEST

USED_UP_BYTES = 700 * 2**20
"""With so much memory in use, the process wants to be replaced before it meets its limits."""

_MAX_LINES = 60  # of a traceback

Examine = Callable[[AnyRequest, Path], Examination]


def main() -> None:
    """Examine the sources that standard input names; the arguments are those of `serve`."""
    parent, readable, writable = sys.argv[1:]
    serve(int(parent), Path(readable), Path(writable), _import_examine)


def serve(parent: int, readable: Path, writable: Path, load: Callable[[], Examine]) -> None:
    """Confine this process, and answer until standard input ends.

    Args:
        parent: the id of the process that asks.
        readable: the parent of the sources' folders.
        writable: the directory for temporary files.
        load: imports what examines a source. It is called when this process is confined.
    """
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.dup(1)
    # Nothing that a library prints must reach the one that asks, or be read from it.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.chdir(writable)
    package = Path(__file__).parents[1]
    # In a checkout, other files are beside the package, which are not for this process.
    packages = (Path(path) for path in sys.path if Path(path) != package.parent)
    sandbox.confine([readable, package, *packages], writable, parent)
    try:
        examine = load()
    except BaseException:
        _send(answers, Answer(traceback=_traceback(), retires=True))
        raise
    _send(answers, Answer(ready=True))
    for line in requests:
        sandbox.limit_cpu(sandbox.CPU_SECONDS)
        answer = _answer(readable / os.fsdecode(line.rstrip(b"\n")), examine)
        _send(answers, answer)
        if answer.retires:
            break
    os._exit(0)  # threads and handlers of libraries have nothing more to do


def _import_examine() -> Examine:
    with garbage.paused(freeze=True):
        from ved.examination.examine import examine

    return examine


def _answer(folder: Path, examine: Examine) -> Answer:
    """Return the answer about the source in a folder."""
    try:
        request = parse_request((folder / REQUEST).read_bytes())
        examination = examine(request, folder)
    except (MemoryError, OSError) as error:
        return _broken(error)
    except Exception:
        return Answer(traceback=_traceback(), retires=True)
    except BaseException as error:  # sys.exit, and panics of libraries in Rust
        return _broken(error)
    return Answer(examination=examination, retires=_peak_bytes() > USED_UP_BYTES)


def _peak_bytes() -> int:
    """Return the largest amount of memory that this process has had, in bytes."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # On Linux, getrusage counts the parent's memory at the fork, too.
    status = Path("/proc/self/status").read_text()
    (kibibytes,) = re.findall(r"(?m)^VmHWM:\s*(\d+) kB$", status)
    return int(kibibytes) * 1024


def _broken(error: BaseException) -> Answer:
    text = str(error).strip().partition("\n")[0]
    name = type(error).__name__
    return Answer(broken=one_line(f"{name}: {text}" if text else name), retires=True)


def _traceback() -> list[str]:
    return [one_line(line) for line in traceback.format_exc().splitlines()[-_MAX_LINES:]]


def _send(descriptor: int, answer: Answer) -> None:
    # ASCII, so that no text can break the encoding.
    rest = memoryview(answer.model_dump_json().encode("utf-8", "replace") + b"\n")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
