"""The command line: ved validate | plan | build | assemble | verify | localhub."""

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
    from ved.execution.run import RunOptions


FAILED, WRONG_REQUEST = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status: 0 well, 1 failed, 2 a wrong request."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A source's JSON can hold half a character, which no encoding can write.
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
        said = as_ved_error(error)
        lines = {"ERROR": said.cause, "  TIP": said.remedy, "  SEE": said.code.url}
        for word, text in lines.items():
            if text:
                print(word, text, file=sys.stderr)
        return WRONG_REQUEST if isinstance(error, RequestError) else FAILED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return interruption.INTERRUPTED


def run() -> NoReturn:
    """Run the command that the process was started with, and end the process."""
    interruption.install_signal_handlers()
    interruption.exit_process(main())


def _validate(options: argparse.Namespace) -> int:
    manifest = load(options.manifest)
    count = len(manifest.pairs)
    print(f"{manifest.name}: {count} {'pair' if count == 1 else 'pairs'}, all right.")
    return 0


def _plan(options: argparse.Namespace) -> int:
    manifest = load(options.manifest)
    # huggingface_hub is imported after the environment is prepared.
    from ved.execution.run import preview
    from ved.hub.http import connect
    from ved.planning import matrix
    from ved.results import rows
    from ved.results.text import format_lines

    if options.shards is not None:
        matrix.check_shard_count(options.shards)
    api = connect()
    planned = preview(manifest, _options(options), api)
    results = [each.as_result(api) for each in planned]
    if options.shards is not None:
        jobs = [each.job for each in planned if each.pending]
        print(json.dumps(matrix.build_matrix(matrix.distribute(jobs, options.shards))))
    elif options.json:
        print(rows.to_json([rows.Row.of(result) for result in results]))
    else:
        print(format_lines(results, findings=True))
    return FAILED if any(result.is_bad for result in results) else 0


def _build(options: argparse.Namespace) -> int:
    manifest = load(options.manifest)
    if not options.push and options.output_dir is None:
        raise RequestError(
            "With --no-push and no --output-dir nothing would come of the build.",
            "Name a directory with --output-dir.",
            code=ErrorCode.WRONG_INPUT,
        )
    from ved.execution.run import build
    from ved.hub.http import connect
    from ved.results.text import format_lines

    if options.output_dir is not None:
        options.output_dir.mkdir(parents=True, exist_ok=True)
    results = build(manifest, _options(options), connect())
    print(format_lines(results))
    return FAILED if any(result.is_bad for result in results) else 0


def _options(options: argparse.Namespace) -> "RunOptions":
    from ved.execution.run import RunOptions
    from ved.planning import matrix
    from ved.sizes import parse_size

    return RunOptions(
        only=matrix.parse_shard(options.shard) if options.shard else tuple(options.only),
        output_directory=options.output_dir,
        push=options.push,
        max_disk=parse_size(options.max_disk) if options.max_disk else None,
        bar=sys.stderr.isatty(),
    )


def _assemble(options: argparse.Namespace) -> int:
    from ved.execution.checkpoint_dir import (
        build_checkpoint,
        check_destination,
        replace_checkpoint,
        staging_directory,
    )
    from ved.hub.http import connect
    from ved.manifest.settings import CheckpointSettings
    from ved.sources.source import resolve_source

    destination: Path = options.output_dir
    check_destination(destination)
    api = connect()
    encoder = resolve_source("encoder", _source_ref(options, "encoder"), api)
    decoder = resolve_source("decoder", _source_ref(options, "decoder"), api)
    sources = encoder.fetch(api), decoder.fetch(api)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with staging_directory(destination.parent) as directory:
        made = build_checkpoint(*sources, directory / "checkpoint", api, CheckpointSettings())
        replace_checkpoint(directory / "checkpoint", destination)
    print(f"{destination}: {made.parameters:,} parameters.")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ved.execution.verify import verify
    from ved.hub.http import connect

    found = verify(options.checkpoint, connect())
    print(found)
    return 0 if found.is_true else FAILED


def _source_ref(options: argparse.Namespace, role: str) -> SourceRef:
    model = _config_ref(getattr(options, f"{role}_model_name_or_path"))
    config = getattr(options, f"{role}_config_name")
    return SourceRef(
        model=model.model,
        revision=model.revision,
        config=_config_ref(config) if config else None,
    )


def _config_ref(name: str) -> ConfigRef:
    """Read a name as a manifest has it, where a directory begins with a dot or a slash."""
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
            "Install VED with its extra, from its own folder: pip install '.[localhub]'.",
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
    help_text = "check a manifest: 0 if it is right, 2 if not, with every mistake at its place"
    command = commands.add_parser("validate", help=help_text, description=help_text)
    command.add_argument("manifest", type=Path, help="such as pairs.yaml")
    command.set_defaults(run=_validate)


def _add_plan(commands: _Commands) -> None:
    help_text = "say what a build would do and why; it writes nothing, and needs no token"
    command = commands.add_parser("plan", help=help_text, description=help_text)
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as the action's output results")
    form.add_argument(
        "--shards",
        type=int,
        metavar="N",
        help="what there is to do, dealt to at most N jobs, as JSON for a GitHub Actions matrix",
    )
    _add_selection(command)
    command.set_defaults(run=_plan)


def _add_build(commands: _Commands) -> None:
    help_text = "assemble the manifest's pairs and publish them; what is as it should be is left"
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
        help="this pair alone; owner/name, or name alone (repeatable)",
    )
    which.add_argument(
        "--shard", metavar="JSON", help="the pairs of one element of what plan --shards prints"
    )
    command.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="keep the checkpoints, as DIR/owner/name"
    )
    command.add_argument(
        "--no-push", dest="push", action="store_false", help="publish nothing; needs --output-dir"
    )
    command.add_argument(
        "--max-disk",
        metavar="SIZE",
        help="the most disk that sources and checkpoints take at a time, such as 10GB",
    )
    _add_endpoint(command)


def _add_verify(commands: _Commands) -> None:
    help_text = "rebuild a checkpoint from its record, and compare: 0 if every bit is so, 1 if not"
    command = commands.add_parser("verify", help=help_text, description=help_text)
    command.add_argument(
        "checkpoint",
        metavar="REPO[@REVISION]|DIR",
        help="published by VED; of a repo no weights are downloaded",
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
            help=f"where the {role}'s config is, if not with its weights",
        )
    command.add_argument(*_spellings("output_dir"), type=Path, required=True, metavar="DIR")
    _add_endpoint(command)
    command.set_defaults(run=_assemble)


def _spellings(flag: str) -> tuple[str, str]:
    return f"--{flag}", f"--{flag.replace('_', '-')}"


def _add_localhub(commands: _Commands) -> None:
    help_text = "run a Hub of your own on loopback, to try things out"
    command = commands.add_parser("localhub", help=help_text, description=help_text)
    command.add_argument("--port", type=_port, default=8080, help="default: 8080")
    command.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="where its repos are kept; default: a temporary directory",
    )
    command.add_argument(
        "--samples",
        action="store_true",
        help="with tiny random models on it, under the names of some real ones",
    )
    command.set_defaults(run=_localhub)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 2**16:
        raise ValueError(f"{port} is not a port")
    return port


def _add_endpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--endpoint", metavar="URL", help="a Hub other than https://huggingface.co"
    )
