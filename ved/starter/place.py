"""Find out where the files of `ved init` belong.

GitHub reads workflows only at the root of a repository:
https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ved.errors import ErrorCode, RequestError

MANIFEST = "pairs.yaml"
WORKFLOW = ".github/workflows/checkpoints.yml"


@dataclass(frozen=True)
class Place:
    """The places of a manifest and its workflow.

    Attributes:
        folder: the folder of the manifest.
        root: the root of its repository, which may be the same.
        manifest: the manifest's path in the repository, with slashes.
    """

    folder: Path
    root: Path
    manifest: str

    @property
    def paths(self) -> dict[str, Path]:
        """The path of each file, by name."""
        return {MANIFEST: self.folder / MANIFEST, WORKFLOW: self.root / WORKFLOW}

    @property
    def is_root(self) -> bool:
        """Whether the manifest is at the root."""
        return self.manifest == MANIFEST

    def check(self) -> None:
        """Check that the workflow can name the manifest, and is in the repository.

        Raises:
            RequestError: a folder's name or a link does not allow it.
        """
        if "${{" in self.manifest or not self.manifest.isprintable():
            raise RequestError(
                "A workflow cannot name the directory: its name has '${{', or characters that are "
                "not visible.",
                "Rename the directory.",
                code=ErrorCode.WRONG_INPUT,
            )
        workflows = self.paths[WORKFLOW].parent
        if not workflows.resolve().is_relative_to(self.root.resolve()):
            raise RequestError(
                f"{workflows} is a link that leads out of the repository.",
                "Replace the link by a directory.",
                code=ErrorCode.WRONG_INPUT,
            )

    def in_workflow(self, text: str) -> str:
        """Return a workflow of a manifest at the root for this manifest."""
        if self.is_root:
            return text
        pattern = re.sub(r"([*?+!\[\]\\])", r"\\\1", self.manifest)
        text = text.replace(f"paths: [{MANIFEST},", f"paths: [{scalar(pattern)},")
        return text.replace("    with:\n", f"    with:\n      manifest: {scalar(self.manifest)}\n")


def place_of(folder: Path) -> Place:
    """Return the places for a folder. Without a git repository, the folder is the root."""
    real = folder.resolve()
    roots = (each for each in (real, *real.parents) if os.path.lexists(each / ".git"))
    root = next(roots, real)
    path = (real / MANIFEST).relative_to(root).as_posix()
    return Place(folder, folder if root == real else root, path)


_PLAIN = re.compile(r"(?!(?i:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][A-Za-z0-9_./@-]*")
"""Texts that YAML reads as texts without quotation marks."""


def scalar(text: str) -> str:
    """Return a text as YAML."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
