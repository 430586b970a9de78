"""The command line: arguments and exit statuses. `ved.commands` does the work."""

import argparse
import io
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from pydantic import ValidationError

import ved
from ved import environment, interruption
from ved.errors import ErrorCode, RequestError, VedError, as_ved_error
from ved.manifest.loading import ManifestError, load
from ved.manifest.models import ConfigRef, SourceRef

if TYPE_CHECKING:
    from ved.planning.options import RunOptions

FAILED, WRONG_REQUEST = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 well, 1 a pair failed, 2 a wrong request."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A source's JSON can hold lone surrogates, which no encoding can write.
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    endpoint = getattr(options, "endpoint", None)
    environment.prepare(progress_bars=sys.stderr.isatty(), endpoint=endpoint)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    try:
        return int(options.run(options))
    except ManifestError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        print(f"  SEE {error.code.url}", file=sys.stderr)
        return WRONG_REQUEST
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
        return WRONG_REQUEST if isinstance(error, RequestError) else FAILED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return interruption.INTERRUPTED


def run() -> NoReturn:
    """Run the command of this process, and end the process."""
    interruption.install_signal_handlers()
    interruption.exit_process(main())


def _validate(options: argparse.Namespace) -> int:
    manifest = load(options.manifest)
    count = len(manifest.pairs)
    print(f"{manifest.name}: valid, {count} {'pair' if count == 1 else 'pairs'}.")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from ved.planning.matrix import check_shard_count

    if options.shards is not None:
        check_shard_count(options.shards)
    manifest = load(options.manifest)
    from ved import commands
    from ved.results.rows import Row, to_json
    from ved.results.text import format_lines

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
    return FAILED if any(result.is_bad for result in plan.results) else 0


def _build(options: argparse.Namespace) -> int:
    manifest = load(options.manifest)
    if not options.push and options.output_dir is None:
        raise RequestError(
            "With --no-push and without --output-dir the checkpoints would be lost.",
            "Name a directory with --output-dir.",
            code=ErrorCode.WRONG_INPUT,
        )
    from ved import commands
    from ved.results.text import format_lines

    if options.output_dir is not None:
        options.output_dir.mkdir(parents=True, exist_ok=True)
    collector = commands.ResultCollector()
    try:
        commands.build(manifest, _run_options(options), collector=collector)
    finally:
        # An interrupted run reports, too, what was done until then.
        if collector.results:
            print(format_lines(collector.results), flush=True)
    return FAILED if any(result.is_bad for result in collector.results) else 0


def _run_options(options: argparse.Namespace) -> "RunOptions":
    from ved.planning.matrix import parse_shard
    from ved.planning.options import RunOptions
    from ved.sizes import parse_size

    return RunOptions(
        only=parse_shard(options.shard) if options.shard else tuple(options.only),
        output_directory=options.output_dir,
        push=options.push,
        max_disk=parse_size(options.max_disk) if options.max_disk else None,
        progress_bar=sys.stderr.isatty(),
    )


def _assemble(options: argparse.Namespace) -> int:
    from ved import commands

    encoder, decoder = (_source_ref(options, role) for role in ("encoder", "decoder"))
    checkpoint = commands.assemble(encoder, decoder, options.output_dir)
    for warning in checkpoint.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{options.output_dir}: {checkpoint.record.num_parameters:,} parameters.")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ved import commands

    verdict = commands.verify(options.checkpoint)
    print(verdict)
    return 0 if verdict.is_true else FAILED


def _source_ref(options: argparse.Namespace, role: str) -> SourceRef:
    model = _config_ref(getattr(options, f"{role}_model_name_or_path"))
    config = getattr(options, f"{role}_config_name")
    return SourceRef(
        model=model.model,
        revision=model.revision,
        config=_config_ref(config) if config else None,
    )


def _config_ref(name: str) -> ConfigRef:
    """Parse a name as in a manifest, where a local directory begins with a dot or a slash."""
    if not name.startswith(("/", ".")) and Path(name).is_dir():
        name = f"./{name}"
    try:
        return ConfigRef.model_validate(name)
    except ValidationError as error:
        raise RequestError(f"{error.errors()[0]['msg']}.", code=ErrorCode.WRONG_INPUT) from error


def _localhub(options: argparse.Namespace) -> int:
    try:
        from ved.localhub import LocalHub
    except ModuleNotFoundError as error:
        raise RequestError(
            f"The local Hub needs {error.name}, which is not installed.",
            "In a checkout of VED: pip install '.[localhub]'.",
            code=ErrorCode.WRONG_INPUT,
        ) from error
    with LocalHub(options.root, port=options.port) as hub:
        hub.add_user("me", token="hf_local")  # noqa: S106 - it opens nothing but this Hub
        if options.samples:
            from ved.localhub import samples

            for repo in samples.publish(hub):
                print(f"Sample: {repo}")
        print(f"A Hub at {hub.endpoint}; user: me, token: hf_local. Ctrl+C stops it.", flush=True)
        hub.serve_forever()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ved", description=ved.__doc__)
    parser.add_argument("--version", action="version", version=f"ved {ved.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_validate(commands)
    _add_plan(commands)
    _add_build(commands)
    _add_assemble(commands)
    _add_verify(commands)
    _add_localhub(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_validate(commands: _Commands) -> None:
    help_text = "check a manifest; print every problem with its place; exit 0 if valid, 2 if not"
    command = commands.add_parser("validate", help=help_text, description=help_text)
    command.add_argument("manifest", type=Path, help="such as pairs.yaml")
    command.set_defaults(run=_validate)


def _add_plan(commands: _Commands) -> None:
    help_text = "print what a build would do and why; writes nothing, needs no token"
    command = commands.add_parser("plan", help=help_text, description=help_text)
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the plan as JSON")
    form.add_argument(
        "--shards",
        type=int,
        metavar="N",
        help="print a GitHub Actions matrix of at most N jobs, as JSON",
    )
    _add_selection(command)
    command.set_defaults(run=_plan)


def _add_build(commands: _Commands) -> None:
    help_text = "build and publish the pairs that are not up to date"
    command = commands.add_parser("build", help=help_text, description=help_text)
    _add_selection(command)
    command.set_defaults(run=_build)


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument("manifest", type=Path, help="such as pairs.yaml")
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--only",
        metavar="REPO",
        action="append",
        default=[],
        help="only this pair: owner/name or name (repeatable)",
    )
    which.add_argument(
        "--shard",
        metavar="JSON",
        help="only the pairs of one element of plan --shards",
    )
    command.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="keep the checkpoints in DIR/owner/name"
    )
    command.add_argument(
        "--no-push", dest="push", action="store_false", help="publish nothing; needs --output-dir"
    )
    command.add_argument(
        "--max-disk",
        metavar="SIZE",
        help="limit for sources and checkpoints together, such as 10GB; default: all free space",
    )
    _add_endpoint(command)


def _add_verify(commands: _Commands) -> None:
    help_text = "rebuild from ved.json and compare byte for byte; exit 0 if identical, 1 otherwise"
    command = commands.add_parser("verify", help=help_text, description=help_text)
    command.add_argument(
        "checkpoint",
        metavar="REPO[@REVISION]|DIR",
        help="a checkpoint that VED published; the weights of a repo are not downloaded",
    )
    _add_endpoint(command)
    command.set_defaults(run=_verify)


def _add_assemble(commands: _Commands) -> None:
    help_text = "assemble one pair into a directory, with the flags of transformers' script"
    command = commands.add_parser("assemble", help=help_text, description=help_text)
    for role, article in (("encoder", "vision"), ("decoder", "text")):
        command.add_argument(
            *_spellings(f"{role}_model_name_or_path"),
            required=True,
            metavar="REPO|DIR",
            help=f"pretrained {article} {role}",
        )
        command.add_argument(
            *_spellings(f"{role}_config_name"),
            metavar="REPO|DIR",
            help=f"the source of the {role}'s config, if not that of its weights",
        )
    command.add_argument(*_spellings("output_dir"), type=Path, required=True, metavar="DIR")
    _add_endpoint(command)
    command.set_defaults(run=_assemble)


def _spellings(flag: str) -> tuple[str, str]:
    return f"--{flag}", f"--{flag.replace('_', '-')}"


def _add_localhub(commands: _Commands) -> None:
    help_text = "run a local Hub on loopback, to try VED without an account"
    command = commands.add_parser("localhub", help=help_text, description=help_text)
    command.add_argument("--port", type=_port, default=8080, help="default: 8080")
    command.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="directory for its repos; default: a temporary directory",
    )
    command.add_argument(
        "--samples",
        action="store_true",
        help="publish tiny random models to it, under the names of real ones",
    )
    command.set_defaults(run=_localhub)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port. Use a number from 0 to 65535.")
    return int(text)


def _add_endpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--endpoint", metavar="URL", help="a Hub other than https://huggingface.co"
    )
