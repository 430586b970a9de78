"""Make the commits and tags of a release; docs/releasing.md explains when.

usage: pin.py check VERSION         is this version ready to be released?
       pin.py commit VERSION IMAGE  pin it to its image, ghcr.io/OWNER/NAME@sha256:..., and tag it

A commit cannot hold its own hash. So there are two: the first pins action.yml to the image, the
second pins the reusable workflows to the first, and the tags are for the second.
"""

import re
import subprocess
import sys
from pathlib import Path

ACTION = Path("action.yml")
BUILDS_IMAGE = "  image: Dockerfile"

WORKFLOWS = [
    Path(".github/workflows", name) for name in ("build-pairs.yml", "build-pairs-keyless.yml")
]
USES_ACTION = "uses: ved-action/ved@"
USES_MAIN = f"      - {USES_ACTION}main # zizmor: ignore[unpinned-uses] see the top"


class NotReadyError(Exception):
    """The checkout is not ready for a release."""


def main(arguments: list[str]) -> int:
    """Run a command in the checkout that is the working directory, and return an exit status."""
    try:
        match arguments:
            case ["check", version]:
                check(version)
            case ["commit", version, image]:
                commit(version, image)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except NotReadyError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode  # git has printed the reason
    return 0


def check(version: str) -> None:
    """Check that the checkout has this version, and that the tag is new.

    Raises:
        NotReadyError: with the cause and the remedy.
    """
    if not re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", version, re.ASCII):
        raise NotReadyError(f"{version!r} is not a version. Pass one such as 1.2.3.")
    if f'__version__ = "{version}"' not in _lines(Path("ved/__init__.py")):
        raise NotReadyError(f"ved/__init__.py has another version. Set it to {version}.")
    heading = re.compile(rf"## {re.escape(version)} - \d{{4}}-\d\d-\d\d")
    if not any(heading.fullmatch(line) for line in _lines(Path("CHANGELOG.md"))):
        raise NotReadyError(f"CHANGELOG.md has no heading '## {version} - YYYY-MM-DD'. Add it.")
    if BUILDS_IMAGE not in _lines(ACTION):
        raise NotReadyError(f"{ACTION} has no line {BUILDS_IMAGE!r} to pin. Put it back.")
    for workflow in WORKFLOWS:
        if {line for line in _lines(workflow) if USES_ACTION in line} != {USES_MAIN}:
            raise NotReadyError(f"{workflow} has to use the action only in lines {USES_MAIN!r}.")
    if _git("ls-remote", "origin", f"refs/tags/v{version}"):
        raise NotReadyError(f"v{version} is already released. Choose the next version.")


def commit(version: str, image: str) -> None:
    """Make both commits and the tags vX.Y.Z and vX, in this clone alone.

    Raises:
        NotReadyError: as `check` does, or if a branch is checked out or has local changes.
        subprocess.CalledProcessError: if git fails.
    """
    check(version)
    if not re.fullmatch(r"ghcr\.io(/[a-z0-9._-]+){2}@sha256:[0-9a-f]{64}", image):
        raise NotReadyError(
            f"{image!r} is not an image. Pass the image from the summary of the release workflow."
        )
    if _git("branch", "--show-current"):
        raise NotReadyError("A branch is checked out. Run git switch --detach COMMIT.")
    if _git("status", "--porcelain"):
        raise NotReadyError("The checkout has local changes. Release from a clean checkout.")

    _replace(ACTION, BUILDS_IMAGE, f"  image: docker://{image}")
    _git("commit", "--message", f"Pin v{version} to its image", str(ACTION))
    pinned = _git("rev-parse", "HEAD")
    for workflow in WORKFLOWS:
        _replace(workflow, USES_MAIN, f"      - {USES_ACTION}{pinned} # v{version}")
    _git("commit", "--message", f"Release v{version}", *map(str, WORKFLOWS))
    major = version.partition(".")[0]
    _git("tag", "--annotate", "--message", f"v{version}", f"v{version}")
    _git("tag", "--annotate", "--message", f"v{version}", "--force", f"v{major}")


def _replace(path: Path, line: str, by: str) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join(by if each == line else each for each in lines), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return run.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
