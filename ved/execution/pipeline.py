"""Run planned actions: one pair downloads while another is assembled and a third is uploaded.

The threads, and who owns a pair's directory when:

    downloads (1)   fetches sources into the source store; owns no checkpoint directory
    main            assembles: creates the directory, owns it until the checkpoint is complete
    uploads (2)     publishes: owns the directory from then on, moves it to the output directory
                    or deletes it
    checks (1)      reads the published commit back; owns the directory as long as the check
                    uses it, and then deletes it

A pair's error is the result of that pair; the other pairs go on.
"""

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from huggingface_hub import HfApi

from ved.execution import readback
from ved.execution.checkpoint_dir import BuiltCheckpoint, build_checkpoint, prepare_assembly
from ved.execution.progress import Progress, bytes_below
from ved.execution.reporter import UNCHECKED, Reporter
from ved.execution.source_store import SourceStore, weights_to_learn
from ved.hub.access import HubAccess
from ved.hub.upload_counter import count_uploads, upload_measure
from ved.interruption import (
    InterruptibleLock,
    raise_if_interrupted,
    thread_pool,
    wait_interruptibly,
)
from ved.machine import DiskBudget, DiskNeed
from ved.manifest.settings import CheckpointSettings
from ved.planning import Build, RenewCard, RunOptions, SetVisibility
from ved.planning.machine_checks import disk_need
from ved.publishing import commits, repos
from ved.record import card
from ved.record.output_directory import replace_output_directory, staging_directory
from ved.results import Result, ResultCollector
from ved.sources.source import Source

log = logging.getLogger("ved")

UPLOADS = 2
"""How many pairs are published at the same time: while the Hub creates the commit of one pair, the
network is free for another. Transfers run one by one, because two would both arrive late."""

CHECKS = 1
"""How many pairs are checked at the same time: reading back takes bandwidth from downloads, which
uploads wait for, and running a card's code takes memory for the whole model."""

_Pending: TypeAlias = "Future[Future[None] | None]"
"""A publication, and the check that follows it, if there is one."""


@dataclass
class _Work:
    """A build, the disk that it takes, its directory, its start, and sources that uploads need."""

    action: Build
    need: DiskNeed
    directory: Path
    start: float = 0.0
    learned: list[Path] = field(default_factory=list)


class Pipeline:
    """The threads of a run, and what they share.

    Args:
        access: the clients of the Hub.
        budget: the disk for sources and checkpoints.
        store: the downloaded sources, within that budget.
        directory: an empty directory to assemble in.
        progress: reports each step.
        collector: gets each result as soon as it is known.
        options: the options of the run.
    """

    def __init__(
        self,
        access: HubAccess,
        budget: DiskBudget,
        store: SourceStore,
        directory: Path,
        progress: Progress,
        collector: ResultCollector,
        options: RunOptions,
    ) -> None:
        self._access = access
        self._api = access.api
        self._budget = budget
        self._store = store
        self._directory = directory
        self._progress = progress
        self._reporter = Reporter(collector, progress, access.api.endpoint)
        self._options = options
        self._transfer = InterruptibleLock()

    def run(self, builds: Sequence[Build], updates: Sequence[RenewCard | SetVisibility]) -> None:
        """Run the actions; their results are in the collector, also after an exception.

        Raises:
            KeyboardInterrupt: the process is interrupted.
        """
        works = [
            _Work(build, disk_need(build, self._options), self._directory / build.pair.repo)
            for build in builds
        ]
        with (
            thread_pool(1) as downloads,
            thread_pool(UPLOADS) as uploads,
            thread_pool(CHECKS) as checks,
        ):
            pending = [uploads.submit(self._update, each, checks) for each in updates]
            fetched = [downloads.submit(self._fetch, work) for work in works]
            if works:
                prepare_assembly()  # the first pair downloads meanwhile
            for work, sources in zip(works, fetched, strict=True):
                built = self._build(work, sources)
                if built is not None:
                    pending.append(uploads.submit(self._publish, work, built, checks))
                raise_if_interrupted()
            for publication in pending:
                check = wait_interruptibly(publication)
                if check is not None:
                    wait_interruptibly(check)

    def _fetch(self, work: _Work) -> list[Source]:
        """Download the sources of a pair, then wait until there is disk for its checkpoint."""
        sources, missing = [*work.action.sources.values()], self._store.reserve_sources(work.need)
        self._reporter.raise_if_limited()
        work.start = time.monotonic()  # the time of a pair does not include its waiting for others
        measure = self._store.measure_download(sources)
        step = self._progress.step(work.action.pair.repo, "Downloading", missing, measure)
        with step if missing else nullcontext():
            fetched = [self._store.fetch(source) for source in sources]
        seconds = time.monotonic() - work.start
        self._store.reserve_output(work.need)
        work.start = time.monotonic() - seconds
        return fetched

    def _build(self, work: _Work, fetched: "Future[list[Source]]") -> BuiltCheckpoint | None:
        """Assemble a pair once its sources are there; None if it failed, which is reported."""
        pair = work.action.pair
        try:
            encoder, decoder = wait_interruptibly(fetched)
            self._reporter.raise_if_limited()
            written = partial(bytes_below, work.directory)
            with self._progress.step(pair.repo, "Assembling", work.need.output, written):
                work.directory.mkdir(parents=True)
                settings, found = CheckpointSettings.of(pair), work.action.examinations
                built = build_checkpoint(
                    encoder, decoder, work.directory, self._api, settings, pair, examinations=found
                )
            work.action = self._reporter.with_warnings(work.action, built.tie_warnings)
            work.learned = weights_to_learn([encoder, decoder]) if self._options.push else []
            return built
        except Exception as error:
            raise_if_interrupted()
            self._discard(work)
            self._reporter.failed(work.action, error, work.start)
            return None
        finally:
            if not work.learned:
                self._store.release([*work.action.sources.values()])

    def _publish(
        self, work: _Work, built: BuiltCheckpoint, checks: ThreadPoolExecutor
    ) -> "Future[None] | None":
        """Publish a checkpoint, keep it, or both; return its check, if there is one."""
        action, pair, place, commit = work.action, work.action.pair, work.directory, None
        checksums = built.record.checksums()
        with ExitStack() as owned, ExitStack() as reading:
            owned.callback(self._discard, work)
            if work.learned:
                reading.callback(self._store.release, [*action.sources.values()])
            try:
                size = sum(path.stat().st_size for path in place.iterdir())
                with count_uploads() as uploads:
                    if self._options.push:
                        commit = self._push(work, size, checksums, reading)
                if self._options.output_directory:
                    place = self._options.output_directory / pair.repo
                    replace_output_directory(work.directory, place)
                    self._budget.release_output(work.need, kept=True)
            except Exception as error:
                self._reporter.failed(action, error, work.start, commit, checksums)
                return None
            result = self._reporter.result(action, "built", work.start, commit, size)
            result = replace(result, checksums=checksums, uploaded=uploads.sent)
            if commit is None or pair.check == "none":
                self._reporter.done(result)
                return None
            self._reporter.unfinished(result, UNCHECKED)
            assert action.target is not None
            parent = action.target.head
            published = readback.PublishedCommit(built.record, pair.repo, commit, parent)
            until_checked = owned.pop_all()
            release = until_checked.close  # other pairs need the disk
            check = readback.prepare_check(published, pair.check, place, release)
            return checks.submit(self._check, action, result, check, work.start, until_checked)

    def _push(self, work: _Work, size: int, digests: Mapping[str, str], reading: ExitStack) -> str:
        action, repo = work.action, work.action.pair.repo
        assert action.target is not None
        self._reporter.raise_if_limited()
        on_commit = self._reporter.publishing(action, "built", work.start, size, digests)
        with self._progress.step(repo, "Publishing", size, upload_measure()):
            commit = commits.publish(
                action.target,
                work.directory,
                private=action.pair.private,
                api=self._api,
                pusher=self._access.client_for,
                on_commit=on_commit,
                sources=work.learned,
                on_sources_read=reading.close,
                transfer=self._transfer,
            )
        url = repos.commit_url(repo, commit, self._api.endpoint)
        log.info("%s: Published as %s", repo, url)
        return commit

    def _update(
        self, action: RenewCard | SetVisibility, checks: ThreadPoolExecutor
    ) -> "Future[None] | None":
        """Change a repo without its weights; return the check, if there is one."""
        start, head = time.monotonic(), action.target.head
        try:
            self._reporter.raise_if_limited()
            if isinstance(action, SetVisibility):
                commits.set_visibility(action.pair.repo, action.private, self._api)
                self._reporter.done(self._reporter.result(action, "card-only", start, head))
                return None
            commit, size, check = self._renew_card(action, start)
        except Exception as error:
            self._reporter.failed(action, error, start)
            return None
        result = self._reporter.result(action, "card-only", start, commit, size)
        if action.pair.check == "none":
            self._reporter.done(result)
            return None
        self._reporter.unfinished(result, UNCHECKED)
        return checks.submit(self._check, action, result, check, start, ExitStack())

    def _renew_card(
        self, action: RenewCard, start: float
    ) -> tuple[str, int, Callable[[Path, HfApi], None]]:
        """Publish a new model card; return the commit, its bytes, and what checks it."""
        directory = self._directory / action.pair.repo
        directory.mkdir(parents=True)
        pinned, endpoint = action.subject.pinned, self._api.endpoint
        record = card.renew_card(action.published, action.pair, pinned, endpoint, directory)
        size = sum(path.stat().st_size for path in directory.iterdir())
        on_commit = self._reporter.publishing(action, "card-only", start, size)
        with self._progress.step(action.pair.repo, "Publishing the model card", 0):
            commit = commits.publish_card(
                action.target,
                directory,
                private=action.pair.private,
                api=self._api,
                pusher=self._access.client_for,
                on_commit=on_commit,
            )
        published = readback.PublishedCommit(record, action.pair.repo, commit, action.target.head)
        return commit, size, partial(readback.check_published_card, published)

    def _check(
        self,
        action: Build | RenewCard,
        result: Result,
        check: Callable[[Path, HfApi], None],
        start: float,
        owned: ExitStack,
    ) -> None:
        """Check a published commit by calling `check`, report the result, and close `owned`."""
        repo = action.pair.repo
        size = readback.planned_bytes(action) if isinstance(action, Build) else 0
        try:
            step = self._progress.step(repo, "Checking", size)
            with owned, step, staging_directory(self._directory) as empty:
                check(empty, self._access.client_for(repo))
        except Exception as error:
            self._reporter.failed(action, error, start, result.commit)
            return
        self._reporter.done(replace(result, seconds=time.monotonic() - start))

    def _discard(self, work: _Work) -> None:
        shutil.rmtree(work.directory, ignore_errors=True)
        self._budget.release_output(work.need, kept=False)
