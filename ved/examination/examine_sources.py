"""Examine sources whose files are on this machine already, without a plan."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi

from ved.examination.examiner import ExaminesSources
from ved.examination.report import Examination
from ved.examination.source_files import collect_files, write_request
from ved.families.family import Role
from ved.sources import ResolvedSource


class ExaminedSources:
    """Sources that have been examined, except for their trials.

    Args:
        sources: sources of different roles.
        examiner: the examiner.
        api: the client.

    Attributes:
        examinations: the examinations, by role.

    Raises:
        VedError: a file cannot be downloaded, or a source ends its examination.
        OSError: a file cannot be read or written.
    """

    def __init__(
        self, sources: Sequence[ResolvedSource], examiner: ExaminesSources, api: HfApi
    ) -> None:
        self._sources = sources
        self._examiner = examiner
        self._folders: dict[Role, Path] = {}
        self.examinations: dict[Role, Examination] = {}
        for source in sources:
            folder = self._folders[source.role] = examiner.new_folder()
            collect_files(source, folder, api, "before trials")
            self.examinations[source.role] = examiner.examine(folder, str(source))

    def run_trials(self) -> None:
        """Try configs and processors of the sources with transformers.

        Raises:
            VedError: transformers cannot use one of them.
            OSError: a file cannot be written.
        """
        for source in self._sources:
            folder = self._folders[source.role]
            write_request(source, folder, "trials")
            problems = self._examiner.examine(folder, str(source)).problems
            shutil.rmtree(folder, ignore_errors=True)
            for problem in problems:
                raise problem.error()
