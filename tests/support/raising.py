"""Assert which error VED raises, by its code and not by its wording."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ved.errors import ErrorCode, VedError


@contextmanager
def raises(code: ErrorCode, *shown: str) -> Iterator[pytest.ExceptionInfo[VedError]]:
    """Assert that the block raises a VedError with a code.

    Args:
        code: the code.
        shown: data that the message has to contain, such as names of files.
    """
    with pytest.raises(VedError) as caught:
        yield caught
    assert caught.value.code == code, str(caught.value)
    for each in shown:
        assert each in str(caught.value)
