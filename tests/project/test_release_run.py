"""A release, from the workflow's scripts to tags on a local remote. Only `docker` is replaced."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

import ved
from tests.project.test_release import ENVIRONMENT, JOBS, ROOT, git, names_of_release, pin, save
from tests.project.test_workflows import filled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed"),
]

VERSION = ved.__version__
DOCKER = """#!/usr/bin/env bash
# Writes and prints what buildx does: the digest of the platform in the command, or of the index.
declare -A digits=([amd64]=a [arm64]=b)
case "$1 $2 $3" in
  "buildx build .")
    while [ "$1" != --platform ]; do shift; done
    digit=${digits[${2#linux/}]}
    while [ "$1" != --metadata-file ]; do shift; done
    printf '{"containerimage.digest": "sha256:%064d"}' 0 | tr 0 "$digit" > "$2"
    ;;
  "buildx imagetools inspect") printf '{"digest": "sha256:%064d"}' 0 | tr 0 c ;;
  "buildx imagetools create") shift 3; echo "$@" > "$RUNNER_TEMP/index" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Create a clone of the files of a release, whose remote is a local repository."""
    clone = tmp_path / "clone"
    files = ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "action.yml")
    for name in files:
        clone.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    for name in (".github", "docs", "examples", "ved"):
        unwanted = shutil.ignore_patterns("__pycache__", ".demo")
        shutil.copytree(ROOT / name, clone / name, ignore=unwanted)
    (clone / ".gitignore").write_text("/.venv\n/dist/\n__pycache__/\n")
    (clone / ".venv").symlink_to(sys.prefix)
    git(tmp_path, "init", "--quiet", "--bare", "origin")
    git(clone, "init", "--quiet", "--initial-branch", "main")
    git(clone, "remote", "add", "origin", "../origin")
    save(clone)
    git(clone, "switch", "--quiet", "--detach")
    return clone


def run_scripts(job: str, clone: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Run the scripts of a job but for `make`, and return the outputs of its steps."""
    programs, temporary = clone.parent / "programs", clone.parent / "temporary"
    programs.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    output = temporary / f"outputs-{job}"
    output.touch()
    scripts = [step for step in JOBS[job]["steps"] if "run" in step]
    for step in (step for step in scripts if not step["run"].startswith("make ")):
        environment = {
            **ENVIRONMENT,
            **{name: filled(value, values) for name, value in step.get("env", {}).items()},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "GITHUB_ACTOR": "octocat",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_REPOSITORY": "VED-action/ved",
            "GITHUB_SHA": git(clone, "rev-parse", "HEAD"),
            "GITHUB_STEP_SUMMARY": str(temporary / "summary"),
            "GITHUB_WORKSPACE": str(clone),
            "RUNNER_TEMP": str(temporary),
        }
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
        subprocess.run(command, cwd=clone, env=environment, check=True)
    return dict(line.split("=", 1) for line in output.read_text().splitlines())


def release_image(clone: Path) -> str:
    """Run the jobs up to the summary, and return the image that it names."""
    values = {"inputs.version": VERSION, "github.token": "unused"}
    run_scripts("test", clone, values)
    for platform in ("amd64", "arm64"):
        outputs = run_scripts("image", clone, {**values, "matrix.platform": platform})
        values |= {f"needs.image.outputs.{name}": value for name, value in outputs.items()}
    index = run_scripts("index", clone, values)
    values |= {f"needs.index.outputs.{name}": value for name, value in index.items()}
    run_scripts("attest", clone, values)
    summary = (clone.parent / "temporary/summary").read_text()
    (image,) = re.findall(r"`(\S+)`", summary)
    return str(image)


def test_release_run_ends_with_tags_that_pin_image(clone: Path) -> None:
    image = release_image(clone)
    assert image == f"ghcr.io/ved-action/ved@sha256:{'c' * 64}"
    name = image.partition("@")[0]
    assert (clone.parent / "temporary/index").read_text().split() == [
        "--tag",
        f"{name}:{VERSION}",
        f"{name}@sha256:{'a' * 64}",
        f"{name}@sha256:{'b' * 64}",
    ]

    run = pin(clone, "commit", VERSION, image)
    assert run.returncode == 0, run.stderr
    page = (ROOT / "docs/releasing.md").read_text()
    (push,) = re.findall(r"git (push .+)", page)
    major = VERSION.partition(".")[0]
    git(clone, *push.replace("+v1", f"+v{major}").replace("v1.2.3", f"v{VERSION}").split())

    origin = clone.parent / "origin"
    released = git(origin, "rev-parse", f"v{VERSION}^{{}}")
    assert git(origin, "rev-parse", f"v{major}^{{}}") == released
    assert f"image: docker://{image}" in git(origin, "show", f"v{VERSION}:action.yml")
    workflow = git(origin, "show", f"v{VERSION}:.github/workflows/build-pairs.yml")
    pinned = git(origin, "rev-parse", f"v{VERSION}~1")
    assert {*re.findall(r"ved-action/ved@(\w+)", workflow)} == {"main", pinned}  # in a comment
    git(clone, "switch", "--quiet", f"after-v{VERSION}")
    names = names_of_release(clone)
    assert names
    assert {each for found in names.values() for each in found} == {f"{released} # v{VERSION}"}


def test_release_run_builds_package_of_any_name(clone: Path) -> None:
    project = clone / "pyproject.toml"
    text = project.read_text()
    assert text.count('name = "ved"') == 2  # of the package, and of its module
    project.write_text(text.replace('name = "ved"', 'name = "other"', 1))

    run_scripts("package", clone, {"inputs.version": VERSION})

    wheel, sdist = sorted((clone / "dist").iterdir(), key=lambda path: path.suffix, reverse=True)
    assert (wheel.name, sdist.name) == (
        f"other-{VERSION}-py3-none-any.whl",
        f"other-{VERSION}.tar.gz",
    )
    content = ZipFile(wheel)
    assert "ved/py.typed" in content.namelist()
    metadata = content.read(f"other-{VERSION}.dist-info/METADATA").decode()
    assert f"uses: ved-action/ved@v{VERSION} # v{VERSION}" in metadata
