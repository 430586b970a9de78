"""Confine the process that examines sources.

Limits of memory, time and files hold wherever the system has them. Linux also denies network, other
programs and other processes (`seccomp`), and all files but Python's and its own (`landlock`). What
a system lacks is left out: macOS has the limits of time and files only.
"""

import ctypes
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ved.examination import landlock, seccomp

DATA_BYTES = 1536 * 2**20
"""Memory of the process: its heap, and other private memory that it can write. The libraries take
250 MB of it, and tracing the largest models a few more."""

ADDRESS_BYTES = 4 * 2**30
"""Address space of the process. The libraries take 650 MB of it."""

FILE_BYTES = 256 * 2**20
"""The largest file that the process can write."""

OPEN_FILES = 256

START_CPU_SECONDS = 120
"""Processor time for imports."""

CPU_SECONDS = 30
"""Processor time for one source."""

_LIBRARIES = ("/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store")
"""The directories of shared libraries."""

_MACHINE = (
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/kernel/ngroups_max",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
)
"""Files that libraries read about the machine. `/proc/self` is this process's own directory."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def confine(readable: Iterable[Path], writable: Path, parent: int) -> None:
    """Confine this process for good. Call this while it has one thread.

    Args:
        readable: the directories to read, besides Python's installation.
        writable: the directory to write in.
        parent: the id of the process that this one must not outlive.
    """
    die_with(parent)
    limit_resources()
    landlock.confine(
        [*readable, *_installation(), *map(Path, _LIBRARIES), *map(Path, _MACHINE)], [writable]
    )
    seccomp.deny_system_calls()


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, on Linux.

    Args:
        parent: the id of the parent; this process ends at once if that is not its parent any more.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def hide_process() -> None:
    """Hide memory and environment of this process from other processes of its user, on Linux.

    A process that has the capability CAP_SYS_PTRACE still sees them. Containers lack it by default.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit_resources() -> None:
    """Limit memory, files and processor time of this process."""
    for limit, value in (
        (resource.RLIMIT_DATA, DATA_BYTES),
        (resource.RLIMIT_AS, ADDRESS_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(OSError, ValueError):  # macOS refuses some limits
            resource.setrlimit(limit, (lowest, lowest))
    limit_cpu(START_CPU_SECONDS)


def limit_cpu(seconds: int) -> None:
    """Allow this process so much more processor time; SIGXCPU ends it after that.

    Args:
        seconds: the time for all threads together.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = used + seconds
    with suppress(OSError, ValueError):
        limit = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _installation() -> Sequence[Path]:
    """Return the directories of this Python and its packages."""
    own = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    packages = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return [Path(path) for path in dict.fromkeys([*own, *packages])]
