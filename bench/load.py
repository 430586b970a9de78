"""The load that other processes put on this machine, from Linux's /proc/stat."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

IDLE = 0.05
"""A machine is idle if other processes use at most this share of its processors."""

_WINDOW = 5.0
"""Seconds for which the load is sampled."""


@dataclass(frozen=True)
class Moment:
    """A moment, and the processor time that was used until then.

    Attributes:
        clock: seconds of a monotonic clock.
        all: processor seconds of all processes since the machine started.
        ours: processor seconds of this process and of its children that have ended.
    """

    clock: float
    all: float
    ours: float


def now() -> Moment:
    """Return this moment. On a system without /proc/stat, `all` is `ours`."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ours = sum(usage.ru_utime + usage.ru_stime for usage in used)
    try:
        ticks = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    except OSError:
        return Moment(time.perf_counter(), ours, ours)
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = ticks
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return Moment(time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), ours)


def others_since(start: Moment) -> float:
    """Return the share of all processors that other processes have used since a moment, 0 to 1."""
    end = now()
    seconds = (end.all - start.all) - (end.ours - start.ours)
    return max(0.0, seconds / (end.clock - start.clock) / (os.cpu_count() or 1))


def wait_until_idle(limit: float, window: float = _WINDOW) -> bool:
    """Wait until other processes leave the machine alone, and return whether they do.

    Args:
        limit: the longest wait, in seconds.
        window: how long the load is sampled each time, in seconds.
    """
    deadline = time.perf_counter() + limit
    while True:
        start = now()
        time.sleep(window)
        if others_since(start) <= IDLE:
            return True
        if time.perf_counter() > deadline:
            return False


def describe(others: float) -> str:
    """Return a sentence on the load by other processes while something was measured."""
    if others <= IDLE:
        return "The machine was idle."
    return (
        f"The machine was busy: other processes used {others:.0%} of its processors. "
        "Compare ratios only."
    )
