"""Find everything that can be known to be wrong before a weight is downloaded.

Configs, image processors and tokenizers are loaded. The headers of the weights are compared with
the models that the configs make, by the code that assembles afterwards. No weights are downloaded.
"""

import copy
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ved.assembly.image_processor import prepare_image_processor
from ved.assembly.parts import KEPT_BYTES, Part, load_config, output_dtypes, source_part
from ved.assembly.processing_files import ImageProcessorFiles, TokenizerFiles
from ved.assembly.tokenizer import prepare_tokenizer
from ved.errors import ErrorCode
from ved.families.family import Role
from ved.hub.access import HubAccess
from ved.hub.card_validation import validate_card
from ved.manifest.pair_models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.planning import source_checks
from ved.planning.actions import (
    Build,
    BuildCandidate,
    IdentifiedPair,
    PlannedAction,
    Refuse,
    ResourceEstimate,
    with_findings,
)
from ved.planning.findings import Finding, Findings
from ved.planning.identification import map_concurrently
from ved.planning.machine_checks import check_machine
from ved.planning.options import RunOptions
from ved.record import card
from ved.sources import Pinned, ResolvedSource, Source, headers, inspect_source

PROCESS_BYTES = 500 * 10**6
"""Memory, in bytes, of a process that has imported jax and transformers and traced a model."""


@dataclass(frozen=True)
class PreflightReport:
    """The findings of the preflight about a pair.

    Attributes:
        findings: what is wrong with it, or worth knowing.
        estimate: what building it takes; None if it cannot be built.
        sources: its sources with their configs, by role.
    """

    findings: tuple[Finding, ...]
    estimate: ResourceEstimate | None = None
    sources: Mapping[Role, ResolvedSource] = field(default_factory=dict)


@dataclass
class _SourceReport:
    """A source as far as its small files and headers show; None for what cannot be read."""

    findings: Findings = field(default_factory=Findings)
    resolved: ResolvedSource | None = None
    config: Any = None
    image_processor: ImageProcessorFiles | None = None
    tokenizer: TokenizerFiles | None = None
    part: Part | None = None


def check_sources(
    actions: Sequence[BuildCandidate | Refuse],
    options: RunOptions,
    access: HubAccess,
    directory: Path,
    *,
    strict: bool,
) -> list[PlannedAction]:
    """Return each action after a preflight: a `Build` with its sources, or a `Refuse`.

    Refused pairs are examined, too, so that all problems of a pair are reported at once.

    Args:
        actions: the pairs to examine.
        options: the options of the run.
        access: the clients of the Hub.
        directory: an empty directory.
        strict: whether a build that does not fit on this machine's disk is refused.
    """
    preflight = Preflight(access.api, directory)
    reports = [preflight.check(each.pair, each.subject.pinned) for each in actions]
    # The Hub answers one request for each card.
    findings = map_concurrently(lambda each: _check_card(each.subject, access), actions)
    planned: list[PlannedAction] = []
    for action, report, about_card in zip(actions, reports, findings, strict=True):
        examined = with_findings(action, (*report.findings, *about_card))
        if isinstance(examined, Refuse):
            planned.append(examined)
        else:
            assert report.estimate is not None, "without an error there is an estimate"
            planned.append(
                Build(
                    examined.subject,
                    examined.reason,
                    examined.target,
                    report.sources,
                    report.estimate,
                )
            )
    return check_machine(planned, options, strict=strict)


def _check_card(subject: IdentifiedPair, access: HubAccess) -> Findings:
    findings = Findings()
    if access.has_token or access.publisher:
        snapshots = [pinned.snapshot for pinned in subject.pinned.values()]
        with findings.about("license"):
            metadata = card.card_metadata(
                subject.pair, snapshots, subject.fingerprint, subject.card_digest
            )
            validate_card(metadata, subject.pair.repo, access.api)
    return findings


class Preflight:
    """Examines pairs; each source once, however many pairs share it.

    Args:
        api: the Hub.
        directory: an empty directory, for files with the headers of the weights.
    """

    def __init__(self, api: HfApi, directory: Path) -> None:
        self._api = api
        self._directory = directory
        self._reports: dict[tuple[Role, str, str, bool], _SourceReport] = {}

    def check(self, pair: Pair, pinned: Mapping[Role, Pinned]) -> PreflightReport:
        """Return everything that is found about a pair, and what building it takes.

        Args:
            pair: the entry of the manifest.
            pinned: its sources; without a source that cannot be read.
        """
        by_role = {role: self._report(role, each) for role, each in pinned.items()}
        reports = [*by_role.values()]
        findings = Findings(finding for each in reports for finding in each.findings)
        decoder = by_role.get("decoder")
        if decoder and decoder.tokenizer is not None:
            source_checks.check_token_ids(
                pair, str(decoder.resolved), decoder.config, decoder.tokenizer, findings
            )
        source_checks.check_licenses(pair, pinned.values(), findings)
        for each in reports:
            if each.resolved:
                source_checks.check_access(pair, each.resolved, findings)
        parts = [each.part for each in reports if each.part]
        if len(parts) < 2 or any(each.level == "error" for each in findings):
            return PreflightReport(tuple(findings))
        sources = {each.resolved.role: each.resolved for each in reports if each.resolved}
        estimate = _estimate(sources.values(), parts, CheckpointSettings.of(pair))
        return PreflightReport(tuple(findings), estimate, sources)

    def _report(self, role: Role, pinned: Pinned) -> _SourceReport:
        key = (role, str(pinned.snapshot), str(pinned.config_snapshot), pinned.allow_pickle)
        if key not in self._reports:
            self._reports[key] = self._examine(role, pinned)
        return self._reports[key]

    def _examine(self, role: Role, pinned: Pinned) -> _SourceReport:
        report = _SourceReport()
        findings = report.findings
        with findings.about(role):
            report.resolved = inspect_source(role, pinned, self._api)
            source = self._fetch_without_weights(report.resolved)
            report.config = load_config(source)
        if report.resolved is None or report.config is None:
            return report
        with findings.about(role):
            _examine_processing(source, report)
        with findings.about(role):
            config = copy.deepcopy(report.config)
            if role == "decoder":
                config.is_decoder = config.add_cross_attention = True
            # Shapes are the same for every seed.
            report.part = source_part(source, config, seed=0)
            for warning in report.part.ledger.warnings:
                findings.warn(role, warning, code=ErrorCode.RANDOM_PARAMETERS)
        # A config that gives no model may have any sizes.
        if report.part is not None:
            with findings.about(role):
                if report.image_processor is not None:
                    source_checks.check_image_size(
                        report.resolved, report.config, report.image_processor, findings
                    )
                if report.tokenizer is not None:
                    source_checks.check_vocabulary(report.config, report.tokenizer, findings)
        return report

    def _fetch_without_weights(self, resolved: ResolvedSource) -> Source:
        """Return a source with its small files, and with the headers of its weights alone."""
        snapshot = resolved.snapshot
        if snapshot.directory is not None:
            return resolved.fetch(self._api)
        directory = self._directory / f"{resolved.role}-{len(self._reports)}"
        directory.mkdir(parents=True)
        if resolved.processing:
            small = snapshot.fetch(resolved.processing, self._api)
            for name in resolved.processing:
                shutil.copyfile(small / name, directory / name)
        assert snapshot.commit is not None
        headers.fetch_headers(
            snapshot.name, snapshot.commit, resolved.weights, directory, self._api
        )
        return Source(resolved, directory, resolved.config_path(self._api))


def _examine_processing(source: Source, report: _SourceReport) -> None:
    """Add the source's image processor or tokenizer to its report."""
    role = source.resolved.role
    config, family, origin = source.resolved.config, source.resolved.family, str(source)
    notices: tuple[str, ...]
    if role == "encoder":
        report.image_processor = prepare_image_processor(source.directory, config, family, origin)
        notices = report.image_processor.notices
    else:
        report.tokenizer = prepare_tokenizer(source.directory, config, family, origin)
        notices = report.tokenizer.notices
    for notice in notices:
        report.findings.notice(role, notice, code=ErrorCode.PROCESSOR_NOT_USABLE)


def _estimate(
    sources: Collection[ResolvedSource], parts: Sequence[Part], settings: CheckpointSettings
) -> ResourceEstimate:
    dtypes = output_dtypes(parts, settings.dtype)
    largest = max(
        prod(shape.shape) for part in parts for shape in part.initialization.shapes.values()
    )
    return ResourceEstimate(
        sources={
            str(source): 0 if source.snapshot.directory else source.weights_size
            for source in sources
        },
        output=len(settings.weights) * sum(part.nbytes(dtypes) for part in parts),
        # Each weight file transposes one kernel at a time, of float32 at most as a rule.
        memory=PROCESS_BYTES + KEPT_BYTES * len(parts) + 2 * len(settings.weights) * 4 * largest,
    )
