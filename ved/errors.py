"""The one kind of failure that VED explains to its user instead of showing a traceback."""

from pathlib import Path


class VedError(Exception):
    """A failure its reader can act on.

    Args:
        cause: what is wrong, and where, as one sentence or clause.
        remedy: what to do about it, as one sentence; may be empty where the cause says it all.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".strip()


def describe(error: OSError) -> str:
    """Return what the system says of a failed read or write, without the machine's own path."""
    name = f" ({Path(error.filename).name})" if isinstance(error.filename, str) else ""
    return f"{str(error.strerror or error).rstrip('.')}{name}."


def describe_unexpected(error: Exception) -> str:
    """Return what is said of an error that nobody foresaw; its traceback is in the log."""
    return f"VED itself failed ({type(error).__name__}): please report it with this log."


class RequestError(VedError):
    """The request itself is wrong (a bad manifest, an unknown repo name): exit status 2."""
