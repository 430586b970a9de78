"""One function for each reader of untrusted bytes.

Each returns if the reader accepts the bytes or raises one of its documented errors. Every other
exception is a finding.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from ved import manifest, strict_json
from ved.action.events import check_may_publish
from ved.assembly import image_processor, japanese, json_settings, tokenizer_settings
from ved.errors import VedError
from ved.families.lookup import find_family
from ved.hub.answers import MalformedAnswerError
from ved.hub.repo_info import parse_repo
from ved.record.build_record import parse_record
from ved.results.rows import parse_rows
from ved.sources.config_sizes import check_sizes
from ved.sources.metadata import SourceMetadata
from ved.sources.snapshot import Snapshot
from ved.tensors.files import open_weights

TOKENIZER_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
)

SNAPSHOT = Snapshot("owner/name", "0" * 40, {}, None)


def read_manifest(content: bytes) -> None:
    """Read pairs.yaml."""
    with suppress(VedError):
        manifest.loads(content)


def read_config(content: bytes) -> None:
    """Check config.json, before transformers reads it."""
    with suppress(VedError, ValueError):
        config = strict_json.loads(content)
        if isinstance(config, dict):
            check_sizes(config, SNAPSHOT)
            find_family("decoder", config.get("model_type"), "owner/name")


def read_safetensors(content: bytes) -> None:
    """Read the header of a safetensors file."""
    _open(content, "model.safetensors")


def read_msgpack(content: bytes) -> None:
    """Read the headers of a Flax msgpack."""
    _open(content, "flax_model.msgpack")


def read_archive(content: bytes) -> None:
    """Read a PyTorch archive."""
    _open(content, "pytorch_model.bin")


def read_pickle(content: bytes) -> None:
    """Read the program of a PyTorch archive, which has one storage of 64 bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model/data.pkl", content)
        file.writestr("model/data/0", bytes(64))
    _open(archive.getvalue(), "pytorch_model.bin")


def read_record(content: bytes) -> None:
    """Read ved.json."""
    with suppress(VedError):
        parse_record(content, "owner/name")


def read_results(content: bytes) -> None:
    """Read a results file of another job."""
    with suppress(ValidationError):
        parse_rows(content)


def read_metadata(content: bytes) -> None:
    """Read a Hub's answer about a repo, and the metadata of its card."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return
    with suppress(MalformedAnswerError):
        SourceMetadata.of(parse_repo(answer))


def read_tokenizer(content: bytes) -> None:
    """Read the settings of a tokenizer. A zero byte separates the files."""
    parts = content.split(b"\0")
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        for name, part in zip(TOKENIZER_FILES, parts, strict=False):
            Path(folder, name).write_bytes(part)
        with suppress(VedError, ValueError):
            raw, known = tokenizer_settings.read_settings(Path(folder))
            _check_json(known, {*tokenizer_settings.SETTINGS})
            own = japanese.read_settings(raw, "owner/name")
            _check_json(own, {*japanese.SETTINGS})
            japanese.packages(own)
            japanese.notices(own)


def read_image_processor(content: bytes) -> None:
    """Read the settings of an image processor."""
    with _scratch(content, "preprocessor_config.json") as path, suppress(ValueError):
        checks = image_processor.SETTINGS
        _check_json(
            json_settings.known_settings(json_settings.read_object(path), checks), {*checks}
        )


def read_event(content: bytes) -> None:
    """Read the event of a workflow run."""
    with _scratch(content, "event.json") as path, suppress(VedError):
        check_may_publish(
            {
                "GITHUB_EVENT_PATH": str(path),
                "GITHUB_EVENT_NAME": "push",
                "GITHUB_REPOSITORY": "a/b",
            }
        )


TARGETS: dict[str, Callable[[bytes], None]] = {
    "manifest": read_manifest,
    "config": read_config,
    "safetensors": read_safetensors,
    "msgpack": read_msgpack,
    "archive": read_archive,
    "pickle": read_pickle,
    "record": read_record,
    "results": read_results,
    "metadata": read_metadata,
    "tokenizer": read_tokenizer,
    "image_processor": read_image_processor,
    "event": read_event,
}
"""The functions, by the name of their directory in `corpus/`."""


class _NotPublishableError(Exception):
    """Settings that were accepted cannot be published."""


def _check_json(settings: Mapping[str, object], known: Collection[str]) -> None:
    """Check that accepted settings are known, and that they can be written as JSON."""
    try:
        assert settings.keys() <= {*known}
        json.dumps(settings, ensure_ascii=False, allow_nan=False).encode()
    except (AssertionError, TypeError, ValueError) as error:
        raise _NotPublishableError from error  # a target suppresses ValueError


def _open(content: bytes, name: str) -> None:
    with _scratch(content, name) as path, suppress(VedError):
        open_weights([path])


@contextmanager
def _scratch(content: bytes, name: str) -> Iterator[Path]:
    """Write a file in memory, if the machine can, and delete it after the block."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        yield path


def _memory() -> str | None:
    """Return the directory of a file system in memory, if the machine has one."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108
