"""Create the build record of an assembled checkpoint."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi

import ved
from ved.assembly.config import PartConfig
from ved.assembly.generation_settings import left_out
from ved.assembly.ledger import Ledger, PartSummary
from ved.assembly.special_tokens import TokenId
from ved.environment import THREEFRY_PARTITIONABLE
from ved.families.family import Family
from ved.manifest.pair_models import Pair
from ved.record.build_record import BuildRecord, recorded_pair
from ved.record.entries import (
    Architecture,
    Copied,
    RecordedLedger,
    RecordedSnapshot,
    RecordedSource,
    RecordedTokenId,
)
from ved.record.fingerprint import ASSEMBLY_VERSION, LIBRARIES, compute_fingerprint, version
from ved.sources.snapshot import Snapshot
from ved.sources.source import Source

if TYPE_CHECKING:
    # This module imports jax, which readers of records do not need.
    from ved.assembly.assemble import Checkpoint


def create_record(
    encoder: Source,
    decoder: Source,
    checkpoint: "Checkpoint",
    api: HfApi,
    pair: Pair | None = None,
    card_digest: str | None = None,
) -> BuildRecord:
    """Return the record of a checkpoint whose files are complete except for the model card.

    Args:
        encoder: the source of the encoder.
        decoder: the source of the decoder.
        checkpoint: the result of `ved.assembly.assemble`.
        api: the Hub that the sources come from.
        pair: the manifest's entry, if there is one.
        card_digest: the result of `ved.record.card.card_digest`, if there is an entry.
    """
    settings = checkpoint.settings
    pinned = encoder.resolved.pinned, decoder.resolved.pinned
    record = BuildRecord(
        fingerprint=compute_fingerprint(*pinned, settings, api),
        card_digest=card_digest,
        endpoint=api.endpoint,
        pair=pair and recorded_pair(pair),
        sources={
            "encoder": _source(encoder, checkpoint.config.encoder),
            "decoder": _source(decoder, checkpoint.config.decoder),
        },
        token_ids={
            "decoder_start": _token_id(checkpoint.token_ids.decoder_start),
            "pad": _token_id(checkpoint.token_ids.pad),
            "eos": _token_id(checkpoint.token_ids.eos),
        },
        seed=settings.seed,
        dtype=settings.dtype,
        weights=settings.weights,
        num_parameters=checkpoint.num_parameters,
        jax_threefry_partitionable=THREEFRY_PARTITIONABLE,
        versions={"ved": ved.__version__, **{name: version(name) for name in LIBRARIES}},
        assembly_version=ASSEMBLY_VERSION,
        ledger={
            ledger.role: _ledger(ledger, checkpoint.summaries[ledger.role])
            for ledger in checkpoint.ledgers
        },
        files={},
        packages=checkpoint.packages or None,
    )
    return record.with_files(checkpoint.directory, checkpoint.weights_sha256)


def _source(source: Source, config: PartConfig) -> RecordedSource:
    resolved = source.resolved
    return RecordedSource(
        **_snapshot(resolved.snapshot),
        config=RecordedSnapshot(**_snapshot(resolved.config_snapshot)),
        family=resolved.model_type,
        published_as=resolved.family.twin.of if resolved.family.twin else None,
        half_of=resolved.whole or None,
        architecture=_architecture(resolved.family, config),
        metadata=resolved.snapshot.metadata,
        files=source.digests(),
        left_out=left_out(resolved.config, resolved.generation, config.get("vocab_size")),
        not_in_flax_class=resolved.family.not_in_flax_class(resolved.config),
    )


def _architecture(family: Family, config: PartConfig) -> Architecture:
    """Return the size of a model by its config."""
    return Architecture(
        num_hidden_layers=sum(_stages(config[family.layers])),
        hidden_size=config["hidden_size"],
        num_attention_heads=_stages(config[family.heads])[-1],
        vocab_size=config.get("vocab_size"),
        image_size=config.get("image_size"),
        patch_size=config.get("patch_size"),
    )


def _stages(setting: Any) -> tuple[int, ...]:
    """Return a number for each stage of an encoder; most encoders have one stage."""
    return (*setting,) if isinstance(setting, list | tuple) else (setting,)


def _token_id(found: TokenId) -> RecordedTokenId:
    return RecordedTokenId(**asdict(found))


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {"name": snapshot.name, "commit": snapshot.commit}


def _ledger(ledger: Ledger, summary: PartSummary) -> RecordedLedger:
    return RecordedLedger(
        summary=summary,
        copied={
            "/".join(path): Copied(file=match.weight.file, tensor=match.weight.name)
            for path, match in ledger.copied.items()
        },
        initialized={"/".join(path): reason for path, reason in ledger.initialized.items()},
        unused=dict(ledger.unused),
    )
