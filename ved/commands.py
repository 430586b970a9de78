"""The commands of VED as functions: validate, plan, build, assemble, verify, report.

The command line and the action call these, and so may other programs:

    from pathlib import Path
    from ved import commands

    manifest = commands.validate(Path("pairs.yaml"))
    plan = commands.plan(manifest)
    print(plan.lines())

Importing this module sets the environment variables that jax and transformers read; import it
before them. See `ved.environment`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ved import environment

environment.prepare_once()

from huggingface_hub import HfApi  # noqa: E402 - after the environment is prepared

from ved import execution  # noqa: E402
from ved.errors import ErrorCode, RequestError, VedError  # noqa: E402
from ved.execution import BuiltCheckpoint, Verdict  # noqa: E402
from ved.hub import HubAccess, Publisher, account, connect  # noqa: E402
from ved.hub.xet import temporary_cache  # noqa: E402
from ved.manifest.loading import Manifest, ManifestError, load  # noqa: E402
from ved.manifest.pair_models import SourceRef  # noqa: E402
from ved.manifest.selection import select  # noqa: E402
from ved.manifest.settings import CheckpointSettings  # noqa: E402
from ved.planning import (  # noqa: E402
    PlannedAction,
    RunOptions,
    build_matrix,
    distribute,
    make_plan,
    pair_costs,
)
from ved.record.output_directory import (  # noqa: E402
    check_output_directory,
    replace_output_directory,
    staging_directory,
)
from ved.results import (  # noqa: E402
    Result,
    ResultCollector,
    Row,
    format_lines,
    merge_results,
    planned_result,
)
from ved.sources.source import resolve_source  # noqa: E402

__all__ = [
    "BuiltCheckpoint",
    "Manifest",
    "ManifestError",
    "PlanReport",
    "RequestError",
    "Result",
    "ResultCollector",
    "Row",
    "RunOptions",
    "SourceRef",
    "VedError",
    "Verdict",
    "assemble",
    "build",
    "plan",
    "report",
    "select",
    "validate",
    "verify",
]

log = logging.getLogger("ved")

WITHOUT_TOKEN = "Planned without a token: private repos are not visible, rights are not checked."  # noqa: S105


@dataclass(frozen=True)
class PlanReport:
    """A plan, and what it says about each pair.

    Attributes:
        actions: the planned actions, in the manifest's order.
        results: the same for people and programs.
    """

    actions: Sequence[PlannedAction]
    results: Sequence[Result]

    def matrix(self, shards: int) -> dict[str, Any]:
        """Return the pending pairs as a GitHub Actions matrix.

        Args:
            shards: the maximum number of jobs, 1 to 256.

        Raises:
            RequestError: a matrix cannot have so many jobs.
        """
        return build_matrix(distribute(pair_costs(self.actions), shards))

    def lines(self) -> str:
        """Return the plan as lines for a terminal, with all findings."""
        return format_lines(self.results, findings=True)


def validate(path: Path) -> Manifest:
    """Return a manifest.

    Args:
        path: the file, such as pairs.yaml.

    Raises:
        ManifestError: the manifest is wrong; the error has every problem with its place.
    """
    return load(path)


@temporary_cache()
def plan(
    manifest: Manifest, options: RunOptions | None = None, api: HfApi | None = None
) -> PlanReport:
    """Return what `build` would do for each pair, and why; write nothing.

    No token is needed. Without one, rights are not checked, and private repos are not visible.

    Args:
        manifest: the pairs.
        options: which pairs, and how; the defaults if None.
        api: the client of the Hub; a new one if None.

    Raises:
        RequestError: the request itself is wrong.
        OSError: the disk cannot be measured or written.
    """
    options, api = _checked(options or RunOptions()), api or connect()
    pairs = select(manifest, options.only)
    rights = account.known_rights(api)
    if not HubAccess(api).has_token:
        log.info(WITHOUT_TOKEN)
    actions = make_plan(pairs, options, HubAccess(api), rights, builds_here=False)
    return PlanReport(actions, [planned_result(each, api.endpoint) for each in actions])


@temporary_cache()
def build(
    manifest: Manifest,
    options: RunOptions | None = None,
    api: HfApi | None = None,
    *,
    publisher: Publisher | None = None,
    collector: ResultCollector | None = None,
    on_plan: Callable[[Sequence[Result]], None] | None = None,
) -> list[Result]:
    """Build and publish the pairs that are not up to date; return the results, in order.

    Args:
        manifest: the pairs.
        options: which pairs, and how; the defaults if None.
        api: the client of the Hub, with the stored token if there is one; a new one if None.
        publisher: the identity of a CI job, to publish with.
        collector: gets each result as soon as it is known. Its results stay readable if this
            function raises.
        on_plan: called with the plan before anything is built; logs the plan if None.

    Raises:
        RequestError: the request itself is wrong; nothing was built.
        OSError: the disk cannot be measured or written.
        KeyboardInterrupt: the process is interrupted.
    """
    options, api = _checked(options or RunOptions()), api or connect()
    collector = collector or ResultCollector()
    pairs = select(manifest, options.only)
    access = HubAccess(api, publisher)
    # Only a push shows whether a job's identity may push.
    needs_token = options.push and publisher is None
    rights = account.writing_rights(api) if needs_token else None
    actions = make_plan(pairs, options, access, rights)
    results = [planned_result(each, api.endpoint) for each in actions]
    (on_plan or _log_plan)(results)
    execution.run_plan(actions, manifest.pairs, options, access, collector)
    return collector.results


@temporary_cache()
def assemble(
    encoder: SourceRef, decoder: SourceRef, output_directory: Path, api: HfApi | None = None
) -> BuiltCheckpoint:
    """Assemble one pair into a directory, without a manifest and without publishing.

    Args:
        encoder: the vision encoder.
        decoder: the text decoder.
        output_directory: a directory that is missing, empty, or as VED wrote it.
        api: the client of the Hub; a new one if None.

    Raises:
        VedError: the sources cannot be assembled, or the directory may not be replaced.
        OSError: a file cannot be read or written.
    """
    check_output_directory(output_directory)
    api = api or connect()
    resolved = resolve_source("encoder", encoder, api), resolve_source("decoder", decoder, api)
    sources = resolved[0].fetch(api), resolved[1].fetch(api)
    output_directory.parent.mkdir(parents=True, exist_ok=True)
    with staging_directory(output_directory.parent) as directory:
        built = directory / "checkpoint"
        built.mkdir()
        checkpoint = execution.build_checkpoint(*sources, built, api, CheckpointSettings())
        replace_output_directory(built, output_directory)
    unknown = [f"{each.role}: {each.config_warning}" for each in resolved if each.config_warning]
    return replace(
        checkpoint, directory=output_directory, warnings=(*unknown, *checkpoint.warnings)
    )


@temporary_cache()
def verify(checkpoint: str, api: HfApi | None = None, *, allow_local: bool = False) -> Verdict:
    """Rebuild a published checkpoint from its build record, and compare byte for byte.

    Args:
        checkpoint: `owner/name`, `owner/name@revision`, or a directory that begins with `./`,
            `../` or `/`.
        api: the client of the Hub that has the sources; a new one if None.
        allow_local: whether the record may name local directories as sources.

    Raises:
        VedError: there is no record, or the checkpoint cannot be rebuilt.
        OSError: a file cannot be read or written.
    """
    return execution.verify(checkpoint, api or connect(), allow_local=allow_local)


def report(folder: Path) -> list[Row]:
    """Return the results of several jobs as one list.

    Args:
        folder: a folder with their results files.

    Raises:
        RequestError: there are no results, or a file holds something else.
    """
    return merge_results(folder)


def _log_plan(results: Sequence[Result]) -> None:
    log.info("%s\n", format_lines(results, findings=True))


def _checked(options: RunOptions) -> RunOptions:
    if not options.push and options.output_directory is None:
        raise RequestError(
            "Nothing was built: without publishing and without an output directory, the "
            "checkpoints would be lost.",
            "Add --output-dir DIR, which keeps them in DIR/owner/name. In Python, set "
            "output_directory.",
            code=ErrorCode.WRONG_INPUT,
        )
    return options
