"""The one kind of failure that VED explains to its user instead of showing a traceback."""

import errno
from pathlib import Path

from ved import troubles


class VedError(Exception):
    """A failure its reader can act on.

    Args:
        cause: what is wrong, and where, as one sentence or clause.
        remedy: what to do about it, as one sentence; may be empty where the cause says it all.
        see: its kind in `troubles.TROUBLES`; empty where there is no more to say.
    """

    def __init__(self, cause: str, remedy: str = "", see: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy
        self.see = see

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".strip()

    @property
    def text(self) -> str:
        """All of it in one line, with the address of more at its end."""
        return troubles.with_links(str(self), [self.see])

    @property
    def link(self) -> str:
        """The address where its kind is explained; empty where there is no more to say."""
        return troubles.link(self.see) if self.see else ""


def describe(error: OSError) -> str:
    """Return what the system says of a failed read or write, without the machine's own path."""
    name = f" ({Path(error.filename).name})" if isinstance(error.filename, str) else ""
    return f"{str(error.strerror or error).rstrip('.')}{name}."


def as_ved_error(error: Exception) -> VedError:
    """Return any failure as one that its reader can act on; of others, the log has a traceback."""
    if isinstance(error, VedError):
        return error
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return VedError(describe(error), see="not-enough-disk" if is_full else "")
    cause = f"VED itself failed ({type(error).__name__}): please report it with this log."
    return VedError(cause, see="ved-itself-failed")


class RequestError(VedError):
    """The request itself is wrong (a bad manifest, an unknown repo name): exit status 2."""
