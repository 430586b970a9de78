"""What the machine has left: disk and memory."""

from ved.machine.disk import DiskBudget, DiskNeed, Reservation, is_local
from ved.machine.memory import available_memory

__all__ = ["DiskBudget", "DiskNeed", "Reservation", "available_memory", "is_local"]
