"""Everything that can be known to be wrong before a weight is downloaded.

Configs, image processors and tokenizers are loaded, and the headers of the weights are held against
the models that the configs make, by the very code that assembles afterwards. Of the weights
themselves nothing is read.
"""

import copy
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ved.assembly import processing, special_tokens
from ved.assembly.parts import KEPT_BYTES, Part, load_config, source_part, stored_dtype
from ved.errors import ErrorCode
from ved.families.family import Role
from ved.machine.disk import free_disk
from ved.machine.memory import available_memory
from ved.manifest.models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.planning.findings import Finding, Findings
from ved.sizes import format_size
from ved.sources import headers, licenses
from ved.sources.source import Pinned, ResolvedSource, Source, inspect_source
from ved.tensors.tensor import DTYPES

PROCESS_BYTES = 500 * 10**6
"""The memory of a process that has jax and transformers imported and a model traced."""


@dataclass(frozen=True)
class ResourceEstimate:
    """What building a pair takes.

    Attributes:
        sources: bytes to download, by source.
        output: bytes of the checkpoint.
        memory: bytes of memory, roughly.
    """

    sources: dict[str, int]
    output: int
    memory: int

    @property
    def disk(self) -> int:
        """Bytes of disk for sources and checkpoint."""
        return sum(self.sources.values()) + self.output


@dataclass(frozen=True)
class PreflightReport:
    """What preflight finds of a pair; needs are None where something keeps it from being built."""

    findings: tuple[Finding, ...]
    needs: ResourceEstimate | None = None
    sources: Mapping[Role, ResolvedSource] = field(default_factory=dict)


@dataclass
class _SourceReport:
    """A source as far as its small files and headers tell; what could not be had is None."""

    findings: Findings = field(default_factory=Findings)
    resolved: ResolvedSource | None = None
    config: Any = None
    processing: Any = None
    part: Part | None = None


class Preflight:
    """Examines pairs; each source once, however many pairs share it.

    Args:
        api: the Hub.
        directory: an empty directory, for files that stand in for the weights.
        max_disk: bytes of disk that a build may take; None for all that is free there.
    """

    def __init__(self, api: HfApi, directory: Path, max_disk: int | None = None) -> None:
        self.api = api
        self.directory = directory
        self.max_disk = max_disk
        self._examined: dict[tuple[Role, str, str, bool], _SourceReport] = {}

    def check(self, pair: Pair, pinned: Mapping[Role, Pinned]) -> PreflightReport:
        """Return all that is found of a pair, and what building it takes.

        Args:
            pinned: its sources, without one that cannot be had.
        """
        by_role = {role: self._examine(role, each) for role, each in pinned.items()}
        examined = [*by_role.values()]
        findings = Findings(finding for each in examined for finding in each.findings)
        if "decoder" in by_role:
            _check_token_ids(pair, by_role["decoder"], findings)
        _check_licenses(pair, pinned.values(), findings)
        for each in examined:
            if each.resolved:
                _check_gate(pair, each.resolved, findings)
        parts = [each.part for each in examined if each.part]
        if len(parts) < 2 or any(each.level == "error" for each in findings):
            return PreflightReport(tuple(findings))
        needs = _estimate(examined, parts, CheckpointSettings.of(pair))
        self._check_machine(needs, findings)
        sources = {each.resolved.role: each.resolved for each in examined if each.resolved}
        return PreflightReport(tuple(findings), needs, sources)

    def _examine(self, role: Role, pinned: Pinned) -> _SourceReport:
        key = (role, str(pinned.snapshot), str(pinned.config_snapshot), pinned.allow_pickle)
        if key not in self._examined:
            self._examined[key] = self._examine_anew(role, pinned)
        return self._examined[key]

    def _examine_anew(self, role: Role, pinned: Pinned) -> _SourceReport:
        examined = _SourceReport()
        findings = examined.findings
        with findings.about(role):
            examined.resolved = inspect_source(role, pinned, self.api)
            source = self._stand_in(examined.resolved)
            examined.config = load_config(source)
        if examined.config is None:
            return examined
        with findings.about(role):
            examined.processing = _load_processing(source, examined.config)
        with findings.about(role):
            config = copy.deepcopy(examined.config)
            if role == "decoder":
                config.is_decoder = config.add_cross_attention = True
            # Shapes are the same whatever the seed.
            examined.part = source_part(source, config, seed=0)
            for warning in examined.part.ledger.warnings:
                findings.warn(role, warning, code=ErrorCode.RANDOM_PARAMETERS)
        # Of a config that no model can be made of, sizes may be anything.
        if examined.processing is not None and examined.part is not None:
            with findings.about(role):
                (_check_images if role == "encoder" else _check_vocabulary)(examined)
        return examined

    def _stand_in(self, resolved: ResolvedSource) -> Source:
        """Return a source that has its small files, and the headers of its weights."""
        if resolved.snapshot.directory is not None:
            return resolved.fetch(self.api)
        directory = self.directory / f"{resolved.role}-{len(self._examined)}"
        directory.mkdir(parents=True)
        if resolved.processing:
            small = resolved.snapshot.fetch(resolved.processing, self.api)
            for name in resolved.processing:
                shutil.copyfile(small / name, directory / name)
        snapshot = resolved.snapshot
        assert snapshot.commit is not None
        headers.fetch_headers(snapshot.name, snapshot.commit, resolved.weights, directory, self.api)
        config = resolved.config_path(self.api)
        return Source(resolved, directory, config)

    @cached_property
    def _disk(self) -> int:
        free = free_disk(self.directory)
        return free if self.max_disk is None else min(free, self.max_disk)

    @cached_property
    def _memory(self) -> int | None:
        return available_memory()

    def _check_machine(self, needs: ResourceEstimate, findings: Findings) -> None:
        if needs.disk > self._disk:
            findings.append(
                Finding(
                    "error",
                    "repo",
                    f"Its sources and the checkpoint take {format_size(needs.disk)} of disk, and "
                    f"there are {format_size(self._disk)}. Allow more, free some, or publish one "
                    "weight file only with weights:.",
                    code=ErrorCode.NOT_ENOUGH_DISK,
                )
            )
        if self._memory is not None and needs.memory > self._memory:
            findings.warn(
                "repo",
                f"Building it may take {format_size(needs.memory)} of memory, and "
                f"{format_size(self._memory)} are free.",
                code=ErrorCode.NOT_ENOUGH_MEMORY,
            )


def _check_licenses(pair: Pair, pinned: Iterable[Pinned], findings: Findings) -> None:
    repos = [each.snapshot for each in pinned if each.snapshot.commit]
    stated = {each.name: each.metadata.license for each in repos}
    for problem in licenses.license_problems(pair.license, stated):
        findings.warn("license", str(problem), code=ErrorCode.LICENSE_UNCLEAR)


def _check_gate(pair: Pair, source: ResolvedSource, findings: Findings) -> None:
    """Find that not everybody may have what the checkpoint is to hold."""
    if not source.snapshot.metadata.gated:
        return
    text = f"{source} is gated, and the checkpoint holds what is copied from it"
    if pair.private:
        findings.notice(
            source.role,
            f"{text}: read its terms before you let others have it.",
            code=ErrorCode.GATED_SOURCE,
        )
    else:
        findings.warn(
            source.role,
            f"{text}: publishing it for everybody may break the terms. Read them, and unless they "
            "allow it, say private: true in the pair.",
            code=ErrorCode.GATED_SOURCE,
        )


def _check_token_ids(pair: Pair, decoder: _SourceReport, findings: Findings) -> None:
    rows = getattr(decoder.config, "vocab_size", None)
    if decoder.processing is None or not isinstance(rows, int):
        return
    wanted = CheckpointSettings.of(pair).token_ids
    with findings.about("token_ids"):
        origin = str(decoder.resolved)
        ids = special_tokens.resolve_token_ids(wanted, decoder.config, decoder.processing, origin)
        if ids.pad_is_eos:
            findings.notice(
                "token_ids",
                f"Pad and eos are both {ids.pad.id}: training has to mask padding by the attention "
                "mask, not by the pad token.",
                code=ErrorCode.TOKEN_IDS,
            )


def _load_processing(source: Source, config: Any) -> Any:
    """Return the source's image processor or tokenizer, to look at and not to save."""
    if source.resolved.role == "encoder":
        return processing.load_image_processor(source, config)
    with processing.open_tokenizer(source, config) as tokenizer:
        return tokenizer


def _check_images(encoder: _SourceReport) -> None:
    """Hold the size of the image processor's images against what the encoder takes."""
    made, wanted = _image_size(encoder.processing), _two(encoder.config.image_size)
    if made is None or made == wanted:
        return
    text = (
        f"The image processor makes images of {made[0]} x {made[1]}, and the encoder's config says "
        f"{wanted[0]} x {wanted[1]}"
    )
    assert encoder.resolved is not None
    if encoder.resolved.family.takes_any_size:
        encoder.findings.notice(
            "encoder", f"{text}: position embeddings are interpolated.", code=ErrorCode.IMAGE_SIZE
        )
    else:
        encoder.findings.warn(
            "encoder", f"{text}: the model will refuse such images.", code=ErrorCode.IMAGE_SIZE
        )


def _image_size(processor: Any) -> tuple[int, int] | None:
    """Return height and width of the images that it makes; None where they vary."""
    for switch, name in (("do_center_crop", "crop_size"), ("do_resize", "size")):
        size = getattr(processor, name, None) or {}
        if getattr(processor, switch, False) and {"height", "width"} <= size.keys():
            return size["height"], size["width"]
    return None


def _two(size: Any) -> tuple[int, int]:
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(height), int(width)


def _check_vocabulary(decoder: _SourceReport) -> None:
    """Hold the tokenizer's vocabulary against the embeddings."""
    rows = int(decoder.config.vocab_size)
    vocabulary: dict[str, int] = decoder.processing.get_vocab()
    beyond = [token for token, number in vocabulary.items() if number >= rows]
    if beyond:
        decoder.findings.warn(
            "decoder",
            f"{len(beyond)} of the tokenizer's tokens, such as {min(beyond)!r}, are beyond the "
            f"{rows} rows of the embedding: text that holds one cannot be encoded.",
            code=ErrorCode.VOCABULARY_SIZE,
        )
    elif len(vocabulary) < rows:
        decoder.findings.notice(
            "decoder",
            f"The embedding has {rows} rows, and the tokenizer {len(vocabulary)} tokens.",
            code=ErrorCode.VOCABULARY_SIZE,
        )


def _estimate(
    examined: list[_SourceReport], parts: list[Part], settings: CheckpointSettings
) -> ResourceEstimate:
    initialized = stored_dtype(parts) if settings.dtype == "source" else DTYPES[settings.dtype]
    asked = None if settings.dtype == "source" else DTYPES[settings.dtype]
    sources = [each.resolved for each in examined if each.resolved]
    largest = max(
        prod(shape.shape) for part in parts for shape in part.initialization.shapes.values()
    )
    return ResourceEstimate(
        sources={
            str(source): 0 if source.snapshot.directory else source.weights_size
            for source in sources
        },
        output=len(settings.weights) * sum(part.nbytes(asked, initialized) for part in parts),
        # A kernel is turned as a whole, in each of the two files; float32 at most, as a rule.
        memory=PROCESS_BYTES + KEPT_BYTES + 2 * len(settings.weights) * 4 * largest,
    )
