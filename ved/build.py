"""Runs a manifest's pairs, one after the other; one pair's failure stays its own."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from huggingface_hub import HfApi

from ved import card, hub, record, source
from ved.errors import RequestError, VedError, describe, describe_unexpected
from ved.families import Role
from ved.manifest import Manifest, Pair, SourceRef
from ved.source import ResolvedSource

if TYPE_CHECKING:
    from ved.assemble import Checkpoint, Settings

log = logging.getLogger("ved")


@dataclass(frozen=True)
class Result:
    """What became of a pair.

    Attributes:
        pair: the pair.
        action: what was done.
        reason: why it failed; empty otherwise.
        warnings: what its owner should know, a sentence each.
        commit: the commit it was published as.
        url: where a person can look at that commit.
        size: bytes of all its files.
        seconds: how long it took.
    """

    pair: Pair
    action: Literal["built", "failed"]
    reason: str = ""
    warnings: tuple[str, ...] = ()
    commit: str | None = None
    url: str | None = None
    size: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Options:
    """How to build.

    Attributes:
        only: the repos to build; all where empty.
        output_directory: where to keep what is built, as `<owner>/<name>`.
        push: whether to publish it.
    """

    only: tuple[str, ...] = ()
    output_directory: Path | None = None
    push: bool = True


def build(
    manifest: Manifest,
    options: Options,
    api: HfApi,
    around: Callable[[Pair], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> list[Result]:
    """Build pairs, and return what became of each, in the manifest's order.

    Args:
        manifest: the pairs.
        options: which of them, and what to do with them.
        api: the Hub, with the token to publish with.
        around: entered while a pair is built, for the log.

    Raises:
        RequestError: the request itself is wrong; then nothing was built.
    """
    pairs = _select(manifest, options.only)
    namespaces = hub.writable_namespaces(api) if options.push else None
    builder = _Builder(options, api, namespaces)
    results = []
    for pair in pairs:
        with around(pair):
            results.append(builder.result(pair))
    return results


def _select(manifest: Manifest, only: Iterable[str]) -> list[Pair]:
    """Return the pairs asked for by `owner/name`, or by the name alone where that is one pair's."""
    found = {
        asked: [pair for pair in manifest.pairs if asked.lower() in _names(pair)] for asked in only
    }
    unknown = [asked for asked, pairs in found.items() if len(pairs) != 1]
    if unknown:
        raise RequestError(
            f"{manifest.name} has no one pair that is called {', '.join(unknown)}.",
            f"It has {', '.join(pair.repo for pair in manifest.pairs)}.",
        )
    wanted = {pair.repo for pairs in found.values() for pair in pairs}
    return [pair for pair in manifest.pairs if not wanted or pair.repo in wanted]


def _names(pair: Pair) -> tuple[str, str]:
    repo = pair.repo.lower()
    return repo, repo.partition("/")[2]


class _Builder:
    def __init__(self, options: Options, api: HfApi, namespaces: frozenset[str] | None) -> None:
        self.options = options
        self.api = api
        self.namespaces = namespaces
        self._resolved: dict[tuple[Role, SourceRef], ResolvedSource] = {}

    def result(self, pair: Pair) -> Result:
        """Build a pair; an error becomes its result."""
        start = time.monotonic()
        try:
            result = self._build(pair)
        except VedError as error:
            reason = str(error)
        except OSError as error:
            reason = describe(error)
        except Exception as error:
            reason = describe_unexpected(error)
            log.exception("Unexpected error")
        else:
            return replace(result, seconds=time.monotonic() - start)
        log.error("Failed: %s", reason)
        return Result(pair, "failed", reason, seconds=time.monotonic() - start)

    def _build(self, pair: Pair) -> Result:
        destination = self.options.output_directory and self.options.output_directory / pair.repo
        if destination:
            check_destination(destination)
        target = self._check_target(pair)
        encoder, decoder = self._resolve(pair)
        if target is not None:
            hub.check_card(card.metadata(pair, encoder, decoder), pair.repo, self.api)
        with staging(self.options.output_directory) as directory:
            checkpoint = make_checkpoint(encoder, decoder, directory, self.api, pair)
            size = sum(path.stat().st_size for path in directory.iterdir())
            result = Result(pair, "built", warnings=checkpoint.warnings, size=size)
            if target is not None:
                log.info("Publishing %.1f MB to %s", size / 1e6, pair.repo)
                published = hub.publish(target, directory, private=pair.private, api=self.api)
                log.info("Published as %s", published.url)
                result = replace(result, commit=published.commit, url=published.url)
            if destination:
                put_in_place(directory, destination)
        return result

    def _check_target(self, pair: Pair) -> hub.Target | None:
        if self.namespaces is None:
            return None
        if pair.repo.lower() in (pair.encoder.model.lower(), pair.decoder.model.lower()):
            raise VedError(
                f"{pair.repo} is one of its own sources, which publishing would replace.",
                "Choose another name.",
            )
        hub.check_namespace(pair.repo, self.namespaces)
        target = hub.target(pair.repo, self.api)
        hub.check_ownership(target, pair.adopt)
        return target

    def _resolve(self, pair: Pair) -> tuple[ResolvedSource, ResolvedSource]:
        """Resolve both sources; what is wrong with either is said in one error."""
        found, errors = {}, []
        refs: dict[Role, SourceRef] = {"encoder": pair.encoder, "decoder": pair.decoder}
        for role, ref in refs.items():
            try:
                found[role] = self._resolve_one(role, ref)
            except VedError as error:
                errors.append(str(error))
        if errors:
            raise VedError(" ".join(errors))
        return found["encoder"], found["decoder"]

    def _resolve_one(self, role: Role, ref: SourceRef) -> ResolvedSource:
        if (role, ref) not in self._resolved:
            resolved = source.resolve(role, ref, self.api)
            log.info("%s: %s", role.capitalize(), resolved)
            self._resolved[role, ref] = resolved
        return self._resolved[role, ref]


def make_checkpoint(
    encoder: ResolvedSource,
    decoder: ResolvedSource,
    directory: Path,
    api: HfApi,
    pair: Pair | None = None,
) -> "Checkpoint":
    """Download two sources, and put the checkpoint made of them into an empty directory.

    Args:
        pair: what the manifest says of it; without it there is no model card.

    Raises:
        VedError: the sources cannot be had or cannot be assembled.
        OSError: a file cannot be read or written.
    """
    log.info("Downloading what is not here yet")
    sources = encoder.fetch(api), decoder.fetch(api)
    log.info("Assembling")
    with ThreadPoolExecutor(1) as pool:
        # Hashing the sources takes a processor's time, as does importing jax and transformers;
        # the record finds the digests made.
        digests = [pool.submit(each.digests) for each in sources]
        from ved.assemble import assemble

        checkpoint = assemble(*sources, directory, _settings(pair))
        for warning in checkpoint.warnings:
            log.warning("Warning: %s", warning)
        if pair:
            card.write(pair, *sources, checkpoint, api.endpoint)
        for each in digests:
            each.result()
    record.write(record.make(*sources, checkpoint, pair), directory)
    return checkpoint


def _settings(pair: Pair | None) -> "Settings":
    from ved.assemble import Settings

    if pair is None:
        return Settings()
    return Settings(
        token_ids=pair.token_ids.model_dump(exclude_none=True),
        seed=pair.seed,
        dtype=pair.dtype,
        weights=pair.weights,
    )


@contextmanager
def staging(beside: Path | None) -> Iterator[Path]:
    """Yield an empty directory that is gone afterwards, with all that is still in it."""
    with tempfile.TemporaryDirectory(prefix=".ved-", dir=beside) as name:
        directory = Path(name) / "checkpoint"
        directory.mkdir()
        yield directory


def check_destination(destination: Path) -> None:
    """Make sure that nothing is there but what VED put there before.

    Raises:
        VedError: something else is.
    """
    if destination.exists() and not destination.is_dir():
        raise VedError(f"{destination} is a file.", "Name a directory.")
    made_by_ved = (destination / record.FILE_NAME).exists()
    if destination.exists() and not made_by_ved and any(destination.iterdir()):
        raise VedError(
            f"{destination} is not empty, and VED did not make it.",
            f"Name another directory; one that VED made has {record.FILE_NAME}.",
        )


def put_in_place(directory: Path, destination: Path) -> None:
    """Move a finished checkpoint to where it is wanted, replacing one that VED put there before.

    Raises:
        VedError: something else is there.
        OSError: it cannot be moved.
    """
    check_destination(destination)
    if destination.exists():
        shutil.rmtree(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    directory.replace(destination)
