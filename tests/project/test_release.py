"""The release script and the release workflow, up to the tags on a local remote."""

import datetime
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import yaml

import ved
from ved.record.fingerprint import REPRODUCIBILITY_LIBRARIES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PIN = ROOT / ".github/release/pin.py"
WORKFLOW = ".github/workflows/build-pairs.yml"
KEYLESS = ".github/workflows/build-pairs-keyless.yml"
VERSION = "1.2.3"
JOBS = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
UNRELEASED = f"ved-action/ved@{'0' * 40} # v0.1.0"
NAMES_RELEASE = re.compile(r"ved-action/ved(?:/[\w./-]+)?@(\S+ # v\S+)")
NAMES_PACKAGE = re.compile(
    r"(?:git\+https://github\.com/ved-action/ved@?|repo: https://\S+/ved-action/ved\n +rev: )"
    r"([\w.]*)"
)
IMAGE = f"ghcr.io/ved-action/ved@sha256:{'0123456789abcdef' * 4}"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{
        f"GIT_{who}_{what}": "t@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(directory: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env=ENVIRONMENT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return run.stdout.rstrip("\n")


def pin(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PIN), *arguments]
    return subprocess.run(
        command, cwd=directory, env=ENVIRONMENT, check=False, capture_output=True, text=True
    )


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Create a clone at a commit that is ready for release, with the files that a release reads."""
    clone = tmp_path / "clone"
    for name in ("action.yml", WORKFLOW, KEYLESS, "ved/__init__.py"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text((ROOT / name).read_text())
    edit(clone / "ved/__init__.py", ved.__version__, VERSION)
    (clone / "CHANGELOG.md").write_text(f"## Unreleased\n\n## {VERSION} - YYYY-MM-DD\n")
    (clone / "README.md").write_text(f"uses: {UNRELEASED}\n")
    git(tmp_path, "init", "--quiet", "--bare", "origin")
    git(clone, "init", "--quiet", "--initial-branch", "main")
    git(clone, "remote", "add", "origin", "../origin")
    save(clone)
    git(clone, "switch", "--quiet", "--detach")
    return clone


def save(clone: Path) -> None:
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", "Prepare")


def changed(clone: Path, commit: str) -> list[str]:
    """Return the changed lines of a commit, and the names of their files."""
    lines = git(clone, "show", "--format=", "--unified=0", commit).splitlines()
    return [line for line in lines if line.startswith(("+", "-")) and not line.startswith("---")]


def test_pin_commits_image_then_action(clone: Path) -> None:
    run = pin(clone, "commit", VERSION, IMAGE)

    assert run.returncode == 0, run.stderr
    first = git(clone, "rev-parse", "HEAD~1")
    today = datetime.datetime.now(datetime.UTC).date()
    assert changed(clone, first) == [
        "+++ b/CHANGELOG.md",
        f"-## {VERSION} - YYYY-MM-DD",
        f"+## {VERSION} - {today}",
        "+++ b/action.yml",
        "-  image: Dockerfile",
        f"+  image: docker://{IMAGE}",
    ]
    assert set(changed(clone, "HEAD")) == {
        f"+++ b/{WORKFLOW}",
        f"+++ b/{KEYLESS}",
        "-      - uses: ved-action/ved@main # zizmor: ignore[unpinned-uses] see the top",
        f"+      - uses: ved-action/ved@{first} # v{VERSION}",
    }
    assert git(clone, "rev-parse", "main") == git(clone, "rev-parse", "HEAD~2")


def test_pin_names_release_on_branch_for_main(clone: Path) -> None:
    pin(clone, "commit", VERSION, IMAGE)

    released = git(clone, "rev-parse", f"v{VERSION}^{{}}")
    branch = f"after-v{VERSION}"
    assert git(clone, "rev-parse", f"{branch}~1") == git(clone, "rev-parse", "main")
    assert git(clone, "show", f"{branch}:README.md") == (
        f"uses: ved-action/ved@{released} # v{VERSION}"
    )
    dated = git(clone, "show", f"v{VERSION}:CHANGELOG.md")
    assert git(clone, "show", f"{branch}:CHANGELOG.md") == dated
    assert git(clone, "rev-parse", "HEAD") == released
    assert git(clone, "status", "--porcelain") == ""


def names_of_release(root: Path) -> dict[str, list[str]]:
    """Return the releases that pages and examples name, by file."""
    patterns = ("*.md", "docs/*.md", "examples/**/*.md", "examples/**/*.yml", "ved/starter/*.yml")
    paths = [path for pattern in patterns for path in root.glob(pattern)]
    return {
        str(path.relative_to(root)): found
        for path in paths
        if (found := NAMES_RELEASE.findall(path.read_text()))
    }


def packages_of_release(root: Path) -> dict[str, list[str]]:
    """Return the tags of VED that pages and examples install, by file; "" for none."""
    kinds = ("*.md", "docs/*.md", "docs/*.py", "examples/**/*.py", "examples/**/*.ipynb")
    paths = [path for pattern in kinds for path in root.glob(pattern)]
    return {
        str(path.relative_to(root)): found
        for path in paths
        if (found := NAMES_PACKAGE.findall(path.read_text()))
    }


def test_pages_and_examples_name_one_release(tmp_path: Path) -> None:
    names = names_of_release(ROOT)
    expected = ("README.md", "docs/recipes.md", "examples/workflows/matrix.yml")
    assert {*expected, "ved/starter/checkpoints.yml"} <= names.keys()
    assert len({name for found in names.values() for name in found}) == 1

    packages = [name for name in packages_of_release(ROOT) if name not in names]
    for file in (*names, *packages):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    commit = "0123456789" * 4
    assert pin(tmp_path, "name", VERSION, commit).returncode == 0
    assert names_of_release(tmp_path) == {
        file: [f"{commit} # v{VERSION}"] * len(found) for file, found in names.items()
    }
    assert packages_of_release(tmp_path).keys() == packages_of_release(ROOT).keys()
    assert {*chain(*packages_of_release(tmp_path).values())} == {f"v{VERSION}"}


def test_pin_lets_readme_of_package_link_to_github(tmp_path: Path) -> None:
    shutil.copy(ROOT / "README.md", tmp_path)
    assert pin(tmp_path, "readme", f"v{VERSION}").returncode == 0
    text = (tmp_path / "README.md").read_text()
    addresses = re.findall(r'(?:\]\(|src(?:set)?=")([^)"]+)', text)
    assert len(addresses) > 20
    assert all(re.match("https://", address) for address in addresses), addresses
    files = re.findall(rf"ved-action/ved/(?:blob/)?v{VERSION}/([^)#\"]+)", text)
    assert {"docs/images/warm-start-light.svg", "docs/comparison.md"} <= {*files}
    assert all((ROOT / file).exists() for file in files)


@pytest.mark.parametrize(
    "path",
    [
        path
        for pattern in ("README.md", "docs/*.md", "examples/**/*.yml")
        for path in ROOT.glob(pattern)
    ],
    ids=lambda path: path.name,
)
def test_workflows_to_copy_use_no_branch(path: Path) -> None:
    assert not re.search(r"uses: ved-action/ved\S*@main\b", path.read_text())


@pytest.mark.parametrize("workflow", [WORKFLOW, KEYLESS])
def test_pin_replaces_every_use_of_action(clone: Path, workflow: str) -> None:
    pin(clone, "commit", VERSION, IMAGE)

    first = git(clone, "rev-parse", "HEAD~1")
    jobs = yaml.safe_load((clone / workflow).read_text())["jobs"].values()
    uses = [step.get("uses", "") for job in jobs for step in job["steps"]]
    assert {use for use in uses if use.startswith("ved-action/")} == {f"ved-action/ved@{first}"}


def test_pin_keeps_version_tag_and_moves_major_tag(clone: Path) -> None:
    pin(clone, "commit", VERSION, IMAGE)
    released = git(clone, "rev-parse", "HEAD")
    assert git(clone, "rev-parse", "v1^{}") == released
    git(clone, "switch", "--quiet", "--detach", "main")
    edit(clone / "ved/__init__.py", VERSION, "1.3.0")
    edit(clone / "CHANGELOG.md", f"## {VERSION} -", "## 1.3.0 -")
    save(clone)

    run = pin(clone, "commit", "1.3.0", IMAGE)

    assert run.returncode == 0, run.stderr
    assert git(clone, "rev-parse", f"v{VERSION}^{{}}") == released
    assert git(clone, "rev-parse", "v1.3.0^{}") == git(clone, "rev-parse", "HEAD")
    assert git(clone, "rev-parse", "v1^{}") == git(clone, "rev-parse", "HEAD")


def test_check_leaves_checkout_unchanged(clone: Path) -> None:
    before = git(clone, "rev-parse", "HEAD")

    assert pin(clone, "check", VERSION).returncode == 0
    assert git(clone, "rev-parse", "HEAD") == before
    assert git(clone, "status", "--porcelain") == git(clone, "tag") == ""


def another_version(clone: Path) -> None:
    edit(clone / "ved/__init__.py", VERSION, "9.9.9")
    save(clone)


def no_heading(clone: Path) -> None:
    edit(clone / "CHANGELOG.md", f"## {VERSION} - YYYY-MM-DD", f"## {VERSION} - 2026-01-02")
    save(clone)


def another_image_line(clone: Path) -> None:
    edit(clone / "action.yml", "image: Dockerfile", "image: ./Dockerfile")
    save(clone)


def one_step_without_the_comment(clone: Path) -> None:
    text = (clone / WORKFLOW).read_text()
    (clone / WORKFLOW).write_text(
        text.replace(" # zizmor: ignore[unpinned-uses] see the top", "", 1)
    )
    save(clone)


def released_before(clone: Path) -> None:
    git(clone, "push", "--quiet", "origin", f"HEAD:refs/tags/v{VERSION}")


def on_a_branch(clone: Path) -> None:
    git(clone, "switch", "--quiet", "main")


def unsaved(clone: Path) -> None:
    (clone / "new.py").touch()


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (another_version, "ved/__init__.py"),
        (no_heading, "CHANGELOG.md"),
        (another_image_line, "action.yml"),
        (one_step_without_the_comment, "build-pairs.yml"),
        (released_before, f"v{VERSION} "),
        (on_a_branch, "branch"),
        (unsaved, "local changes"),
    ],
)
def test_pin_refuses_unready_checkout_and_changes_nothing(
    clone: Path, spoil: Callable[[Path], None], place: str
) -> None:
    spoil(clone)
    before = git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")

    run = pin(clone, "commit", VERSION, IMAGE)

    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    assert place in line
    assert (git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")) == before


@pytest.mark.parametrize("version", ["v1.2.3", "1.2", "01.2.3", "1.2.3\n", "1.2.3; true", ""])
def test_check_refuses_malformed_version(clone: Path, version: str) -> None:
    run = pin(clone, "check", version)

    assert (run.returncode, run.stdout) == (1, "")
    assert repr(version) in run.stderr


@pytest.mark.parametrize(
    "image",
    ["ghcr.io/ved-action/ved:1.2.3", IMAGE[:-1], f"docker://{IMAGE}", f"{IMAGE}\n  env: {{}}"],
)
def test_pin_refuses_image_without_digest(clone: Path, image: str) -> None:
    run = pin(clone, "commit", VERSION, image)

    assert (run.returncode, run.stdout) == (1, "")
    assert repr(image) in run.stderr


def test_unknown_command_prints_usage(clone: Path) -> None:
    run = pin(clone, "push")

    assert run.returncode == 2
    assert "usage: pin.py check VERSION" in run.stderr


def test_release_jobs_have_minimal_permissions() -> None:
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "test": {"contents": "read"},
        "image": {"contents": "read", "packages": "write"},
        "index": {"packages": "write"},
        "try": {"contents": "read", "packages": "read"},
        "sbom": {"packages": "read"},
        "attest": {"id-token": "write", "attestations": "write"},
        "package": {"contents": "read"},
        "pypi": {"id-token": "write"},
    }


def test_release_jobs_with_identity_run_no_scripts_but_report() -> None:
    scripts = {
        name: [step["run"] for step in job["steps"] if "run" in step]
        for name, job in JOBS.items()
        if "id-token" in job["permissions"]
    }

    assert {name: len(found) for name, found in scripts.items()} == {"attest": 1, "pypi": 0}
    assert scripts["attest"][0].startswith("echo ")


def test_release_jobs_review_before_push_and_try_before_attest() -> None:
    environments = {name: job.get("environment") for name, job in JOBS.items()}
    assert {name: each for name, each in environments.items() if each} == {
        "image": "release",
        "pypi": "pypi",
    }
    assert {name: job.get("needs") for name, job in JOBS.items()} == {
        "test": None,
        "image": "test",
        "index": "image",
        "try": "index",
        "sbom": "image",
        "attest": ["index", "try", "sbom"],
        "package": "test",
        "pypi": ["attest", "package"],
    }


def test_dependabot_proposes_libraries_that_determine_bytes_apart() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    (pip,) = (update for update in updates if update["package-ecosystem"] == "pip")

    # A library belongs to the first group that has its name.
    (main, patterns), _ = ((name, group["patterns"]) for name, group in pip["groups"].items())
    assert main == "main"
    assert {*REPRODUCIBILITY_LIBRARIES} <= {*patterns}
    (rule,) = pip["ignore"]
    assert rule == {"dependency-name": "*", "update-types": ["version-update:semver-major"]}


def test_base_image_is_named_by_digest() -> None:
    (base,) = (line for line in (ROOT / "Dockerfile").read_text().splitlines() if "FROM" in line)
    name, _, digest = base.removeprefix("FROM ").partition("@sha256:")
    assert name == "python:3.13-slim"
    assert len(bytes.fromhex(digest)) == 32
