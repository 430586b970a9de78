"""Measure the free disk and memory of the machine, and share disk between pairs."""

from ved.machine.disk import DiskBudget, DiskNeed, Reservation, is_local
from ved.machine.memory import available_memory

__all__ = ["DiskBudget", "DiskNeed", "Reservation", "available_memory", "is_local"]
