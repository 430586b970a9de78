"""The encoder and decoder families that VED supports, and the facts about each.

`table` has all of them, with the reasons why others are refused. `family` explains the facts.
"""

from ved.families.family import Family, Role
from ved.families.lookup import find_family
from ved.families.table import DECODERS, ENCODERS

__all__ = ["DECODERS", "ENCODERS", "Family", "Role", "find_family"]
