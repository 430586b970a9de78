"""Report the steps of a run: a bar in a terminal, plain lines in a log."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any

from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ved.results import Step
from ved.sizes import format_size

log = logging.getLogger("ved")

_DOWNLOADS = ("huggingface_hub.http_get", "huggingface_hub.xet_get")
"""The names of huggingface_hub's bars for downloads."""


class Progress:
    """The steps of all pairs; safe to share between threads."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar = bar
        self._current: dict[str, str] = {}
        self._steps: dict[str, list[Step]] = {}
        self._start = time.monotonic()
        self._lock = Lock()

    @contextmanager
    def step(self, repo: str, verb: str, size: int) -> Iterator[None]:
        """Report that a step begins, and count its bytes when the block ends.

        Args:
            repo: the repo of the pair.
            verb: what is done, such as "Downloading".
            size: bytes that the step downloads, writes or uploads; 0 is not reported.
        """
        log.info("%s: %s%s", repo, verb, f" {format_size(size)}" if size else "")
        self._show(repo, verb)
        start = time.monotonic()
        try:
            yield
        finally:
            self._show(repo, "")
            step = Step(verb, start - self._start, time.monotonic() - self._start)
            with self._lock:
                self._bar.update(size)
                self._steps.setdefault(repo, []).append(step)

    def steps(self, repo: str) -> tuple[Step, ...]:
        """Return the finished steps of a pair."""
        return tuple(self._steps.get(repo, ()))

    def _show(self, repo: str, verb: str) -> None:
        with self._lock:
            self._current[repo] = verb
            current = (f"{verb.lower()} {repo}" for repo, verb in self._current.items() if verb)
            self._bar.set_description_str(", ".join(current))


@contextmanager
def progress_bar(total: int, *, is_shown: bool) -> Iterator[Progress]:
    """Yield the progress of a run, with a bar if wanted.

    Args:
        total: bytes to download, write and upload.
        is_shown: whether to draw a bar; lines of the log do not disturb it.
    """
    with (
        logging_redirect_tqdm() if is_shown else nullcontext(),
        _bars_of_downloads() if is_shown else nullcontext(),
        tqdm(total=total, unit="B", unit_scale=True, disable=not is_shown) as bar,
    ):
        yield Progress(bar)


@contextmanager
def _bars_of_downloads() -> Iterator[None]:
    """Have huggingface_hub draw bars for downloads only.

    Those for its uploads move the cursor up, over the lines of this run.
    """
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    for name in _DOWNLOADS:
        enable_progress_bars(name)
    try:
        yield
    finally:
        enable_progress_bars()
