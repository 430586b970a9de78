"""Find everything that can be known to be wrong before a weight is downloaded.

Each source is examined in a process of its own: its config, its image processor or tokenizer, and
the headers of its weights, by the code that assembles afterwards. No weights are downloaded.
"""

import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import HfApi

from ved.assembly.config import PartConfig
from ved.assembly.ledger import KEPT_BYTES
from ved.errors import ErrorCode
from ved.examination.examiner import ExaminesSources, open_examiner
from ved.examination.report import Examination, Tensors, one_line
from ved.examination.source_files import collect_files
from ved.families.family import Role
from ved.hub.access import HubAccess
from ved.interruption import thread_pool, wait_interruptibly
from ved.manifest.fields import WeightFormat
from ved.manifest.pair_models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.planning import source_checks
from ved.planning.actions import (
    Build,
    BuildCandidate,
    PlannedAction,
    Refuse,
    ResourceEstimate,
    with_findings,
)
from ved.planning.card_checks import check_cards
from ved.planning.findings import Finding, Findings
from ved.planning.machine_checks import check_machine
from ved.planning.options import RunOptions
from ved.planning.tie_checks import check_ties
from ved.sources import Pinned, ResolvedSource, inspect_source
from ved.tensors.tensor import DTYPES, FLOATING

PROCESS_BYTES = 500 * 10**6
"""Memory, in bytes, of a process that has imported jax and transformers and traced a model, and
transfers files by Xet within the limits of `ved.environment.XET_VARIABLES`."""

_ITEM_BYTES = {dtype.name: dtype.itemsize for dtype in FLOATING}


@dataclass(frozen=True)
class PreflightReport:
    """The findings of the preflight about a pair.

    Attributes:
        findings: what is wrong with it, or worth knowing.
        estimate: what building it takes; None if it cannot be built.
        sources: its sources with their configs, by role.
        examinations: the examinations of its sources, by role.
    """

    findings: tuple[Finding, ...]
    estimate: ResourceEstimate | None = None
    sources: Mapping[Role, ResolvedSource] = field(default_factory=dict)
    examinations: Mapping[Role, Examination] = field(default_factory=dict)


@dataclass
class _SourceReport:
    """A source as far as its small files and headers show; None for what cannot be read."""

    findings: Findings = field(default_factory=Findings)
    resolved: ResolvedSource | None = None
    folder: Path | None = None
    examination: Examination = field(default_factory=Examination)

    @property
    def config(self) -> PartConfig | None:
        """Its config."""
        settings = self.examination.config
        if self.resolved is None or settings is None:
            return None
        return PartConfig(self.resolved.family.config_class, settings)


def check_sources(
    actions: Sequence[BuildCandidate | Refuse],
    options: RunOptions,
    access: HubAccess,
    *,
    strict: bool,
) -> list[PlannedAction]:
    """Return each action after a preflight: a `Build` with its sources, or a `Refuse`.

    Refused pairs are examined, too, so that all problems of a pair are reported at once.

    Args:
        actions: the pairs to examine.
        options: the options of the run.
        access: the clients of the Hub.
        strict: whether a build that does not fit on this machine's disk is refused.
    """
    with open_examiner() as examiner:
        preflight = Preflight(access.api, examiner)
        preflight.examine(each.subject.pinned for each in actions)
    reports = [preflight.check(each.pair, each.subject.pinned) for each in actions]
    findings = check_cards([each.subject for each in actions], access)
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
                    report.examinations,
                )
            )
    return check_machine(planned, options, strict=strict)


_Key = tuple[Role, str, str, bool, WeightFormat | None]


class Preflight:
    """Examines pairs; each source once, however many pairs share it.

    Args:
        api: the Hub.
        examiner: examines the sources.
    """

    def __init__(self, api: HfApi, examiner: ExaminesSources) -> None:
        self._api = api
        self._examiner = examiner
        self._reports: dict[_Key, _SourceReport] = {}

    def examine(self, sources: Iterable[Mapping[Role, Pinned]]) -> None:
        """Examine sources. While one is examined, the files of the next one are downloaded.

        Args:
            sources: the sources of each pair, by role; without those that cannot be read.
        """
        missing = {
            _key(role, pinned): (role, pinned) for each in sources for role, pinned in each.items()
        }
        with thread_pool(1) as pool:
            collected: dict[_Key, Future[_SourceReport]] = {
                key: pool.submit(self._collect, *each) for key, each in missing.items()
            }
            for key, future in collected.items():
                report = wait_interruptibly(future)
                self._examine(report)
                self._reports[key] = report

    def check(self, pair: Pair, pinned: Mapping[Role, Pinned]) -> PreflightReport:
        """Return everything that is found about a pair, and what building it takes.

        Args:
            pair: the entry of the manifest.
            pinned: its sources, which are examined; without a source that cannot be read.
        """
        by_role = {role: self._reports[_key(role, each)] for role, each in pinned.items()}
        reports = [*by_role.values()]
        findings = Findings(finding for each in reports for finding in each.findings)
        decoder = by_role.get("decoder")
        if decoder and decoder.resolved and decoder.config and decoder.examination.tokenizer:
            source_checks.check_token_ids(
                pair,
                decoder.resolved,
                decoder.config,
                decoder.examination.tokenizer,
                findings,
            )
        source_checks.check_licenses(pair, pinned.values(), findings)
        for each in reports:
            if each.resolved:
                source_checks.check_access(pair, each.resolved, findings)
                source_checks.check_weight_formats(each.resolved, findings)
        tensors = {
            role: each.examination.tensors
            for role, each in by_role.items()
            if each.examination.tensors
        }
        if len(tensors) < 2 or any(each.level == "error" for each in findings):
            return PreflightReport(tuple(findings))
        sources = {each.resolved.role: each.resolved for each in reports if each.resolved}
        estimate = _estimate(sources.values(), tensors, CheckpointSettings.of(pair))
        examinations = {role: each.examination for role, each in by_role.items()}
        return PreflightReport(tuple(findings), estimate, sources, examinations)

    def _collect(self, role: Role, pinned: Pinned) -> _SourceReport:
        """Download the files that the examination of a source sees."""
        report = _SourceReport()
        with report.findings.about(role):
            report.resolved = inspect_source(role, pinned, self._api)
            if report.resolved.config_warning:
                report.findings.warn(
                    role, report.resolved.config_warning, code=ErrorCode.UNKNOWN_SETTINGS
                )
            source_checks.check_origin(report.resolved, report.findings)
            folder = self._examiner.new_folder()
            collect_files(report.resolved, folder, self._api)
            report.folder = folder
        return report

    def _examine(self, report: _SourceReport) -> None:
        """Examine a source, and add what is found to its report."""
        resolved, folder, findings = report.resolved, report.folder, report.findings
        if resolved is None or folder is None:
            return
        role = resolved.role
        with findings.about(role):
            report.examination = self._examiner.examine(folder, str(resolved))
        shutil.rmtree(folder, ignore_errors=True)
        found = report.examination
        for problem in found.problems:
            with findings.about(role):
                raise problem.error()
        for notice in found.notices:
            findings.notice(role, one_line(notice), code=ErrorCode.PROCESSOR_NOT_USABLE)
        if found.tensors is None:
            return  # a config that gives no model may have any sizes
        for warning in found.tensors.warnings:
            findings.warn(role, warning, code=ErrorCode.RANDOM_PARAMETERS)
        with findings.about(role):
            check_ties(resolved, found.tensors, findings, self._api)
        config = report.config
        assert config is not None, "a model has a config"
        with findings.about(role):
            if found.image_processor is not None:
                source_checks.check_image_size(resolved, config, found.image_processor, findings)
                source_checks.check_channels(config, found.image_processor, findings)
            if found.tokenizer is not None:
                source_checks.check_vocabulary(config, found.tokenizer, findings)
                source_checks.check_positions(resolved, config, findings)


def _key(role: Role, pinned: Pinned) -> _Key:
    return (
        role,
        str(pinned.snapshot),
        str(pinned.config_snapshot),
        pinned.allow_pickle,
        pinned.weights_from,
    )


def _estimate(
    sources: Collection[ResolvedSource],
    tensors: Mapping[Role, Tensors],
    settings: CheckpointSettings,
) -> ResourceEstimate:
    largest = max(each.largest for each in tensors.values())
    return ResourceEstimate(
        sources={
            source.key: 0 if source.snapshot.directory else source.weights_size
            for source in sources
        },
        output=len(settings.weights) * _weights_size(tensors, settings),
        # Each weight file transposes one kernel at a time, of float32 at most as a rule.
        memory=PROCESS_BYTES + KEPT_BYTES * len(tensors) + 2 * len(settings.weights) * 4 * largest,
    )


def _weights_size(tensors: Mapping[Role, Tensors], settings: CheckpointSettings) -> int:
    """Return the size of one weight file, in bytes; see `ved.assembly.parts.output_dtypes`."""
    if settings.dtype != "source":
        count = sum(sum(each.copied.values()) + each.initialized for each in tensors.values())
        return count * DTYPES[settings.dtype].itemsize
    ((of_most, _),) = Counter(tensors["decoder"].copied).most_common(1)
    copied = sum(
        count * _ITEM_BYTES[dtype]
        for each in tensors.values()
        for dtype, count in each.copied.items()
    )
    return copied + _ITEM_BYTES[of_most] * sum(each.initialized for each in tensors.values())
