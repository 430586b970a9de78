"""GitHub Actions: inputs, outputs, annotations, masks, job summary.

Source of the formats: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

import io
import json
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ved import environment
from ved.errors import RequestError, describe_unexpected
from ved.manifest import Location, ManifestError, Pair, Problem, load
from ved.markdown import code, plain

if TYPE_CHECKING:
    from ved.build import Result

FAILED, WRONG_REQUEST = 1, 2

SUMMARY_BYTES = 1_000_000
"""A little below the 1 MiB that the runner takes of a step."""

UNENCODABLE = "backslashreplace"
"""What becomes of half a character, which a server's JSON can hold and UTF-8 cannot."""


@dataclass(frozen=True)
class Inputs:
    """The action's inputs; action.yml says what each means."""

    manifest: Path
    token: str
    only: tuple[str, ...]
    endpoint: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Inputs":
        """Read them from a runner's environment variables."""

        def value(name: str) -> str:
            return variables.get(f"INPUT_{name}", "").strip()

        return cls(
            manifest=Path(value("MANIFEST") or "pairs.yaml"),
            token=value("TOKEN"),
            only=tuple(value("ONLY").replace(",", " ").split()),
            endpoint=value("ENDPOINT").rstrip("/"),
        )


def main() -> int:
    """Run the action, and return its exit status: 0 well, 1 a pair failed, 2 a wrong request."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors=UNENCODABLE)
    inputs = Inputs.read(os.environ)
    if inputs.token:
        _command("add-mask", inputs.token)
    environment.prepare(progress_bars=False, endpoint=inputs.endpoint)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    try:
        results = _build(inputs)
    except ManifestError as error:
        for problem in error.problems:
            _annotate(problem.message, problem)
        return _nothing_built([str(problem) for problem in error.problems])
    except RequestError as error:
        _annotate(str(error))
        return _nothing_built([str(error)])
    except Exception as error:
        with _unheeded():
            logging.getLogger("ved").exception("Unexpected error")
        message = describe_unexpected(error)
        _annotate(message)
        return _nothing_built([message], FAILED)
    for result in results:
        where, title = result.pair.where, result.pair.repo
        for warning in result.warnings:
            _annotate(warning, where, title, "warning")
        if result.action == "failed":
            _annotate(result.reason, where, title)
    _summarize(_table(results))
    _set_outputs(results)
    return FAILED if any(result.action == "failed" for result in results) else 0


def _nothing_built(problems: Sequence[str], status: int = WRONG_REQUEST) -> int:
    """Say so in the summary and the outputs, and return the exit status."""
    _summarize("Nothing was built.\n\n" + "\n".join(f"- {plain(text)}" for text in problems))
    _set_outputs([])
    return status


def _set_outputs(results: "Sequence[Result]") -> None:
    failed = sum(result.action == "failed" for result in results)
    _output("results", json.dumps([_as_json(result) for result in results]))
    _output("built", str(len(results) - failed))
    _output("failed", str(failed))


def _build(inputs: Inputs) -> "list[Result]":
    manifest = load(inputs.manifest)
    # Imported after the environment is prepared, and only for a manifest that is right.
    from huggingface_hub import HfApi

    from ved.build import Options, build

    api = HfApi(token=inputs.token or None)
    return build(manifest, Options(only=inputs.only), api, _group)


@contextmanager
def _group(pair: Pair) -> Iterator[None]:
    """Fold a pair's log."""
    _command("group", pair.repo)
    try:
        with _unheeded():
            yield
    finally:
        _command("endgroup", "")


@contextmanager
def _unheeded() -> Iterator[None]:
    """Have the runner take nothing that is printed meanwhile for a workflow command."""
    stop = secrets.token_hex(16)
    _command("stop-commands", stop)
    try:
        yield
    finally:
        print(f"::{stop}::", flush=True)


def _annotate(
    message: str,
    where: Location | Problem | None = None,
    title: str = "",
    level: Literal["error", "warning"] = "error",
) -> None:
    """Say what is wrong at its place, in the log and beside the file."""
    properties = {"title": title} if title else {}
    if where is not None:
        place = {"file": where.file, "line": str(where.line), "col": str(where.column)}
        properties = place | properties
    _command(level, message, properties)


def _command(name: str, message: str, properties: Mapping[str, str] | None = None) -> None:
    escaped = ",".join(f"{key}={_property(value)}" for key, value in (properties or {}).items())
    print(f"::{name}{' ' if escaped else ''}{escaped}::{_data(message)}", flush=True)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _output(name: str, value: str) -> None:
    """Set an output of the step; the value cannot end it early and begin another."""
    delimiter = f"ved-{secrets.token_hex(16)}"
    _append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def _summarize(markdown: str) -> None:
    """Write the job summary, cut at a line where the runner would refuse the whole of it."""
    summary = f"## VED\n\n{markdown}\n"
    encoded = summary.encode(errors=UNENCODABLE)
    if len(encoded) > SUMMARY_BYTES:
        kept = encoded[:SUMMARY_BYTES].decode(errors="ignore")
        summary = kept.rpartition("\n")[0] + "\n\nThere is more; the log has it all.\n"
    _append("GITHUB_STEP_SUMMARY", summary)


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8", errors=UNENCODABLE) as file:
            file.write(text)


def _table(results: "Sequence[Result]") -> str:
    built = sum(result.action == "built" for result in results)
    rows = [
        f"**{built} built, {len(results) - built} failed.**",
        "",
        "| checkpoint | result | encoder | decoder | size | time |",
        "| --- | --- | --- | --- | ---: | ---: |",
        *map(_row, results),
    ]
    return "\n".join(rows)


def _row(result: "Result") -> str:
    pair = result.pair
    name, size = code(pair.repo), ""
    outcome = f"❌ {plain(result.reason)}"
    if result.action == "built":
        assert result.commit is not None
        outcome = f"✅ built, [{code(result.commit[:12])}]({result.url})"
        size = f"{result.size / 1e6:,.1f} MB"
    cells = (name, outcome, code(pair.encoder.model), code(pair.decoder.model), size)
    return f"| {' | '.join(cells)} | {result.seconds:.0f} s |"


def _as_json(result: "Result") -> dict[str, object]:
    return {
        "repo": result.pair.repo,
        "action": result.action,
        "reason": result.reason,
        "commit": result.commit,
        "url": result.url,
        "bytes": result.size,
        "seconds": round(result.seconds, 1),
    }
