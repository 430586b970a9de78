"""Examine sources whose files are on this machine already, without a plan."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from huggingface_hub import HfApi

from ved.assembly.config import PartConfig
from ved.assembly.config_files import load_config, write_trial_config
from ved.assembly.prepared import PreparedSource
from ved.examination.examiner import ExaminesSources
from ved.examination.source_files import TRIAL, collect_files, write_request
from ved.families.family import Role
from ved.sources import Source


class ExaminedSources:
    """Sources that have been examined, except for their trials.

    Args:
        sources: sources of different roles.
        examiner: the examiner.
        api: the client.

    Attributes:
        prepared: what assembly needs of each source, by role.

    Raises:
        VedError: a file cannot be downloaded, or a source cannot be used.
        OSError: a file cannot be read or written.
    """

    def __init__(self, sources: Sequence[Source], examiner: ExaminesSources, api: HfApi) -> None:
        self._sources = sources
        self._examiner = examiner
        self._folders: dict[Role, Path] = {}
        self._configs: dict[Role, PartConfig] = {}
        self.prepared: Mapping[Role, PreparedSource] = {
            source.resolved.role: self._examined(source, api) for source in sources
        }

    def _examined(self, source: Source, api: HfApi) -> PreparedSource:
        role = source.resolved.role
        config = self._configs[role] = load_config(source)
        folder = self._folders[role] = self._examiner.new_folder()
        collect_files(source.resolved, folder, api, "files")
        examination = self._examiner.examine(folder, str(source))
        return examination.model_copy(update={"config": config.settings}).prepared()

    def run_trials(self) -> None:
        """Try configs and processors of the sources with transformers.

        Raises:
            VedError: transformers cannot use one of them.
            OSError: a file cannot be written.
        """
        for source in self._sources:
            resolved = source.resolved
            folder, config = self._folders[resolved.role], self._configs[resolved.role]
            (folder / TRIAL).mkdir()
            write_trial_config(config, resolved, folder / TRIAL)
            rows = config["vocab_size"] if resolved.role == "decoder" else 0
            write_request(resolved, folder, "trials", rows)
            problems = self._examiner.examine(folder, str(source)).problems
            shutil.rmtree(folder, ignore_errors=True)
            for problem in problems:
                raise problem.error()
