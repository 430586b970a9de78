"""Builds what a plan says: one pair is downloaded while another is assembled and a third uploaded.

What is published is checked by what the Hub then serves. A pair's failure stays its own.
"""

import logging
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi

from ved.errors import VedError, as_ved_error
from ved.execution.checkpoint_dir import (
    build_checkpoint,
    check_destination,
    replace_checkpoint,
    staging_directory,
)
from ved.execution.progress import Progress
from ved.execution.readback import PublishedCommit, verify_published, verify_published_card
from ved.execution.store import Store
from ved.hub.access import HubAccess
from ved.hub.upload_counter import count_uploads
from ved.interruption import raise_if_interrupted, thread_pool, wait_interruptibly
from ved.manifest.settings import CheckpointSettings
from ved.planning.actions import Planned
from ved.publishing import commits, repos
from ved.record import card
from ved.record.build_record import BuildRecord
from ved.results.result import Result
from ved.sources.source import Source

log = logging.getLogger("ved")

UPLOADS = 2
"""How many pairs are uploaded at the same time: while the Hub makes the commit of one, the wire is
free for another. Downloads go one by one, because two would both be there late."""

CHECKS = 1
"""How many pairs are checked at the same time: reading back takes the wire from downloads, which
uploads wait for, and running a card's code takes memory for the whole model."""


class Pipeline:
    """Hands that pass pairs on: one downloads, one assembles, the others publish and check.

    Args:
        access: the ways to the Hub.
        store: the disk for sources and checkpoints.
        directory: an empty directory to assemble in.
        progress: what is told of it.
        push: whether to publish.
        output_directory: where to keep checkpoints, as `<owner>/<name>`.
    """

    def __init__(
        self,
        access: HubAccess,
        store: Store,
        directory: Path,
        progress: Progress,
        *,
        push: bool,
        output_directory: Path | None,
    ) -> None:
        self.access = access
        self.api = access.api
        self.store = store
        self.directory = directory
        self.progress = progress
        self.push = push
        self.output_directory = output_directory
        self._checks: dict[str, Future[Result]] = {}

    def run(self, queue: Sequence[Planned], cards: Sequence[Planned]) -> dict[str, Result]:
        """Build what is queued, renew cards, and return what became of each, by its repo."""
        with thread_pool(1) as down, thread_pool(UPLOADS) as up, thread_pool(CHECKS) as back:
            done = {each.pair.repo: up.submit(self._renew, each, back) for each in cards}
            fetching = [down.submit(self._fetch, planned) for planned in queue]
            for planned, fetched in zip(queue, fetching, strict=True):
                done[planned.pair.repo] = self._build(planned, fetched, up, back)
                raise_if_interrupted()
            results = {repo: wait_interruptibly(future) for repo, future in done.items()}
            results |= {repo: wait_interruptibly(future) for repo, future in self._checks.items()}
        return {
            repo: replace(result, steps=self.progress.steps(repo))
            for repo, result in results.items()
        }

    def _fetch(self, planned: Planned) -> list[Source]:
        sources = [*planned.sources.values()]
        missing = self.store.make_room(sources, _output(planned))
        with self.progress.step(planned.pair.repo, "Downloading", missing):
            return [self.store.fetch(source) for source in sources]

    def _build(
        self,
        planned: Planned,
        fetched: "Future[list[Source]]",
        up: ThreadPoolExecutor,
        back: ThreadPoolExecutor,
    ) -> "Future[Result]":
        """Assemble a pair once its sources are there, and hand it on to be published."""
        start = time.monotonic()
        directory = self.directory / planned.pair.repo
        try:
            sources = wait_interruptibly(fetched)
            with self.progress.step(planned.pair.repo, "Assembling", _output(planned)):
                made = self._assemble(planned, sources, directory)
        except Exception as error:
            raise_if_interrupted()
            self._clear(planned, directory)
            failed: Future[Result] = Future()
            failed.set_result(self._failure(planned, error, start))
            return failed
        finally:
            self.store.release([*planned.sources.values()])
        return up.submit(self._publish, planned, directory, made, start, back)

    def _assemble(
        self, planned: Planned, sources: Sequence[Source], directory: Path
    ) -> BuildRecord:
        pair = planned.pair
        if self.output_directory:
            check_destination(self.output_directory / pair.repo)
        directory.mkdir(parents=True)
        encoder, decoder = sources
        return build_checkpoint(
            encoder, decoder, directory, self.api, CheckpointSettings.of(pair), pair
        )

    def _publish(
        self,
        planned: Planned,
        directory: Path,
        made: BuildRecord,
        start: float,
        back: ThreadPoolExecutor,
    ) -> Result:
        """Publish or keep a checkpoint, and hand it on to be checked."""
        pair, target, commit, place = planned.pair, planned.target, None, directory
        with ExitStack() as held:
            held.callback(self._clear, planned, directory)
            try:
                size = sum(path.stat().st_size for path in directory.iterdir())
                with count_uploads() as uploads:
                    if self.push:
                        commit = self._push(planned, directory, size)
                if self.output_directory:
                    place = self.output_directory / pair.repo
                    replace_checkpoint(directory, place)
            except Exception as error:
                return self._failure(planned, error, start, commit)
            result = planned.result("built", self.api, commit, size, time.monotonic() - start)
            result = replace(result, checksums=made.checksums(), uploaded=uploads.sent)
            if commit and pair.check != "none":
                assert target is not None
                published = PublishedCommit(made, pair.repo, commit, target.head)
                is_run = pair.check == "generate"
                look = partial(verify_published, published, run=place if is_run else None)
                until = held.pop_all()
                if not is_run:
                    until.close()  # other pairs need the disk, and what is read back takes none
                self._checks[pair.repo] = back.submit(
                    self._check, planned, result, start, look, until
                )
        return result

    def _push(self, planned: Planned, directory: Path, size: int) -> str:
        pair, target = planned.pair, planned.target
        assert target is not None
        with self.progress.step(pair.repo, "Publishing", size):
            commit = commits.publish(
                target, directory, private=pair.private, api=self.api, pusher=self.access.to
            )
        log.info("%s: Published as %s", pair.repo, repos.commit_url(pair.repo, commit, self.api))
        return commit

    def _check(
        self,
        planned: Planned,
        result: Result,
        start: float,
        look: Callable[[Path, HfApi], None],
        held: ExitStack | None = None,
    ) -> Result:
        """Return the result of what was published, once it is checked.

        Args:
            look: checks it, with an empty directory and the Hub.
            held: what the check needs until it is over.
        """
        repo = planned.pair.repo
        size = result.size if planned.action == "build" else 0  # a bar does not count cards
        try:
            with (
                held or ExitStack(),
                self.progress.step(repo, "Checking", size),
                staging_directory(self.directory) as empty,
            ):
                look(empty, self.access.to(repo))
        except Exception as error:
            return self._failure(planned, error, start, result.commit)
        return replace(result, seconds=time.monotonic() - start)

    def _clear(self, planned: Planned, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        self.store.give_back(_output(planned))

    def _renew(self, planned: Planned, back: ThreadPoolExecutor) -> Result:
        """Publish a card of the words that the manifest has now, beside the weights that stand."""
        start, commit, size, look = time.monotonic(), None, 0, None
        pair, target, published = planned.pair, planned.target, planned.published
        assert target is not None
        assert published is not None
        try:
            if published.card_digest == planned.card_digest:
                assert pair.private is not None
                commits.set_visibility(pair.repo, pair.private, self.api)
                commit = target.head
            else:
                directory = self.directory / pair.repo
                directory.mkdir(parents=True)
                made = card.renew_card(
                    published, pair, planned.pinned, self.api.endpoint, directory
                )
                size = sum(path.stat().st_size for path in directory.iterdir())
                with self.progress.step(pair.repo, "Publishing", 0):
                    commit = commits.publish_card(
                        target, directory, private=pair.private, api=self.api, pusher=self.access.to
                    )
                look = partial(
                    verify_published_card, PublishedCommit(made, pair.repo, commit, target.head)
                )
        except Exception as error:
            return self._failure(planned, error, start, commit)
        result = planned.result("card-only", self.api, commit, size, time.monotonic() - start)
        if look and pair.check != "none":
            self._checks[pair.repo] = back.submit(self._check, planned, result, start, look)
        return result

    def _failure(
        self, planned: Planned, error: Exception, start: float, commit: str | None = None
    ) -> Result:
        """Return the result of a pair that failed, maybe after it was published as a commit."""
        if not isinstance(error, VedError | OSError):
            log.error("%s: Unexpected error", planned.pair.repo, exc_info=error)
        said = as_ved_error(error)
        log.error("%s: Failed: %s", planned.pair.repo, said)
        seconds = time.monotonic() - start
        result = planned.result("failed", self.api, commit, seconds=seconds)
        return replace(result, reason=str(said), code=said.code)


def order_by_download_cost(planned: Iterable[Planned]) -> list[Planned]:
    """Return pairs so that each has the fewest bytes to download that are not here by then.

    The first upload can begin early, and pairs that share sources come together.
    """
    remaining, here = list(planned), set[str]()
    ordered = []
    while remaining:
        following = min(remaining, key=lambda each: _download(each, here))
        remaining.remove(following)
        ordered.append(following)
        here |= {str(source) for source in following.sources.values()}
    return ordered


def _download(planned: Planned, here: Collection[str]) -> int:
    assert planned.needs is not None
    return sum(size for name, size in planned.needs.sources.items() if name not in here)


def _output(planned: Planned) -> int:
    assert planned.needs is not None
    return planned.needs.output
