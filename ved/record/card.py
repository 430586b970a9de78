"""The model card: metadata that the Hub understands, and a text that is true of this checkpoint.

It is written from the build record alone, so it can be written anew where the words have changed
and the weights have not.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from huggingface_hub import ModelCardData

from ved.assembly.ledger import initialized_groups, unused_groups
from ved.families.family import Role
from ved.families.lookup import find_family
from ved.families.table import DECODERS, ENCODERS
from ved.manifest.models import Pair
from ved.markdown import code_span
from ved.record import snippets
from ved.record.build_record import (
    BuildRecord,
    RecordedLedger,
    RecordedSource,
    recorded_pair,
    write_record,
)
from ved.sizes import format_size
from ved.sources import licenses
from ved.sources.metadata import merge_languages, merge_tags
from ved.sources.snapshot import Snapshot
from ved.sources.source import Pinned

FILE_NAME = "README.md"
_TEMPLATE = "card.md.jinja"
TAGS = ("vision-encoder-decoder", "warm-start", "ved")
STATE_KEY = "ved"
"""The key of the metadata that holds fingerprint and words, so that one listing of a namespace
tells the state of all its repos."""

_HUB = "https://huggingface.co"
_INSTALL_VED = 'pip install "ved @ git+https://github.com/ved-action/ved"'


def write_card(record: BuildRecord, directory: Path) -> BuildRecord:
    """Write the card of a record into the checkpoint's directory; return the record with it."""
    (directory / FILE_NAME).write_text(render_card(record), encoding="utf-8")
    return record.with_files(directory)


def renew_card(
    published: BuildRecord,
    pair: Pair,
    pinned: Mapping[Role, Pinned],
    endpoint: str,
    directory: Path,
) -> BuildRecord:
    """Write a card with other words about the same checkpoint, and the record that goes with it.

    Args:
        published: the record as it was.
        pair: the manifest's entry as it is now.
        pinned: the sources, with what their authors state now.
        endpoint: the Hub that the card is to link to.
        directory: an empty directory for the two files.
    """
    sources = {
        role: published.sources[role].model_copy(update={"metadata": each.snapshot.metadata})
        for role, each in pinned.items()
    }
    others = {name: file for name, file in published.files.items() if name != FILE_NAME}
    update = {
        "pair": recorded_pair(pair),
        "sources": sources,
        "card_digest": card_digest(pair, sources.values(), endpoint),
        "endpoint": endpoint,
        "files": others,
    }
    renewed = write_card(published.model_copy(update=update), directory)
    write_record(renewed, directory)
    return renewed


def render_card(record: BuildRecord) -> str:
    """Return the card of a record that was made for a manifest's entry."""
    assert record.pair is not None
    roles: tuple[Role, ...] = ("encoder", "decoder")
    encoder, decoder = (find_family(role, record.sources[role].family, role) for role in roles)
    sources = [record.sources[role] for role in roles]
    initialized = dict(_initialized(record))
    text = (
        snippets.environment()
        .get_template(_TEMPLATE)
        .render(
            record=record,
            pair=record.pair,
            contents=dict.fromkeys((*roles, "projection"))
            | {role: ledger.contents for role, ledger in record.ledger.items()},
            weights={name: format_size(file.size) for name, file in record.weight_files.items()},
            differs=[each.flax_differs for each in (encoder, decoder) if each.flax_differs],
            generate_fails=decoder.generate_fails,
            snippets=snippets,
            # A tokenizer without it is one of SentencePiece's own kind.
            also="" if "tokenizer.json" in record.files else " sentencepiece",
            files={role: _files(ledger) for role, ledger in record.ledger.items()},
            initialized=initialized,
            connection_is_initialized="cross-attention" in initialized.values(),
            unused=[*_unused(record)],
            local=[source.name for source in sources if not source.commit],
            licence=_licence(record.pair, sources),
            HUB=_HUB,
            initialized_in_encoder=any(group.startswith("encoder/") for group in initialized),
            install_ved=_INSTALL_VED,
            install_flax=_install_flax(record),
        )
    )
    head = card_metadata(record.pair, sources, record.fingerprint, record.card_digest or "")
    return f"---\n{head}\n---\n\n{text}"


def card_metadata(
    pair: Pair, sources: Sequence[Snapshot | RecordedSource], fingerprint: str, digest: str
) -> str:
    """Return what the card tells the Hub, as YAML."""
    said = [source.metadata for source in sources]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-to-text",
        base_model=[source.name for source in sources if source.commit] or None,
        license=pair.license,
        language=merge_languages(pair.language, said) or None,
        tags=list(dict.fromkeys((*TAGS, *merge_tags(pair.tags, said)))),
    )
    data[STATE_KEY] = {"fingerprint": fingerprint, "card_digest": digest}
    return str(data.to_yaml())


def card_digest(pair: Pair, sources: Iterable[Snapshot | RecordedSource], endpoint: str) -> str:
    """Return the digest of all that a card says besides what its fingerprint decides.

    Args:
        pair: the manifest's entry.
        sources: encoder and decoder, with what their authors state.
        endpoint: the Hub that the card links to.
    """
    sources = list(sources)
    content = {
        **pair.model_dump(mode="json", include={"repo", "license", "language", "tags"}),
        "description": pair.description,
        "metadata": [source.metadata.model_dump(mode="json") for source in sources],
        "licence": _licence(pair, sources),
        "endpoint": endpoint,
        "own": _card_text(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _card_text() -> list[object]:
    """Return what VED itself has to say on cards, of whatever checkpoint."""
    environment = snippets.environment()
    loader = environment.loader
    assert loader is not None
    texts = [loader.get_source(environment, name)[0] for name in environment.list_templates()]
    families = {**ENCODERS, **DECODERS}
    known = [(name, each.generate_fails, each.flax_differs) for name, each in families.items()]
    return [texts, known, TAGS, _HUB, _INSTALL_VED]


def _licence(pair: Pair, sources: Iterable[Snapshot | RecordedSource]) -> dict[str, object]:
    """Return what there is to say of licences, in Markdown."""
    found = {code_span(each.name): each.metadata.license for each in sources if each.commit}
    problems = licenses.license_problems(pair.license, found)
    reasoning = licenses.reasoning(pair.license, found) if found and not problems else ""
    return {"problems": [problem.cause for problem in problems], "reasoning": reasoning}


def _install_flax(record: BuildRecord) -> str:
    """Return the command for the libraries that it was made with: later ones may not fit."""
    pinned = (f'"{name}=={record.versions[name]}"' for name in ("transformers", "flax", "jax"))
    return f"pip install {' '.join(pinned)} pillow"


def _files(ledger: RecordedLedger) -> list[str]:
    return sorted({copied.file for copied in ledger.copied.values()})


def _initialized(record: BuildRecord) -> Iterator[tuple[str, str]]:
    """Yield the groups of fresh parameters by their path in the checkpoint, and why."""
    for role, ledger in record.ledger.items():
        copied = [tuple(path.split("/")) for path in ledger.copied]
        initialized = {
            tuple(path.split("/")): reason for path, reason in ledger.initialized.items()
        }
        for group, reason in initialized_groups(copied, initialized).items():
            yield group if role == "projection" else f"{role}/{group}", reason


def _unused(record: BuildRecord) -> Iterator[tuple[str, str, list[str]]]:
    """Yield a part, why its source has tensors that the checkpoint has not, and their names."""
    for role, ledger in record.ledger.items():
        names: dict[str, list[str]] = {}
        for name, reason in unused_groups(ledger.unused).items():
            names.setdefault(reason, []).append(name)
        for reason, alike in names.items():
            yield role, reason, alike
