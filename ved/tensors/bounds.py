"""Check the names and shapes that a file of weights claims, before VED computes with them."""

from collections.abc import Sequence

from ved.errors import ErrorCode, VedError
from ved.limits import INTEGER_BITS, NAME_LENGTH, RANK, TENSORS
from ved.text import quoted, quoted_value


class LimitError(Exception):
    """A file exceeds a limit; the text says how, as a sentence without a dot."""


def check_name(name: str) -> None:
    """Check the name of a tensor, which is published and printed.

    Raises:
        LimitError: the name is too long, or has characters that are not printable.
    """
    if len(name) > NAME_LENGTH:
        raise LimitError(
            f"The name of a tensor has {len(name)} characters, and VED reads at most {NAME_LENGTH}"
        )
    if not name.isprintable():
        raise LimitError(
            f"The name of a tensor has characters that are not printable: {quoted(name)}"
        )


def check_shape(shape: Sequence[int]) -> None:
    """Check the shape of a tensor.

    Raises:
        LimitError: it has too many axes.
        ValueError: the size of an axis is not one.
    """
    if len(shape) > RANK:
        raise LimitError(f"A tensor has {len(shape)} axes, and VED reads at most {RANK}")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**INTEGER_BITS:
            raise ValueError(f"an axis has the size {quoted_value(size)}")


def check_count(count: int) -> None:
    """Check how many tensors a source has.

    Raises:
        LimitError: they are too many.
    """
    if count > TENSORS:
        raise LimitError(f"The weights have more than {TENSORS} tensors")


def refusal(error: LimitError, file: str) -> VedError:
    """Return the error for a file that exceeds a limit."""
    return VedError(
        f"{error}: {file}.",
        "Use another source. The limits are far above all known checkpoints.",
        code=ErrorCode.SOURCE_TOO_LARGE,
    )
