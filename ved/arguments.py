"""The arguments of the command line: every command with its options and help texts."""

import argparse
from pathlib import Path
from typing import TypeAlias, get_args

import ved
from ved.manifest.fields import WeightFormat


def build_parser() -> argparse.ArgumentParser:
    """Return the parser. The option `command` is the name of the chosen command."""
    parser = argparse.ArgumentParser(prog="ved", description=ved.__doc__)
    parser.add_argument("--version", action="version", version=f"ved {ved.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_validate(commands)
    _add_families(commands)
    _add_plan(commands)
    _add_build(commands)
    _add_assemble(commands)
    _add_verify(commands)
    _add_localhub(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_validate(commands: _Commands) -> None:
    help_text = "check manifests; print every problem with its place; exit 0 if valid, 2 if not"
    command = commands.add_parser("validate", help=help_text, description=help_text)
    command.add_argument("manifests", type=Path, nargs="+", help="such as pairs.yaml")
    command.set_defaults(command="validate")


def _add_families(commands: _Commands) -> None:
    help_text = "print the families that can be encoder or decoder, and what runs their checkpoints"
    command = commands.add_parser("families", help=help_text, description=help_text)
    command.add_argument("--json", action="store_true", help="print the table as JSON")
    command.set_defaults(command="families")


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
    _add_run_options(command)
    command.set_defaults(command="plan")


def _add_build(commands: _Commands) -> None:
    help_text = "build and publish the pairs that are not up to date"
    command = commands.add_parser("build", help=help_text, description=help_text)
    _add_run_options(command)
    command.set_defaults(command="build")


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("manifest", type=Path, help="such as pairs.yaml")
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--only",
        metavar="REPO",
        action="append",
        default=[],
        help="only these pairs: owner/name or name, with commas between them (repeatable)",
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
        help="a checkpoint that VED published; the weights of a repo are not downloaded; a "
        "directory begins with ./, ../ or /",
    )
    command.add_argument(
        "--allow-local",
        action="store_true",
        help="read local sources that ved.json names, relative to the working directory; allow "
        "this only for your own checkpoints",
    )
    _add_endpoint(command)
    command.set_defaults(command="verify")


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
        command.add_argument(
            f"--{role}-weights-from",
            choices=get_args(WeightFormat),
            help=f"the weight files of the {role} to read, if it has several",
        )
    command.add_argument(*_spellings("output_dir"), type=Path, required=True, metavar="DIR")
    _add_endpoint(command)
    command.set_defaults(command="assemble")


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
    command.add_argument(
        "--xet",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="store large files by Xet, as the Hugging Face Hub does; without it, by LFS only",
    )
    command.add_argument(
        "--like-production",
        action="store_true",
        help="answer as https://huggingface.co does where a plain Hub differs",
    )
    command.set_defaults(command="localhub")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port. Use a number from 0 to 65535.")
    return int(text)


def _add_endpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--endpoint", metavar="URL", help="a Hub other than https://huggingface.co"
    )
