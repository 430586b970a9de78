"""Check the pickle of a PyTorch file before it runs.

A pickle is a program for a stack machine. A short one can create a value whose hash takes years (a
tuple of twice the same tuple, and so on), or more stack than a thread has (a deep tuple). No
exception and no signal ends that, so the check comes first.
"""

import pickle
import pickletools

_SIMPLE = {
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "GLOBAL"),
}
"""Opcodes that push a value of size 1."""

_POPS = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}
"""How many values an opcode takes to change the one below."""

_COMBINES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "REDUCE": 2, "STACK_GLOBAL": 2, "BINPERSID": 1}
"""How many values an opcode takes to push one that may contain them all."""

_MAX_SIZE = 1000
"""The most values in a value that can be hashed. Arguments of a tensor have fewer than 200."""

_MAX_BITS = 64
"""The most bits of an integer. PyTorch counts elements with 64."""


def check_program(program: bytes) -> None:
    """Check that a pickle has only the opcodes of `torch.save`, and creates only small values.

    The size of a value is the number of values that its hash reads, each as often as it is read.
    Dictionaries and lists have no hash, so they have size 1.

    Raises:
        pickle.UnpicklingError: the pickle is not such a program.
        Exception: the pickle is damaged.
    """
    stack: list[int | None] = []  # sizes; None is a mark
    memo: dict[int, int | None] = {}
    for opcode, argument, _ in pickletools.genops(program):
        number = _check_number(opcode.name, argument, len(program))
        match opcode.name:
            case name if name in _SIMPLE:
                stack.append(1)
            case name if name in _COMBINES:
                stack.append(_combined(_pop(stack, _COMBINES[name])))
            case name if name in _POPS:
                _pop(stack, _POPS[name])
            case "TUPLE":
                stack.append(_combined(_pop_to_mark(stack)))
            case "APPENDS" | "SETITEMS":
                _pop_to_mark(stack)
            case "MARK":
                stack.append(None)
            case "BINPUT" | "LONG_BINPUT":
                memo[number] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[number])
            case "PROTO" | "FRAME" | "STOP":
                pass
            case name:
                raise pickle.UnpicklingError(f"it uses the opcode {name}")


def _check_number(name: str, argument: object, length: int) -> int:
    """Return the argument of an opcode; 0 if it is not an integer."""
    if not isinstance(argument, int) or name == "FRAME":
        return 0
    # The unpickler allocates its memo up to the highest number.
    if "PUT" in name and argument > length:
        raise pickle.UnpicklingError(f"it numbers a value {argument}")
    if argument.bit_length() > _MAX_BITS:
        raise pickle.UnpicklingError(f"it has an integer of {argument.bit_length()} bits")
    return argument


def _pop(stack: list[int | None], count: int) -> list[int]:
    sizes = [stack.pop() for _ in range(count)]
    if None in sizes:
        raise pickle.UnpicklingError("it takes a mark for a value")
    return [size for size in sizes if size is not None]


def _pop_to_mark(stack: list[int | None]) -> list[int]:
    sizes = []
    while (size := stack.pop()) is not None:
        sizes.append(size)
    return sizes


def _combined(sizes: list[int]) -> int:
    size = 1 + sum(sizes)
    if size > _MAX_SIZE:
        raise pickle.UnpicklingError(f"it nests more than {_MAX_SIZE} values")
    return size
