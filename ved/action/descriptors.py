"""Take over standard output and standard error, for code that does not print by Python.

A library in C or Rust writes to the file descriptors 1 and 2 itself, such as the message of a
panic, which may quote a source. Both become a pipe, and a thread copies what comes out of it to the
log of the step.
"""

import fcntl
import os
import sys
from contextlib import suppress
from threading import Thread

from ved.action.log import UNENCODABLE, StepLog

_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2
_PIPE_BYTES = 2**20
_SECONDS_TO_END = 5.0
"""How long `release` waits for the rest of the text. A process that VED started may hold the pipe
open."""


class TakenDescriptors:
    """Standard output and standard error of a process, taken over from now on.

    Attributes:
        log: writes to what was standard output.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.log = StepLog(os.fdopen(os.dup(_STANDARD_OUTPUT), "wb"))
        reading, writing = os.pipe()
        # A writer that holds Python's lock must never wait for the thread that needs the lock. So
        # text that does not fit into the pipe is lost.
        os.set_blocking(writing, False)
        with suppress(OSError):  # not allowed everywhere, and only means less space
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        for descriptor in (_STANDARD_OUTPUT, _STANDARD_ERROR):
            os.dup2(writing, descriptor)
        os.close(writing)
        self._copier = Thread(target=self._copy, args=(reading,), daemon=True)
        self._copier.start()

    def _copy(self, reading: int) -> None:
        while data := os.read(reading, 2**16):
            self.log.write(data.decode(errors=UNENCODABLE))

    def release(self) -> None:
        """Write the rest of the text, and the end of the log. What is printed later is lost."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (_STANDARD_OUTPUT, _STANDARD_ERROR):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        self._copier.join(_SECONDS_TO_END)
        self.log.finish()
