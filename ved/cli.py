"""The command line: arguments and exit statuses. `ved.commands` does the work."""

import argparse
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from typing import TYPE_CHECKING, NoReturn

from ved import environment, interruption, logs
from ved.arguments import build_parser
from ved.errors import ErrorCode, RequestError, VedError, as_ved_error
from ved.interruption import ExitStatus
from ved.logs import CleanStream
from ved.manifest.loading import ManifestError, load
from ved.manifest.named_source import named_source
from ved.manifest.problems import Problem
from ved.manifest.selection import parse_names
from ved.redaction import KNOWN, command_secrets
from ved.terminal.output import Output

if TYPE_CHECKING:
    from ved.planning import RunOptions
    from ved.results import Result

log = logging.getLogger("ved")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status, an `ExitStatus`."""
    for secret in command_secrets(os.environ, sys.argv[1:] if arguments is None else arguments):
        KNOWN.add(secret)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not know a character
    with redirect_stdout(CleanStream(sys.stdout)), redirect_stderr(CleanStream(sys.stderr)):
        return _run_command(build_parser().parse(arguments))


def _run_command(options: argparse.Namespace) -> int:
    environment.prepare(endpoint=getattr(options, "endpoint", None))
    logs.configure(sys.stderr, _log_level(options), Output(sys.stderr).abilities.width)
    try:
        status = _COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of the output, such as `head`, has ended. Python writes the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAILED
    except ManifestError as error:
        Output(sys.stderr).manifest_error(error)
        return ExitStatus.WRONG_REQUEST
    except (VedError, OSError) as error:
        log.debug("The error in full:", exc_info=error)
        Output(sys.stderr).error(as_ved_error(error))
        return ExitStatus.WRONG_REQUEST if isinstance(error, RequestError) else ExitStatus.FAILED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return ExitStatus.INTERRUPTED


def _log_level(options: argparse.Namespace) -> int:
    if getattr(options, "quiet", False):
        return logging.WARNING
    return logging.DEBUG if getattr(options, "verbose", False) else logging.INFO


def run() -> NoReturn:
    """Run the command of this process, and end the process."""
    interruption.install_signal_handlers()
    interruption.exit_process(main())


def _validate(options: argparse.Namespace) -> int:
    problems: list[Problem] = []
    status = ExitStatus.WELL
    for path in options.manifests:
        try:
            manifest = load(path)
        except ManifestError as error:
            problems += error.problems
            continue
        except RequestError as error:  # the file cannot be read; the others are checked
            Output(sys.stderr).error(error)
            status = ExitStatus.WRONG_REQUEST
            continue
        count = len(manifest.pairs)
        print(f"{manifest.name}: valid, {count} {'pair' if count == 1 else 'pairs'}.")
    if problems:
        raise ManifestError(problems)
    return status


def _families(options: argparse.Namespace) -> int:
    from ved.families.overview import format_table, overview, to_json

    width = Output(sys.stdout).abilities.width
    print(to_json(overview()) if options.json else format_table(overview(), width))
    return ExitStatus.WELL


def _plan(options: argparse.Namespace) -> int:
    from ved.planning import check_shard_count

    if options.shards is not None:
        check_shard_count(options.shards)
    manifest = load(options.manifest)
    with _planning(options):
        from ved import commands  # which takes seconds

        plan = commands.plan(manifest, _run_options(options))
    from ved.results import Row, to_json, without_notices

    results = [without_notices(each) for each in plan.results] if options.quiet else plan.results
    if options.shards is not None:
        print(json.dumps(plan.matrix(options.shards)))
        refused = [result for result in results if result.is_bad]
        if refused:
            Output(sys.stderr).results(refused, findings=True)
    elif options.json:
        print(to_json([Row.of(result) for result in results]))
    else:
        Output(sys.stdout).results(results, findings=True)
    _count(results, options)
    return _status(results)


def _build(options: argparse.Namespace) -> int:
    manifest, start = load(options.manifest), time.monotonic()
    if options.output_dir is not None:
        options.output_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as planning:
        planning.enter_context(_planning(options))
        from ved import commands  # which takes seconds
        from ved.results import announce

        def on_plan(results: "Sequence[Result]") -> None:
            planning.close()
            announced = announce(results)
            if announced and not options.quiet:
                Output(sys.stderr).results(announced, findings=True)

        collector = commands.ResultCollector()
        try:
            commands.build(manifest, _run_options(options), collector=collector, on_plan=on_plan)
        finally:
            # An interrupted run reports, too, what was done until then.
            planning.close()
            _report(collector.results, start, options)
    return _status(collector.results)


def _report(results: "Sequence[Result]", start: float, options: argparse.Namespace) -> None:
    from ved.results import Row, to_json

    if results and options.json:
        print(to_json([Row.of(result) for result in results]), flush=True)
    elif results:
        Output(sys.stdout).results(results, output_directory=options.output_dir)
        sys.stdout.flush()
    _count(results, options, f" in {time.monotonic() - start:.0f} s")


def _planning(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Return a context in which a terminal says that VED is making a plan."""
    return nullcontext() if options.quiet else Output(sys.stderr).status("Planning")


def _count(results: "Sequence[Result]", options: argparse.Namespace, duration: str = "") -> None:
    """Print how many pairs have each action, on standard error."""
    from ved.results import count_actions

    if results and not options.quiet:
        sys.stdout.flush()  # first what it counts
        counts = count_actions(result.action for result in results)
        Output(sys.stderr).line(f"{counts}{duration}.")


def _status(results: "Sequence[Result]") -> int:
    """Return the exit status of a plan or a build."""
    is_bad = any(result.is_bad for result in results)
    return ExitStatus.FAILED if is_bad else ExitStatus.WELL


def _run_options(options: argparse.Namespace) -> "RunOptions":
    from ved.planning import RunOptions, parse_shard
    from ved.sizes import parse_size

    return RunOptions(
        only=parse_names(options.only) if options.shard is None else parse_shard(options.shard),
        output_directory=options.output_dir,
        push=options.push,
        max_disk=None if options.max_disk is None else parse_size(options.max_disk),
        progress_bar=Output(sys.stderr).abilities.bars and not options.quiet,
    )


def _assemble(options: argparse.Namespace) -> int:
    from ved.examination.examiner import open_examiner, share_examiner

    encoder, decoder = (
        named_source(
            getattr(options, f"{role}_model_name_or_path"),
            getattr(options, f"{role}_config_name"),
            getattr(options, f"{role}_weights_from"),
        )
        for role in ("encoder", "decoder")
    )
    with share_examiner(), open_examiner():
        interruption.import_whole("ved.commands")  # the process imports its libraries meanwhile
        from ved import commands

        checkpoint = commands.assemble(encoder, decoder, options.output_dir)
    for warning in checkpoint.warnings:
        Output(sys.stderr).line(f"warning: {warning}", indent=2)
    print(f"{options.output_dir}: {checkpoint.record.num_parameters:,} parameters.")
    return ExitStatus.WELL


def _verify(options: argparse.Namespace) -> int:
    from ved import commands

    verdict = commands.verify(options.checkpoint, allow_local=options.allow_local)
    Output(sys.stdout).lines(str(verdict), indent=4)
    return ExitStatus.WELL if verdict.is_true else ExitStatus.FAILED


def _localhub(options: argparse.Namespace) -> int:
    try:
        from ved.localhub import LocalHub
    except ModuleNotFoundError as error:
        from ved.starter.installed import REPOSITORY, installed_pin

        pin = installed_pin()
        release = pin.name if pin else "main"
        raise RequestError(
            f"The local Hub needs {error.name}, which is not installed.",
            f'Run pip install "ved[localhub] @ git+{REPOSITORY}@{release}". '
            "In a checkout of VED, run pip install '.[localhub]'.",
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


def _init(options: argparse.Namespace) -> int:
    from ved.starter import Terminal, start_repository

    def show(text: str) -> None:
        print(text, end="", flush=True)

    is_asked = sys.stdin.isatty() and sys.stdout.isatty()
    terminal = Terminal(sys.stdin.readline, show) if is_asked else None
    given = {name: getattr(options, name) for name in ("namespace", "encoder", "decoder", "repo")}
    for line in start_repository(options.directory, given, options.keyless, terminal):
        Output(sys.stdout).line(line, indent=3)
    return ExitStatus.WELL


def _completion(options: argparse.Namespace) -> int:
    from ved.completion import completion_script

    print(completion_script(build_parser(), options.shell))
    return ExitStatus.WELL


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "init": _init,
    "validate": _validate,
    "families": _families,
    "plan": _plan,
    "build": _build,
    "assemble": _assemble,
    "verify": _verify,
    "localhub": _localhub,
    "completion": _completion,
}
