"""The model card: metadata that the Hub understands, and a text that is true of one checkpoint.

A card is rendered from the build record alone. So VED can publish a new card without the weights.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from huggingface_hub import ModelCardData

import ved
from ved.assembly.ledger import initialized_groups, unused_groups
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.families.lookup import find_family
from ved.families.papers import PAPERS, WARM_STARTING
from ved.families.runtimes import runtimes
from ved.families.table import DECODERS, ENCODERS
from ved.manifest.pair_models import Pair
from ved.markdown import code_span
from ved.record import picture, snippets
from ved.record.build_record import BuildRecord, recorded_pair, write_record
from ved.record.entries import RecordedLedger, RecordedSource
from ved.sizes import format_size
from ved.sources import licenses
from ved.sources.metadata import merge_languages, merge_tags
from ved.sources.pinning import Pinned
from ved.sources.snapshot import Snapshot
from ved.tensors.names import DIFFERS, has_own_head

FILE_NAME = "README.md"
FILES = (FILE_NAME, picture.FILE_NAME)
"""The card and its picture."""

MAX_BYTES = 200_000
"""The largest card in bytes. Names of sources are truncated, so only a manifest can exceed it."""

TAGS = ("vision-encoder-decoder", "warm-start", "ved")
"""The tags of every card."""

STATE_KEY = "ved"
"""The metadata key of fingerprint and card digest.

One listing of a namespace returns the metadata of all its cards, and with it the state of all
repos."""

_TEMPLATE = "card.md.jinja"
_HUB = "https://huggingface.co"
_REPOSITORY = "https://github.com/ved-action/ved"
_GUIDE = "https://ved-action.github.io/ved/fine-tuning/"


def write_card(record: BuildRecord, directory: Path) -> BuildRecord:
    """Write the card of a record, and its picture, into the checkpoint's directory.

    Returns:
        The record with both among its files.

    Raises:
        VedError: the card would be larger than `MAX_BYTES`.
    """
    card = render_card(record).encode(errors="backslashreplace")
    if len(card) > MAX_BYTES:
        raise VedError(
            f"The model card would have {format_size(len(card))}; {format_size(MAX_BYTES)} are "
            "allowed.",
            "Shorten the description, the tags and the languages.",
            code=ErrorCode.MODEL_CARD_REFUSED,
        )
    (directory / FILE_NAME).write_bytes(card)
    (directory / picture.FILE_NAME).write_text(picture.render_picture(record), encoding="utf-8")
    return record.with_files(directory)


def renew_card(
    published: BuildRecord,
    pair: Pair,
    pinned: Mapping[Role, Pinned],
    endpoint: str,
    directory: Path,
) -> BuildRecord:
    """Write a new card for a published checkpoint, and the record that belongs to it.

    Args:
        published: the record of the published checkpoint.
        pair: the manifest's entry as it is now.
        pinned: the sources, with their metadata as it is now.
        endpoint: the Hub that the card links to.
        directory: an empty directory for the files.

    Returns:
        The new record.
    """
    sources = {
        role: published.sources[role].model_copy(update={"metadata": each.snapshot.metadata})
        for role, each in pinned.items()
    }
    other_files = {name: file for name, file in published.files.items() if name not in FILES}
    update = {
        "pair": recorded_pair(pair),
        "sources": sources,
        "card_digest": card_digest(pair, sources.values(), endpoint),
        "endpoint": endpoint,
        "files": other_files,
    }
    renewed = write_card(published.model_copy(update=update), directory)
    write_record(renewed, directory)
    return renewed


def render_card(record: BuildRecord) -> str:
    """Return the card of a record that has a manifest's entry."""
    assert record.pair is not None
    roles: tuple[Role, ...] = ("encoder", "decoder")
    encoder, decoder = (
        find_family(role, record.sources[role].published_family, role) for role in roles
    )
    sources = [record.sources[role] for role in roles]
    initialized = dict(_initialized(record))
    is_one_source = len({(each.name, each.commit, each.half_of) for each in sources}) == 1
    is_connected = not {"cross-attention", "projection"} & {*initialized.values()}
    text = (
        snippets.environment()
        .get_template(_TEMPLATE)
        .render(
            record=record,
            pair=record.pair,
            weights={name: format_size(file.size) for name, file in record.weight_files.items()},
            runtimes=runtimes(
                {
                    source.published_family: family
                    for source, family in zip(sources, (encoder, decoder), strict=True)
                },
                not_in_flax_class=[name for each in sources for name in each.not_in_flax_class],
                has_pytorch=snippets.has_pytorch(record),
            ),
            is_one_source=is_one_source,
            is_whole_model=is_one_source and is_connected,
            snippets=snippets,
            also="".join(f" {package}" for package in record.packages or ()),
            files={role: _files(ledger) for role, ledger in record.ledger.items()},
            initialized=initialized,
            connection_is_initialized="cross-attention" in initialized.values(),
            unused=[*_unused(record)],
            has_own_head=_has_own_head(record),
            differs_from_tied=any(
                DIFFERS in ledger.unused.values() for ledger in record.ledger.values()
            ),
            local=list(dict.fromkeys(source.name for source in sources if not source.commit)),
            license=_license(record.pair, sources),
            HUB=_HUB,
            initialized_in=sorted({group.split("/")[0] for group in initialized}),
            picture=picture.FILE_NAME,
            picture_text=picture.describe_picture(record),
            guide=_GUIDE,
            repository=_REPOSITORY,
            # Not the release that writes the card, which would renew all cards with each release.
            release=(release := record.versions.get("ved", ved.__version__)),
            ved_package=f"ved @ git+{_REPOSITORY}@v{release}",
            papers={each.family: PAPERS[each.family] for each in sources if each.family in PAPERS},
            warm_starting=WARM_STARTING,
        )
    )
    head = card_metadata(record.pair, sources, record.fingerprint, record.card_digest or "")
    return f"---\n{head}\n---\n\n{text}"


def card_metadata(
    pair: Pair, sources: Sequence[Snapshot | RecordedSource], fingerprint: str, digest: str
) -> str:
    """Return the metadata of the card, as YAML.

    Args:
        pair: the manifest's entry.
        sources: encoder and decoder.
        fingerprint: the fingerprint of the checkpoint.
        digest: the result of `card_digest`.
    """
    metadata = [source.metadata for source in sources]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-to-text",
        # Both halves may come from one source.
        base_model=list(
            dict.fromkeys(each.metadata.moved_to or each.name for each in sources if each.commit)
        )
        or None,
        license=pair.license,
        language=merge_languages(pair.language, metadata) or None,
        tags=list(dict.fromkeys((*TAGS, *merge_tags(pair.tags, metadata)))),
    )
    data[STATE_KEY] = {"fingerprint": fingerprint, "card_digest": digest}
    return str(data.to_yaml())


def card_digest(pair: Pair, sources: Iterable[Snapshot | RecordedSource], endpoint: str) -> str:
    """Return the digest of everything that a card says and the fingerprint does not decide.

    Args:
        pair: the manifest's entry.
        sources: encoder and decoder, with their metadata.
        endpoint: the Hub that the card links to.
    """
    sources = list(sources)
    content = {
        **pair.model_dump(mode="json", include={"repo", "license", "language", "tags"}),
        "description": pair.description,
        "metadata": [source.metadata.model_dump(mode="json") for source in sources],
        "license_text": _license(pair, sources),
        "endpoint": endpoint,
        "own": _card_text(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _card_text() -> list[object]:
    """Return the texts of VED itself on cards."""
    environment = snippets.environment()
    loader = environment.loader
    assert loader is not None
    texts = [loader.get_source(environment, name)[0] for name in environment.list_templates()]
    families = {**ENCODERS, **DECODERS}
    known = [
        (name, runtimes({name: each}), each.begins_with_eos) for name, each in families.items()
    ]
    return [texts, known, TAGS, _HUB, _REPOSITORY, _GUIDE, {**PAPERS}, WARM_STARTING]


def _license(pair: Pair, sources: Iterable[Snapshot | RecordedSource]) -> dict[str, object]:
    """Return the problems of the licenses, or the reason why there is none, in Markdown."""
    found = {code_span(each.name): each.metadata.license for each in sources if each.commit}
    problems = licenses.license_problems(pair.license, found)
    reasoning = licenses.reasoning(pair.license, found) if found and not problems else ""
    return {"problems": [problem.cause for problem in problems], "reasoning": reasoning}


def _files(ledger: RecordedLedger) -> list[str]:
    return sorted({copied.file for copied in ledger.copied.values()})


def _initialized(record: BuildRecord) -> Iterator[tuple[str, str]]:
    """Yield each group of newly initialized parameters, by path in the checkpoint, and why."""
    for role, ledger in record.ledger.items():
        copied = [tuple(path.split("/")) for path in ledger.copied]
        initialized = {
            tuple(path.split("/")): reason for path, reason in ledger.initialized.items()
        }
        for group, reason in initialized_groups(copied, initialized).items():
            yield group if role == "projection" else f"{role}/{group}", reason


def _has_own_head(record: BuildRecord) -> bool:
    """Return whether the weights of the language-model head are not the token embeddings."""
    ledger = record.ledger["decoder"]
    paths = [tuple(path.split("/")) for path in (*ledger.copied, *ledger.initialized)]
    family = find_family("decoder", record.sources["decoder"].published_family, "decoder")
    return has_own_head(paths, family)


def _unused(record: BuildRecord) -> Iterator[tuple[str, str, list[str]]]:
    """Yield role, reason and names of source tensors that are not in the checkpoint."""
    for role, ledger in record.ledger.items():
        names: dict[str, list[str]] = {}
        for name, reason in unused_groups(ledger.unused).items():
            names.setdefault(reason, []).append(name)
        for reason, group in names.items():
            yield role, reason, group
