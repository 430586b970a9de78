"""The arguments of the command line: every command with its options and help texts."""

import argparse
from pathlib import Path
from typing import TypeAlias, get_args

import ved
from ved.manifest.fields import WeightFormat
from ved.parser import CommandList, Parser

DEFAULT_MANIFEST = "pairs.yaml"

SHELLS = ("bash", "zsh", "fish")
"""The shells that `ved completion` knows."""

_PURPOSE = (
    "Join a pretrained vision encoder and a pretrained text decoder into one checkpoint, which you "
    "fine-tune into a captioner or a text reader, and publish it to the Hugging Face Hub."
)
_WAY_IN = (
    "Start with ved init in a new repository, or try VED without an account: ved localhub "
    "--samples. ved COMMAND --help lists the options of a command. The documentation: "
    "https://ved-action.github.io/ved/"
)


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="ved", description=_PURPOSE, epilog=_WAY_IN, formatter_class=CommandList)
    parser.add_argument("--version", action="version", version=f"ved {ved.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_init(commands)
    _add_validate(commands)
    _add_families(commands)
    _add_plan(commands)
    _add_build(commands)
    _add_assemble(commands)
    _add_verify(commands)
    _add_localhub(commands)
    _add_completion(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def _add_command(commands: _Commands, name: str, help_text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help_text, description=help_text)
    command.set_defaults(command=name, parser=command)
    return command


def _add_init(commands: _Commands) -> None:
    help_text = "write a manifest and a workflow for a new repository; changes no existing file"
    command = _add_command(commands, "init", help_text)
    command.epilog = (
        "In a terminal, ved asks for the options that are not given. In a subfolder of a git "
        "repository, the workflow is written at the root of the repository, where GitHub reads it."
    )
    command.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=Path(),
        metavar="DIR",
        help="the repository, or a folder in it; default: the working directory",
    )
    texts = {
        "namespace": "the user or organization to publish to",
        "encoder": "pretrained vision encoder; default: a ViT",
        "decoder": "pretrained text decoder; default: GPT-2",
        "repo": "the repo to publish to; default: named after encoder and decoder",
    }
    for name, text in texts.items():
        command.add_argument(f"--{name}", metavar="NAME", help=text)
    text = "publish with the identity of the workflow's job, without a stored token"
    command.add_argument("--keyless", action=argparse.BooleanOptionalAction, help=text)


def _add_validate(commands: _Commands) -> None:
    help_text = "check manifests; print every problem with its place; exit 0 if valid, 2 if not"
    command = _add_command(commands, "validate", help_text)
    default = [Path(DEFAULT_MANIFEST)]
    command.add_argument(
        "manifests", type=Path, nargs="*", default=default, help=f"default: {DEFAULT_MANIFEST}"
    )


def _add_families(commands: _Commands) -> None:
    help_text = "print the families that can be encoder or decoder, and what runs their checkpoints"
    command = _add_command(commands, "families", help_text)
    command.add_argument("--json", action="store_true", help="print the table as JSON")


def _add_plan(commands: _Commands) -> None:
    help_text = "print what a build would do and why; writes nothing, needs no token"
    command = _add_command(commands, "plan", help_text)
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the plan as JSON")
    form.add_argument(
        "--shards",
        type=int,
        metavar="N",
        help="print a GitHub Actions matrix of at most N jobs, as JSON",
    )
    _add_run_options(command)


def _add_build(commands: _Commands) -> None:
    help_text = "build and publish the pairs that are not up to date"
    command = _add_command(commands, "build", help_text)
    command.add_argument("--json", action="store_true", help="print the results as JSON")
    _add_run_options(command)


def _add_manifest(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "manifest",
        type=Path,
        nargs="?",
        default=Path(DEFAULT_MANIFEST),
        help=f"default: {DEFAULT_MANIFEST}",
    )


def _add_log_options(command: argparse.ArgumentParser) -> None:
    amount = command.add_mutually_exclusive_group()
    amount.add_argument(
        "-q", "--quiet", action="store_true", help="print only results, warnings and errors"
    )
    amount.add_argument(
        "-v", "--verbose", action="store_true", help="print times, details, and errors in full"
    )


def _add_run_options(command: argparse.ArgumentParser) -> None:
    _add_manifest(command)
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
        "--output-dir",
        type=_directory,
        metavar="DIR",
        help="keep the checkpoints in DIR/owner/name",
    )
    command.add_argument(
        "--no-push", dest="push", action="store_false", help="publish nothing; needs --output-dir"
    )
    command.add_argument(
        "--max-disk",
        metavar="SIZE",
        help="limit for sources and checkpoints together, such as 10GB; default: all free space",
    )
    _add_hub_options(command)


def _add_verify(commands: _Commands) -> None:
    help_text = "rebuild from ved.json and compare byte for byte; exit 0 if identical, 1 otherwise"
    command = _add_command(commands, "verify", help_text)
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
    _add_hub_options(command)


def _add_assemble(commands: _Commands) -> None:
    help_text = "assemble one pair into a directory, with the flags of transformers' script"
    command = _add_command(commands, "assemble", help_text)
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
    command.add_argument(*_spellings("output_dir"), type=_directory, required=True, metavar="DIR")
    _add_hub_options(command)


def _spellings(flag: str) -> tuple[str, str]:
    return f"--{flag}", f"--{flag.replace('_', '-')}"


def _add_localhub(commands: _Commands) -> None:
    help_text = "run a local Hub on loopback, to try VED without an account"
    command = _add_command(commands, "localhub", help_text)
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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port. Use a number from 0 to 65535.")
    return int(text)


def _url(text: str) -> str:
    # An empty variable of a shell must not select the public Hub. `ved.hub` checks the rest.
    if not text.strip():
        raise argparse.ArgumentTypeError("the value is empty. Give an address, or omit the option.")
    return text


def _directory(text: str) -> Path:
    if not text:  # Path("") is the working directory
        raise argparse.ArgumentTypeError("the value is empty. Give a directory.")
    return Path(text)


def _add_completion(commands: _Commands) -> None:
    help_text = "print a script that completes ved's arguments in a shell"
    command = _add_command(commands, "completion", help_text)
    command.epilog = (
        "Save the script where the shell finds it: for bash as "
        "~/.local/share/bash-completion/completions/ved, for zsh as _ved in a directory of $fpath, "
        "for fish as ~/.config/fish/completions/ved.fish. Then open a new terminal."
    )
    command.add_argument("shell", choices=SHELLS, help="the shell")


def _add_hub_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--endpoint", type=_url, metavar="URL", help="a Hub other than https://huggingface.co"
    )
    _add_log_options(command)
