"""Examine sources whose files are on this machine already, without a plan."""

import shutil
from collections.abc import Sequence

from huggingface_hub import HfApi

from ved.examination.examiner import ExaminesSources
from ved.examination.report import Examination
from ved.examination.source_files import collect_files
from ved.families.family import Role
from ved.sources import ResolvedSource


def examine_sources(
    sources: Sequence[ResolvedSource], examiner: ExaminesSources, api: HfApi
) -> dict[Role, Examination]:
    """Return the examinations of sources, by role.

    Args:
        sources: sources of different roles.
        examiner: the examiner.
        api: the client.

    Raises:
        VedError: a file cannot be downloaded, or a source ends its examination.
        OSError: a file cannot be read or written.
    """
    found: dict[Role, Examination] = {}
    for source in sources:
        folder = examiner.new_folder()
        collect_files(source, folder, api)
        found[source.role] = examiner.examine(folder, str(source))
        shutil.rmtree(folder, ignore_errors=True)
    return found
