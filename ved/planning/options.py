"""The options of a run: which pairs, where to, and within which limits."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunOptions:
    """The options of a plan or a build, besides the manifest.

    Attributes:
        only: repos to plan and build, as `owner/name` or by name alone; all if empty.
        output_directory: where to keep built checkpoints, as `<owner>/<name>`; None to keep none.
        push: whether to publish to the Hub.
        max_disk: limit for downloaded sources and built checkpoints together, in bytes; None for
            all free space.
        allowed_namespaces: the only users and organizations to publish to; all if empty.
        progress_bar: whether to draw progress bars on standard error.
        workspace: the directory in which local sources have to be; None for the whole machine.
    """

    only: tuple[str, ...] = ()
    output_directory: Path | None = None
    push: bool = True
    max_disk: int | None = None
    allowed_namespaces: tuple[str, ...] = ()
    progress_bar: bool = False
    workspace: Path | None = None
