"""Sources that end the process that parses them: only their own pairs are refused."""

import base64
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.support.action import (
    Action,
    actions_of,
    annotations,
    code_of,
    only_commands,
    place_of,
    rows_of,
    summary_rows,
)
from tests.support.faults import ALL_FAULTS
from tests.support.publishing import TOKEN, client, pair, publish
from ved.errors import ErrorCode
from ved.localhub import LocalHub

Write = Callable[[Path], Path]

COMMANDS = "::set-output name=built::9%0A##[error]a\n::error::hostile"


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test, with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


def tokenizer(write: Write, **changes: Any) -> Write:
    """Make a source whose tokenizer.json differs in these keys from a good one."""

    def written(directory: Path) -> Path:
        path = write(directory) / "tokenizer.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, **changes}))
        return directory

    return written


def normalized(charsmap: bytes) -> Mapping[str, object]:
    """Return a normalizer whose rules, in sentencepiece's binary form, are these bytes."""
    text = base64.b64encode(charsmap).decode()
    return {"type": "Precompiled", "precompiled_charsmap": text}


def merging(merge: list[str], prefix: str) -> Mapping[str, object]:
    """Return a byte-pair encoding with one merge, whose second half should have a prefix."""
    vocabulary = {name: number for number, name in enumerate([*merge, "".join(merge)])}
    return {
        "type": "BPE",
        "vocab": vocabulary,
        "merges": [merge],
        "continuing_subword_prefix": prefix,
    }


bart, gpt2, bert = checkpoints.bart, checkpoints.gpt2, checkpoints.bert

NIGHTLY = ("charsmap of three bytes", "no charsmap", "merge with half a character")
"""Each panic takes a new process. test_readback.py has one more of these."""

PANICS: Mapping[str, Write] = {
    "charsmap of three bytes": tokenizer(bart, normalizer=normalized(b"\0\0\0")),
    "no charsmap": tokenizer(gpt2, normalizer=normalized(b"")),
    "charsmap that is too short": tokenizer(
        bert, normalizer=normalized(struct.pack("<I", 1000) + bytes(8))
    ),
    "merge without its prefix": tokenizer(gpt2, model=merging(["a", "b"], "##")),
    "merge with half a character": tokenizer(gpt2, model=merging(["a", "é"], "#")),
    "merge of commands": tokenizer(gpt2, model=merging([COMMANDS, "é::error::"], "#")),
}
"""Decoders with which the library in Rust panics: the exception in Python is no `Exception`."""

TRIED = [name for name in PANICS if ALL_FAULTS or name not in NIGHTLY]


def test_panics_are_findings_of_their_sources(
    action: Action, hub: LocalHub, tmp_path: Path
) -> None:
    entries = [pair("owner/first")]
    for number, write in enumerate(PANICS[name] for name in TRIED):
        repo = f"team/panics-{number}"
        publish(hub, repo, write(tmp_path / f"{number}"))
        entries.append(pair(f"owner/panics-{number}", decoder=repo))
    entries.append(pair("owner/last", decoder="team/bart"))

    run = action.run(entries)

    assert actions_of(run) == ["built", *["refused"] * len(TRIED), "built"], run.log
    assert {row["repo"] for row in rows_of(run) if row["commit"]} == {"owner/first", "owner/last"}
    for repo in ("owner/first", "owner/last"):
        assert client(hub).file_exists(repo, "model.safetensors")
    errors = annotations(run)
    assert [code_of(error) for error in errors] == [ErrorCode.EXAMINATION_FAILED] * len(TRIED)
    # The first pair is on line 2.
    assert [place_of(error)[:2] for error in errors] == [
        ("pairs.yaml", str(line)) for line in range(3, 3 + len(TRIED))
    ]
    columns = {place_of(error)[2] for error in errors}
    line = (action.workspace / "pairs.yaml").read_text().splitlines()[2]
    assert columns == {str(1 + line.index('"team/panics-0"'))}
    assert run.outputs["built"] == "2"
    assert run.outputs["failed"] == str(len(TRIED))
    only_commands(run, "add-mask", "error", "warning", "notice")
    assert all("\n" not in row["reason"] for row in rows_of(run))
    assert len(summary_rows(run)) == len(entries)
