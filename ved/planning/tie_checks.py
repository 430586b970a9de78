"""Check whether a source contradicts its config about tied tensors."""

from huggingface_hub import HfApi

from ved.errors import ErrorCode
from ved.examination.report import Tensors
from ved.planning.findings import Findings
from ved.sources import ResolvedSource
from ved.sources.samples import Place, have_same_samples


def check_ties(source: ResolvedSource, tensors: Tensors, findings: Findings, api: HfApi) -> None:
    """Warn of tied tensors that differ, by samples of their numbers.

    Args:
        source: the source.
        tensors: what its headers show.
        findings: the list to add findings to.
        api: the client.

    Raises:
        VedError: the Hub does not serve the samples.
        OSError: a local file cannot be read.
    """
    warnings = [*tensors.tie_warnings]
    for tie in tensors.ties:
        files = [tie.file, tie.other_file]
        if not {*files} <= {*source.weights}:
            continue  # the process that examines sources is not trusted with other files
        one, other = (
            Place(file, offset, tie.size)
            for file, offset in zip(files, (tie.offset, tie.other_offset), strict=True)
        )
        if not have_same_samples(one, other, source, api):
            warnings.append(tie.warning)
    for warning in warnings:
        findings.warn(source.role, warning, code=ErrorCode.TIED_TENSORS)
