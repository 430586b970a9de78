"""The command line: arguments and exit statuses. `ved.commands` does the work."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pydantic import ValidationError

from ved import environment, interruption, logs
from ved.arguments import build_parser
from ved.errors import ErrorCode, RequestError, VedError, as_ved_error
from ved.interruption import ExitStatus
from ved.logs import CleanStream
from ved.manifest.fields import is_local
from ved.manifest.loading import ManifestError, load
from ved.manifest.pair_models import ConfigRef, SourceRef
from ved.manifest.problems import Problem
from ved.redaction import KNOWN, environment_secrets
from ved.terminal.abilities import abilities_of

if TYPE_CHECKING:
    from ved.planning import RunOptions
    from ved.results import Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status, an `ExitStatus`."""
    for secret in environment_secrets(os.environ):
        KNOWN.add(secret)
    with redirect_stdout(CleanStream(sys.stdout)), redirect_stderr(CleanStream(sys.stderr)):
        return _run_command(build_parser().parse_args(arguments))


def _run_command(options: argparse.Namespace) -> int:
    endpoint = getattr(options, "endpoint", None)
    environment.prepare(endpoint=endpoint)
    logs.configure(sys.stderr)
    try:
        status = _COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of the output, such as `head`, has ended. Python writes the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAILED
    except ManifestError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        print(f"  SEE {error.code.url}", file=sys.stderr)
        return ExitStatus.WRONG_REQUEST
    except (VedError, OSError) as error:
        explained = as_ved_error(error)
        lines = {
            "ERROR": explained.cause,
            "  TIP": explained.remedy,
            "  SEE": explained.code.url,
        }
        for label, text in lines.items():
            if text:
                print(label, text, file=sys.stderr)
        return ExitStatus.WRONG_REQUEST if isinstance(error, RequestError) else ExitStatus.FAILED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return ExitStatus.INTERRUPTED


def run() -> NoReturn:
    """Run the command of this process, and end the process."""
    interruption.install_signal_handlers()
    interruption.exit_process(main())


def _validate(options: argparse.Namespace) -> int:
    problems: list[Problem] = []
    for path in options.manifests:
        try:
            manifest = load(path)
        except ManifestError as error:
            problems += error.problems
            continue
        count = len(manifest.pairs)
        print(f"{manifest.name}: valid, {count} {'pair' if count == 1 else 'pairs'}.")
    if problems:
        raise ManifestError(problems)
    return ExitStatus.WELL


def _families(options: argparse.Namespace) -> int:
    from ved.families.overview import format_table, overview, to_json

    print(to_json(overview()) if options.json else format_table(overview()))
    return ExitStatus.WELL


def _plan(options: argparse.Namespace) -> int:
    from ved.planning import check_shard_count

    if options.shards is not None:
        check_shard_count(options.shards)
    manifest = load(options.manifest)
    from ved import commands
    from ved.results import Row, format_lines, to_json

    plan = commands.plan(manifest, _run_options(options))
    if options.shards is not None:
        print(json.dumps(plan.matrix(options.shards)))
        refused = [result for result in plan.results if result.is_bad]
        if refused:
            print(format_lines(refused, findings=True), file=sys.stderr)
    elif options.json:
        print(to_json([Row.of(result) for result in plan.results]))
    else:
        print(plan.lines())
    return _status(plan.results)


def _build(options: argparse.Namespace) -> int:
    manifest = load(options.manifest)
    from ved import commands
    from ved.results import format_lines

    if options.output_dir is not None:
        options.output_dir.mkdir(parents=True, exist_ok=True)
    collector = commands.ResultCollector()
    try:
        commands.build(manifest, _run_options(options), collector=collector)
    finally:
        # An interrupted run reports, too, what was done until then.
        if collector.results:
            print(format_lines(collector.results), flush=True)
    return _status(collector.results)


def _status(results: "Sequence[Result]") -> int:
    """Return the exit status of a plan or a build."""
    is_bad = any(result.is_bad for result in results)
    return ExitStatus.FAILED if is_bad else ExitStatus.WELL


def _run_options(options: argparse.Namespace) -> "RunOptions":
    from ved.planning import RunOptions, parse_shard
    from ved.sizes import parse_size

    return RunOptions(
        only=parse_shard(options.shard) if options.shard else _names(options.only),
        output_directory=options.output_dir,
        push=options.push,
        max_disk=parse_size(options.max_disk) if options.max_disk else None,
        progress_bar=abilities_of(sys.stderr).bars,
    )


def _names(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the names in arguments, each of which may have several with commas between them."""
    names = (name.strip() for argument in arguments for name in argument.split(","))
    return tuple(name for name in names if name)


def _assemble(options: argparse.Namespace) -> int:
    from ved import commands

    encoder, decoder = (_source_ref(options, role) for role in ("encoder", "decoder"))
    checkpoint = commands.assemble(encoder, decoder, options.output_dir)
    for warning in checkpoint.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{options.output_dir}: {checkpoint.record.num_parameters:,} parameters.")
    return ExitStatus.WELL


def _verify(options: argparse.Namespace) -> int:
    from ved import commands

    verdict = commands.verify(options.checkpoint, allow_local=options.allow_local)
    print(verdict)
    return ExitStatus.WELL if verdict.is_true else ExitStatus.FAILED


def _source_ref(options: argparse.Namespace, role: str) -> SourceRef:
    model = _config_ref(getattr(options, f"{role}_model_name_or_path"))
    config = getattr(options, f"{role}_config_name")
    return SourceRef(
        model=model.model,
        revision=model.revision,
        config=_config_ref(config) if config else None,
        weights_from=getattr(options, f"{role}_weights_from"),
    )


def _config_ref(name: str) -> ConfigRef:
    """Parse a name as in a manifest, where a local directory begins with ./, ../ or /.

    A name with an owner is a repo, whatever the working directory contains. Without an owner, it
    is a mistake if there is such a directory: transformers' script takes the directory.
    """
    if "/" not in name and not is_local(name) and Path(name).is_dir():
        _refuse_directory_without_dot(name)
    try:
        return ConfigRef.model_validate(name)
    except ValidationError as error:
        if not is_local(name) and Path(name).is_dir():
            _refuse_directory_without_dot(name)
        raise RequestError(f"{error.errors()[0]['msg']}.", code=ErrorCode.WRONG_INPUT) from error


def _refuse_directory_without_dot(name: str) -> NoReturn:
    raise RequestError(
        f"{name!r} is a directory.",
        f"Write ./{name} for the directory. A name without ./ is that of a repo.",
        code=ErrorCode.WRONG_INPUT,
    )


def _localhub(options: argparse.Namespace) -> int:
    try:
        from ved.localhub import LocalHub
    except ModuleNotFoundError as error:
        raise RequestError(
            f"The local Hub needs {error.name}, which is not installed.",
            "In a checkout of VED: pip install '.[localhub]'.",
            code=ErrorCode.WRONG_INPUT,
        ) from error
    with LocalHub(
        options.root,
        port=options.port,
        xet=options.xet,
        like_production=options.like_production,
    ) as hub:
        hub.add_user("me", token="hf_local")  # noqa: S106 - it opens nothing but this Hub
        if options.samples:
            from ved.localhub import samples

            for repo in samples.publish(hub):
                print(f"Sample: {repo}")
        print(f"A Hub at {hub.endpoint}; user: me, token: hf_local. Ctrl+C stops it.", flush=True)
        hub.serve_forever()
    return ExitStatus.WELL


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "validate": _validate,
    "families": _families,
    "plan": _plan,
    "build": _build,
    "assemble": _assemble,
    "verify": _verify,
    "localhub": _localhub,
}
