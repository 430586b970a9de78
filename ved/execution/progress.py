"""What is being done: a bar in a terminal, plain lines in a log."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ved.results.result import Step
from ved.sizes import format_size

log = logging.getLogger("ved")


class Progress:
    """Tells of the steps of pairs, and counts the bytes of those that are over."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar = bar
        self._doing: dict[str, str] = {}
        self._steps: dict[str, list[Step]] = {}
        self._start = time.monotonic()
        self._lock = Lock()

    @contextmanager
    def step(self, repo: str, verb: str, size: int) -> Iterator[None]:
        """Tell of a step, and count its bytes once it is over.

        Args:
            repo: the pair's.
            verb: what is done, such as "Downloading".
            size: how many bytes it is about.
        """
        log.info("%s: %s %s", repo, verb, format_size(size))
        self._show(repo, verb)
        start = time.monotonic()
        try:
            yield
        finally:
            self._show(repo, "")
            self._bar.update(size)
            step = Step(verb, start - self._start, time.monotonic() - self._start)
            self._steps.setdefault(repo, []).append(step)

    def steps(self, repo: str) -> tuple[Step, ...]:
        """Return the steps of a pair that are over."""
        return tuple(self._steps.get(repo, ()))

    def _show(self, repo: str, verb: str) -> None:
        with self._lock:
            self._doing[repo] = verb
            now = (f"{verb.lower()} {repo}" for repo, verb in self._doing.items() if verb)
            self._bar.set_description_str(", ".join(now))


@contextmanager
def progress_bar(total: int, *, bar: bool) -> Iterator[Progress]:
    """Yield a progress that is shown until the block ends.

    Args:
        total: how many bytes there are to download, write and upload.
        bar: whether to draw a bar, which the lines of the log then leave alone.
    """
    with (
        logging_redirect_tqdm() if bar else nullcontext(),
        tqdm(total=total, unit="B", unit_scale=True, disable=not bar) as drawn,
    ):
        yield Progress(drawn)
