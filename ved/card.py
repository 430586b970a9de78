"""The model card: metadata that the Hub understands, and a text that is true of this checkpoint.

It is written from the build record alone, so it can be written anew where the words have changed
and the weights have not.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from huggingface_hub import ModelCardData
from jinja2 import Environment, StrictUndefined, Template

from ved.families import DECODERS, ENCODERS, Role, family
from ved.ledger import fresh_groups, left_out_groups
from ved.manifest import Pair
from ved.markdown import code
from ved.record import BuildRecord, RecordedLedger, instructed
from ved.record import write as write_record

FILE_NAME = "README.md"
TAGS = ("vision-encoder-decoder", "warm-start", "ved")
STATE = "ved"
"""The key of the metadata that holds fingerprint and words, so that one listing of a namespace
tells the state of all its repos."""


def write(record: BuildRecord, directory: Path) -> BuildRecord:
    """Write the card of a record into the checkpoint's directory; return the record with it."""
    (directory / FILE_NAME).write_text(render(record), encoding="utf-8")
    return record.with_files(directory)


def renew(
    published: BuildRecord, pair: Pair, words: str, endpoint: str, directory: Path
) -> BuildRecord:
    """Write a card with other words about the same checkpoint, and the record that goes with it.

    Args:
        published: the record as it was.
        pair: the manifest's entry as it is now.
        words: the digest of what the card is to say.
        endpoint: the Hub that it is to link to.
        directory: an empty directory for the two files.
    """
    others = {name: file for name, file in published.files.items() if name != FILE_NAME}
    update = {"pair": instructed(pair), "words": words, "endpoint": endpoint, "files": others}
    renewed = write(published.model_copy(update=update), directory)
    write_record(renewed, directory)
    return renewed


def render(record: BuildRecord) -> str:
    """Return the card of a record that was made for a manifest's entry."""
    assert record.pair is not None
    roles: tuple[Role, ...] = ("encoder", "decoder")
    families = {role: family(role, record.sources[role].family, role) for role in roles}
    text = _compiled().render(
        record=record,
        pair=record.pair,
        files={role: _files(ledger) for role, ledger in record.ledger.items()},
        fresh=dict(_fresh(record)),
        left_out=dict(_left_out(record)),
        remarks=[remark for each in families.values() for remark in each.remarks],
        generates=families["decoder"].generates,
    )
    sources = [record.sources[role] for role in roles]
    base_models = [source.name for source in sources if source.commit]
    words = record.words or ""
    head = metadata(record.pair, base_models, record.fingerprint, words)
    return f"---\n{head}\n---\n\n{text}"


def metadata(pair: Pair, base_models: Sequence[str], fingerprint: str, words: str) -> str:
    """Return what the card tells the Hub, as YAML."""
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-to-text",
        base_model=list(base_models) or None,
        license=pair.license,
        language=list(pair.language) or None,
        tags=list(dict.fromkeys((*TAGS, *pair.tags))),
    )
    data[STATE] = {"fingerprint": fingerprint, "words": words}
    return str(data.to_yaml())


def words(pair: Pair, endpoint: str) -> str:
    """Return the digest of all that a card says besides what its fingerprint decides.

    Args:
        endpoint: the Hub that the card links to.
    """
    said = pair.model_dump(mode="json", include={"repo", "license", "language", "tags"})
    content = {**said, "description": pair.description, "endpoint": endpoint, "own": _own_words()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _template() -> str:
    return (files("ved") / "templates" / "card.md.jinja").read_text(encoding="utf-8")


@cache
def _compiled() -> Template:
    # The card is Markdown, where HTML escapes would be shown as they are; `code` does the escaping.
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code
    return environment.from_string(_template())


@cache
def _own_words() -> list[object]:
    """Return what VED itself has to say on cards, of whatever checkpoint."""
    families = {**ENCODERS, **DECODERS}
    known = [(name, each.generates, each.remarks) for name, each in families.items()]
    return [_template(), known, TAGS]


def _files(ledger: RecordedLedger) -> list[str]:
    return sorted({copied.file for copied in ledger.copied.values()})


def _fresh(record: BuildRecord) -> Iterator[tuple[str, str]]:
    """Yield the groups of fresh parameters by their path in the checkpoint, and why."""
    for role, ledger in record.ledger.items():
        copied = [tuple(path.split("/")) for path in ledger.copied]
        fresh = {tuple(path.split("/")): reason for path, reason in ledger.fresh.items()}
        for group, reason in fresh_groups(copied, fresh).items():
            yield group if role == "projection" else f"{role}/{group}", reason


def _left_out(record: BuildRecord) -> Iterator[tuple[str, str]]:
    """Yield the groups of tensors that a source has and the checkpoint has not, and why."""
    for role, ledger in record.ledger.items():
        for name, reason in left_out_groups(ledger.left_out).items():
            yield f"{role}: {name}", reason
