"""Make the commits and tags of a release; docs/releasing.md explains when.

usage: pin.py check VERSION         is this version ready to be released?
       pin.py commit VERSION IMAGE  pin it to its image, ghcr.io/OWNER/NAME@sha256:..., and tag it
       pin.py name VERSION REF      name a version, by its commit or tag, in pages and examples,
                                    and its tag in commands that install it
       pin.py readme REF            let README.md link to GitHub, for the pages of a package index

A commit cannot hold its own hash. So there are two: the first pins action.yml to the image, the
second pins the reusable workflows to the first, and the tags are for the second. A third one names
the second in the pages and examples. It is for `main`, on a branch of its own.
"""

import datetime
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

CHANGELOG = Path("CHANGELOG.md")
NO_DATE = "YYYY-MM-DD"

# Before the first release, the commit is 40 zeros.
NAMED_RELEASE = re.compile(r"(ved-action/ved(?:/[\w./-]+)?@)[0-9a-f]{40} # v[\d.]+")
# The package that pip installs, and the hook of pre-commit.
NAMED_PACKAGE = re.compile(
    r"(git\+https://github\.com/ved-action/ved@|repo: https://github\.com/ved-action/ved\n +rev: )"
    r"v[\d.]+"
)
REPOSITORY = "ved-action/ved"
LINK = re.compile(r"(\]\()(?![a-z]+:|#)")
PICTURE = re.compile(r'(src(?:set)?=")(?![a-z]+:)')

NAMING_FILES = (
    "README.md",
    "docs/*.md",
    "docs/*.py",
    *(f"examples/**/*.{suffix}" for suffix in ("yml", "md", "py", "ipynb")),
    "ved/starter/*.yml",
)


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
            case ["name", version, ref]:
                name(version, ref)
            case ["readme", ref]:
                readme(ref)
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
    if _heading(version) not in _lines(CHANGELOG):
        raise NotReadyError(f"{CHANGELOG} has no heading {_heading(version)!r}. Add it.")
    if BUILDS_IMAGE not in _lines(ACTION):
        raise NotReadyError(f"{ACTION} has no line {BUILDS_IMAGE!r} to pin. Put it back.")
    for workflow in WORKFLOWS:
        if {line for line in _lines(workflow) if USES_ACTION in line} != {USES_MAIN}:
            raise NotReadyError(f"{workflow} has to use the action only in lines {USES_MAIN!r}.")
    if _git("ls-remote", "origin", f"refs/tags/v{version}"):
        raise NotReadyError(f"v{version} is already released. Choose the next version.")


def commit(version: str, image: str) -> None:
    """Make the commits, the tags vX.Y.Z and vX and the branch after-vX.Y.Z, in this clone alone.

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

    base = _git("rev-parse", "HEAD")
    date = datetime.datetime.now(datetime.UTC).date()
    dated = _heading(version).replace(NO_DATE, date.isoformat())
    _replace(ACTION, BUILDS_IMAGE, f"  image: docker://{image}")
    _replace(CHANGELOG, _heading(version), dated)
    _git("commit", "--message", f"Pin v{version} to its image", str(ACTION), str(CHANGELOG))
    pinned = _git("rev-parse", "HEAD")
    for workflow in WORKFLOWS:
        _replace(workflow, USES_MAIN, f"      - {USES_ACTION}{pinned} # v{version}")
    _git("commit", "--message", f"Release v{version}", *map(str, WORKFLOWS))
    major = version.partition(".")[0]
    _git("tag", "--annotate", "--message", f"v{version}", f"v{version}")
    _git("tag", "--annotate", "--message", f"v{version}", "--force", f"v{major}")

    released = _git("rev-parse", "HEAD")
    _git("switch", "--quiet", "--create", f"after-v{version}", base)
    _replace(CHANGELOG, _heading(version), dated)
    name(version, released)
    _git("commit", "--all", "--message", f"Name v{version} in the pages and examples")
    _git("switch", "--quiet", "--detach", released)


def name(version: str, ref: str) -> None:
    """Replace the release in every page and example by this one, in the working directory."""
    for path in (path for pattern in NAMING_FILES for path in Path().glob(pattern)):
        text = path.read_text(encoding="utf-8")
        named = NAMED_RELEASE.sub(rf"\g<1>{ref} # v{version}", text)
        named = NAMED_PACKAGE.sub(rf"\g<1>v{version}", named)
        path.write_text(named, encoding="utf-8")


def readme(ref: str) -> None:
    """Replace the relative addresses in README.md, which only GitHub knows, by absolute ones."""
    path = Path("README.md")
    pages = f"https://github.com/{REPOSITORY}/blob/{ref}/"
    text = LINK.sub(rf"\g<1>{pages}", path.read_text("utf-8"))
    text = text.replace("](#", f"]({pages}README.md#")  # a package index gives headings no names
    text = PICTURE.sub(rf"\g<1>https://raw.githubusercontent.com/{REPOSITORY}/{ref}/", text)
    path.write_text(text, encoding="utf-8")


def _heading(version: str) -> str:
    return f"## {version} - {NO_DATE}"


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
