"""The model card: the Hub takes it, what it says is so, and its snippet runs."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from transformers import GPT2TokenizerFast

from tests.publishing import build_pair, client, download, heads, markdown, pair, publish, table_rows
from ved.localhub import LocalHub, checkpoints

DECODERS = ("gpt2", "bert", "roberta", "bart")
HEADERS = ["role", "id", "token", "from"]


@dataclass(frozen=True)
class Published:
    """A checkpoint as it is on the Hub."""

    repo: str
    files: Mapping[str, bytes]

    @property
    def text(self) -> str:
        return self.files["README.md"].decode()

    @property
    def metadata(self) -> dict[str, Any]:
        data: dict[str, Any] = ModelCard(self.text).data.to_dict()
        return data

    @property
    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.files["ved.json"])
        return record

    def table(self, *header: str) -> list[list[str]]:
        """Return the rows below the header of a table."""
        rows = table_rows(self.text)
        start = rows.index(list(header)) + 1
        lengths = [len(row) == len(header) for row in rows[start:]]
        assert all(lengths) or header[0] != "role"
        end = next((i for i, row in enumerate(rows[start:]) if row[1:2] in HEADINGS), len(rows))
        return rows[start : start + end]


HEADINGS = (["why fresh"], ["id"])


def published(
    hub: LocalHub, entry: Mapping[str, Any], folder: Path, root: Path = Path()
) -> Published:
    result = build_pair(hub, entry, folder=root)
    assert result.reason == ""
    return Published(result.pair.repo, download(hub, result.pair.repo, folder))


@pytest.fixture(scope="module")
def cards(
    session_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Published]:
    """Publish team/vit with every sample decoder, and return what the Hub has then."""
    folder = tmp_path_factory.mktemp("cards")
    return {
        decoder: published(
            session_hub, pair(f"owner/card-{decoder}", decoder=f"team/{decoder}"), folder
        )
        for decoder in DECODERS
    }
