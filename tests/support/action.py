"""Runs of the action: most in this process, because a new one takes seconds to import jax."""

import importlib.util
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import logging as library_logging

from examples.demo.runner import COMMAND, Run, prepare_step, read_run, run_action
from tests.support.publishing import markdown, tables
from tests.support.web import default_client
from tests.support.workflow_commands import Command, commands, lines
from ved import environment
from ved.action import main
from ved.action.log import StepLog
from ved.errors import TROUBLESHOOTING
from ved.families.papers import PAPERS, WARM_STARTING
from ved.record import picture
from ved.redaction import KNOWN, Secrets

ACTION: Any = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())

NO_OUTPUTS = {
    **{"results": "[]", "matrix": '{"include": []}'},
    **{"pending": "0", "built": "0", "failed": "0"},
}
"""The outputs of a run that did nothing."""

RESULTS = ("checkpoint", "action", "reason", "sources", "size", "time")
"""The headers of the job summary's table."""


@dataclass(frozen=True)
class Action:
    """Runs the action in folders of its own.

    Attributes:
        folder: the parent of the folders.
        inputs: the inputs of every run; a run may replace them.
    """

    folder: Path
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        """The workspace, where the manifest is."""
        return self.folder / "workspace"

    def write_manifest(self, manifest: str | Sequence[Mapping[str, Any]]) -> None:
        """Write pairs.yaml to the workspace; see `run`."""
        text = manifest if isinstance(manifest, str) else manifest_of(manifest)
        (self.workspace / "pairs.yaml").write_text(text)

    def run(
        self,
        manifest: str | Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, str] | None = None,
        /,
        **inputs: str,
    ) -> Run:
        """Run the action in this process.

        Args:
            manifest: the text of pairs.yaml; or its pairs, of which the first is on line 2; None
                for no such file.
            variables: further environment variables.
            inputs: the inputs, with underscores for dashes.
        """
        return run_in_process(*self._step(manifest, variables, inputs))

    def run_as_process(
        self,
        manifest: str | Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, str] | None = None,
        /,
        command: Sequence[str] = COMMAND,
        **inputs: str,
    ) -> Run:
        """Run the action in a process of its own, with a command; see `run`."""
        return run_action(*self._step(manifest, variables, inputs), command)

    def _step(
        self,
        manifest: str | Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, str] | None,
        inputs: Mapping[str, str],
    ) -> tuple[dict[str, str], Path, Path, dict[str, str]]:
        """Create the folders and the manifest, and return the arguments of `run_action`."""
        home, temporary = self.folder / "home", self.folder / "tmp"
        for directory in (self.workspace, home, temporary):
            directory.mkdir(parents=True, exist_ok=True)
        if manifest is not None:
            self.write_manifest(manifest)
        named = {name.replace("_", "-"): value for name, value in inputs.items()}
        environ = {"TMPDIR": str(temporary), **(variables or {})}
        return {**self.inputs, **named}, self.workspace, home, environ


def manifest_of(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Return a manifest with one pair on each line, from the second one on."""
    return "pairs:\n" + "".join(f"- {json.dumps(pair)}\n" for pair in pairs)


def run_in_process(
    inputs: Mapping[str, str],
    workspace: Path,
    home: Path,
    variables: Mapping[str, str] | None = None,
) -> Run:
    """Run the action in this process, and restore what it changes; see `run_action`."""
    environ = prepare_step(inputs, workspace, home, variables)
    output = io.BytesIO()
    log = StepLog(output)
    with _step(environ, inputs.get("endpoint", ""), workspace, log):
        status = main.main(log)
        log.finish()
    return read_run(status, output.getvalue().decode(), home)


@contextmanager
def _step(
    environ: Mapping[str, str], endpoint: str, workspace: Path, log: StepLog
) -> Iterator[None]:
    """Be the process of a step within the block.

    Args:
        environ: its environment variables.
        endpoint: the Hub's address, that main() puts into the environment; may be empty.
        workspace: its working directory.
        log: receives what it prints.
    """
    with ExitStack() as stack:
        stack.enter_context(chdir(workspace))
        stack.enter_context(patch.dict(os.environ, environ, clear=True))
        stack.enter_context(patch.object(tempfile, "tempdir", None))
        stack.enter_context(_library_settings(endpoint))
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        stack.enter_context(patch.multiple(KNOWN, **vars(Secrets())))
        stack.enter_context(_logging())
        stack.callback(set_client_factory, default_client)
        yield


@contextmanager
def _library_settings(endpoint: str) -> Iterator[None]:
    """Give huggingface_hub the settings that it would read from the environment at import."""
    if endpoint:
        os.environ["HF_ENDPOINT"] = environment.parsable(endpoint)
    spec = importlib.util.find_spec(constants.__name__)
    assert spec is not None
    assert spec.loader is not None
    imported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(imported)
    before = vars(constants)
    changed = {
        name: value
        for name, value in vars(imported).items()
        if name.isupper() and value != before[name]
    }
    with ExitStack() as stack:
        # Other modules import some of the constants by name.
        for module in [each for each in sys.modules if each.startswith("huggingface_hub")]:
            there = {name: changed[name] for name in changed if name in vars(sys.modules[module])}
            if there:
                stack.enter_context(patch.multiple(module, **there))
        yield


class _StandardError:
    """Whatever is standard error at the moment of a write."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextmanager
def _logging() -> Iterator[None]:
    """Have logging as in a new process within the block, with the handlers that libraries add."""
    root = logging.getLogger()
    handlers, level, disabled = root.handlers, root.level, root.manager.disable
    root.handlers = []
    libraries = [
        handler
        for logger in root.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
        if type(handler) is logging.StreamHandler
    ]
    # setStream would flush the former stream, which may be that of a test and closed.
    streams = [handler.stream for handler in libraries]
    for handler in libraries:
        handler.stream = _StandardError()
    verbosity = library_logging.get_verbosity()
    if constants.HF_DEBUG:
        library_logging.set_verbosity(logging.DEBUG)
    try:
        yield
    finally:
        library_logging.set_verbosity(verbosity)
        for handler, stream in zip(libraries, streams, strict=True):
            handler.stream = stream
        root.handlers = handlers
        root.setLevel(level)
        logging.disable(disabled)


# The log and the files of a run


def annotations(run: Run, level: str = "error") -> list[Command]:
    """Return the annotations of a level."""
    return [command for command in commands(run.log) if command.name == level]


def code_of(annotation: Command) -> str:
    """Return the error code that an annotation's link leads to."""
    return annotation.message.rpartition("#")[2]


def place_of(annotation: Command) -> tuple[str, ...]:
    """Return the file, line and column of an annotation."""
    return tuple(annotation.properties[key] for key in ("file", "line", "col"))


def masked(run: Run) -> list[str]:
    """Return the secrets that the runner masks, having checked that nothing contains them."""
    masks = [command for command in commands(run.log) if command.name == "add-mask"]
    numbers = {command.line for command in masks}
    log = [line for number, line in enumerate(lines(run.log)) if number not in numbers]
    written = "\n".join([*log, run.summary, *run.outputs.values()])
    for command in masks:
        assert command.message not in written
    return [command.message for command in masks]


def rows_of(run: Run) -> list[dict[str, Any]]:
    """Return the rows of the output `results`."""
    rows: list[dict[str, Any]] = json.loads(run.outputs["results"])
    return rows


def actions_of(run: Run) -> list[str]:
    """Return the action of each row of the output `results`."""
    return [row["action"] for row in rows_of(run)]


def summary_rows(run: Run) -> list[list[str]]:
    """Return the cells of the job summary's table."""
    return tables(run.summary)[RESULTS]


def text_blocks(summary: str) -> list[str]:
    """Return the texts of a summary's blocks, as they are read."""
    blocks = [token for token in markdown(summary) if token.type == "inline"]
    return ["".join(span.content for span in block.children or ()) for block in blocks]


def links(text: str) -> list[str]:
    """Return the addresses that a Markdown text links to, or has images of."""
    addresses = [token.attrGet(key) for token in markdown(text) for key in ("href", "src")]
    return [str(address) for address in addresses if address is not None]


def explanations(text: str) -> tuple[list[str], list[str]]:
    """Return the error codes whose explanations a text links to, and all other links."""
    start = f"{TROUBLESHOOTING}#"
    found = links(text)
    codes = [each.removeprefix(start) for each in found if each.startswith(start)]
    return codes, [each for each in found if not each.startswith(start)]


VED_PAGES = "https://github.com/ved-action/ved/"
"""The address that all links to VED's explanations begin with."""


_CARD_PAGES = ("https://github.com/ved-action/ved", "https://ved-action.github.io/ved/")


def assert_harmless(
    text: str, *allowed: str, fences: tuple[str, ...] = (), image: str = ""
) -> None:
    """Check that Markdown has no HTML, no images, and no links but to what is allowed.

    Args:
        text: the Markdown.
        allowed: what an address may begin with.
        fences: the languages of fenced code that may occur.
        image: the address of the only image that may occur.
    """
    tokens = markdown(text)
    assert not {token.type for token in tokens} & {"html_inline", "html_block"}
    assert {token.attrGet("src") for token in tokens if token.type == "image"} <= {image}
    assert [address for address in links(text) if not address.startswith(allowed)] == []
    assert {token.info for token in tokens if token.type == "fence"} <= {*fences}


def assert_harmless_card(text: str, *sources: str) -> None:
    """Check that a card has nothing but what VED itself puts on cards.

    Args:
        text: the card without its metadata.
        sources: the beginnings of the addresses of the sources.
    """
    own = ("ved.json", picture.FILE_NAME, *_CARD_PAGES, WARM_STARTING, *PAPERS.values())
    fences = ("python", "bash", "bibtex")
    assert_harmless(text, *sources, *own, fences=fences, image=picture.FILE_NAME)


def only_commands(run: Run, *names: str) -> list[Command]:
    """Return a run's commands, having checked their names, and that it has all outputs."""
    found = commands(run.log)
    assert {command.name for command in found} <= {*names}
    assert run.outputs.keys() == NO_OUTPUTS.keys()
    return found
