"""Deny system calls that the examination of a source does not need, by a filter of Linux.

The filter lets everything pass but a list: sockets, other programs, other processes, and the
kernel's own administration. A denied call fails with EPERM, which libraries report as an error.
Source: https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_ARCHITECTURES: Mapping[str, tuple[int, int]] = {
    "x86_64": (0xC000003E, 0),
    "aarch64": (0xC00000B7, 1),
}
"""AUDIT_ARCH_* of a machine, and its column in `_NUMBERS`."""

_NUMBERS: Mapping[str, tuple[int | None, int | None]] = {
    # The network.
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    # io_uring does all of this without system calls.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Other programs and processes.
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    # Memory and queues that stay when the process ends.
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # Administration, which root in a container may be allowed.
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "open_by_handle_at": (304, 265),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # With an exception each; see `_exceptions`.
    "clone": (56, 220),
    "clone3": (435, 435),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
    "ioctl": (16, 29),
}
"""The numbers of the denied system calls, by name; None if a machine does not have the call.

Source: https://gpages.juszkiewicz.com.pl/syscalls-table/syscalls.html."""

_X32_BIT = 0x40000000
"""Marks the system calls of x86_64's second binary interface, which the filter does not list."""

_CLONE_THREAD = 0x10000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # write to a terminal as if its user did
_SECCOMP_MODE_FILTER = 2

_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
# Instructions, of linux/bpf_common.h.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Offsets in struct seccomp_data, in bytes. Arguments have 8, the low half first.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16


@dataclass(frozen=True)
class _Condition:
    """A condition on the low 32 bits of one argument of a system call.

    Attributes:
        argument: the position of the argument.
        test: `_EQUAL`, or `_ANY_BIT` for a bit in common.
        values: the values to test with.
        denies: whether the call is denied if a test succeeds; otherwise, if none does.
    """

    argument: int
    test: int
    values: Sequence[int]
    denies: bool


def _exceptions() -> dict[str, _Condition]:
    own = os.getpid()
    return {
        # A thread, but no process.
        "clone": _Condition(0, _ANY_BIT, (_CLONE_THREAD,), denies=False),
        # The C library ends a process with a signal to itself.
        "kill": _Condition(0, _EQUAL, (own,), denies=False),
        "tgkill": _Condition(0, _EQUAL, (own,), denies=False),
        "prlimit64": _Condition(0, _EQUAL, (0, own), denies=False),
        "prctl": _Condition(0, _EQUAL, (_PR_SET_PDEATHSIG,), denies=True),
        "ioctl": _Condition(1, _EQUAL, (_TIOCSTI, _TIOCLINUX), denies=True),
    }


def deny_system_calls() -> bool:
    """Deny this thread, and the threads that it starts, the listed system calls, for good.

    Returns:
        Whether the kernel does so; False on other systems than Linux on x86_64 and aarch64.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES:
        return False
    program = b"".join(_program(machine))
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a number of instructions, and their address.
    header = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) == 0)


def _program(machine: str) -> Iterator[bytes]:
    """Yield the instructions of the filter, each a struct sock_filter of 8 bytes."""
    architecture, column = _ARCHITECTURES[machine]
    yield _instruction(_LOAD, _ARCHITECTURE)
    yield _instruction(_EQUAL, architecture, if_true=1)
    yield _denied(errno.EPERM)
    yield _instruction(_LOAD, _NUMBER)
    if machine == "x86_64":
        yield _instruction(_AT_LEAST, _X32_BIT, if_false=1)
        yield _denied(errno.EPERM)
    exceptions = _exceptions()
    for name, numbers in _NUMBERS.items():
        number = numbers[column]
        if number is None:
            continue
        # The C library tries clone3 first, whose flags are not visible, and clone if it is absent.
        code = errno.ENOSYS if name == "clone3" else errno.EPERM
        block = [*_conditional(exceptions[name])] if name in exceptions else [_denied(code)]
        yield _instruction(_EQUAL, number, if_false=len(block))
        yield from block
    yield _instruction(_RETURN, _ALLOW)


def _conditional(condition: _Condition) -> Iterator[bytes]:
    """Yield instructions that deny or allow the call by its argument."""
    allow, deny = _instruction(_RETURN, _ALLOW), _denied(errno.EPERM)
    yield _instruction(_LOAD, _ARGUMENTS + 8 * condition.argument)
    for value in condition.values:
        yield _instruction(condition.test, value, if_false=1)
        yield deny if condition.denies else allow
    yield allow if condition.denies else deny


def _denied(code: int) -> bytes:
    return _instruction(_RETURN, _ERROR | code)


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return an instruction; `if_true` and `if_false` are how many instructions to skip."""
    return struct.pack("HBBI", code, if_true, if_false, value)
