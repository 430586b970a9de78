"""Check that the machine has the disk and the memory that the planned builds take."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ved.errors import ErrorCode
from ved.machine import DiskBudget, DiskNeed, available_memory
from ved.planning.actions import Build, PlannedAction, with_findings
from ved.planning.build_order import order_by_download_cost
from ved.planning.findings import Finding, Level
from ved.planning.options import RunOptions
from ved.sizes import format_size


def disk_budget(options: RunOptions) -> DiskBudget:
    """Return the budget of the disk that a run writes to.

    Raises:
        OSError: the disk cannot be measured.
    """
    path = options.output_directory or Path(tempfile.gettempdir())
    return DiskBudget(path, options.max_disk)


def disk_need(build: Build, options: RunOptions) -> DiskNeed:
    """Return the disk that a build takes, and what remains of it afterwards."""
    directory = options.output_directory
    destination = None if directory is None else directory / build.pair.repo
    return DiskNeed.of(build.sources.values(), build.estimate.output, destination)


def check_machine(
    actions: Sequence[PlannedAction], options: RunOptions, *, strict: bool
) -> list[PlannedAction]:
    """Return the actions with findings about disk and memory.

    Args:
        actions: the planned actions.
        options: the options of the run.
        strict: whether a build that does not fit on the disk is refused; otherwise it gets a
            warning, because another machine may build it.
    """
    builds = [action for action in actions if isinstance(action, Build)]
    memory = available_memory()
    findings = {build.pair.repo: _memory_findings(build, memory) for build in builds}
    budget = disk_budget(options)
    for build in order_by_download_cost(builds):
        need = disk_need(build, options)
        if budget.fits(need):
            budget.keep(need)
            continue
        several = len(build.pair.weights) > 1
        fewer = ", or publish only one weight file, such as weights: safetensors" if several else ""
        message = (
            f"Its sources and the checkpoint take {format_size(need.total)} of disk, and "
            f"{format_size(max(0, budget.available))} are available. Allow more with max-disk, "
            f"or free some{fewer}."
        )
        level: Level = "error" if strict else "warning"
        findings[build.pair.repo].append(Finding(level, "repo", message, ErrorCode.NOT_ENOUGH_DISK))
    return [with_findings(action, findings.get(action.pair.repo, ())) for action in actions]


def _memory_findings(build: Build, memory: int | None) -> list[Finding]:
    if memory is None or build.estimate.memory <= memory:
        return []
    message = (
        f"Building it may take {format_size(build.estimate.memory)} of memory, and "
        f"{format_size(memory)} are available."
    )
    return [Finding("warning", "repo", message, ErrorCode.NOT_ENOUGH_MEMORY)]
