"""Decide on an action for each pair, and why, before weights are downloaded or repos changed."""

from ved.planning.actions import (
    ActionName,
    AddToCollection,
    Build,
    PlannedAction,
    Refuse,
    RenewCard,
    SetVisibility,
    Skip,
    is_pending,
)
from ved.planning.findings import Finding, Findings, Level
from ved.planning.matrix import (
    build_matrix,
    check_shard_count,
    distribute,
    pair_costs,
    parse_shard,
    parse_shard_count,
)
from ved.planning.options import RunOptions
from ved.planning.plan import make_plan

__all__ = [
    "ActionName",
    "AddToCollection",
    "Build",
    "Finding",
    "Findings",
    "Level",
    "PlannedAction",
    "Refuse",
    "RenewCard",
    "RunOptions",
    "SetVisibility",
    "Skip",
    "build_matrix",
    "check_shard_count",
    "distribute",
    "is_pending",
    "make_plan",
    "pair_costs",
    "parse_shard",
    "parse_shard_count",
]
