"""The files that GitHub and package installers read."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from flit_core import buildapi  # type: ignore[import-untyped]
from markdown_it import MarkdownIt

from docs import generate
from ved.action.inputs import Inputs
from ved.manifest.pair_models import Pair

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
REQUIREMENT = r"""
    [a-z0-9][a-z0-9._-]* (\[[a-z0-9,-]+\])? ==[\w.+!]+   # name, extras, one version
    ([ ];[ ][^;]+?)?                                     # for some platforms only
    ([ ]+--hash=sha256:[0-9a-f]{64})+ [ ]*
"""
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


class RecordingEnviron(dict[str, str]):
    """Environment variables that record the names of all lookups."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_action_has_what_the_marketplace_asks_for() -> None:
    assert len(ACTION["description"]) <= 125
    assert not ACTION["description"].endswith(".")
    assert {"name", "author"} <= ACTION.keys()
    # GitHub's documentation lists the colors, and the icons of Feather 4.28.
    assert ACTION["branding"] == {"icon": "layers", "color": "yellow"}


def test_bug_report_asks_for_version_and_log() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug_report.yml").read_text("utf-8"))
    fields = {field["id"]: field for field in form["body"] if "id" in field}
    assert "`ved --version`" in fields["version"]["attributes"]["description"]
    assert all(fields[name]["validations"]["required"] for name in ("version", "log", "manifest"))


def test_hook_for_other_repositories_checks_manifests() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    program, command = hook["entry"].split()
    files = [str(path) for path in ROOT.glob("examples/*/pairs.yaml")]
    assert program == "ved"
    assert len(files) > 1
    assert all(re.search(hook["files"], file) for file in files)
    # pre-commit passes all changed manifests to one process.
    run = subprocess.run(
        [sys.executable, "-m", program, command, *files], capture_output=True, check=True, text=True
    )
    assert [line.partition(": valid")[0] for line in run.stdout.splitlines()] == files


def test_action_inputs_equal_inputs_that_code_reads() -> None:
    variables = RecordingEnviron()
    Inputs.read(variables)
    assert variables.names == {f"INPUT_{name.upper()}" for name in ACTION["inputs"]}


def test_action_defaults_equal_defaults_of_code() -> None:
    defaults = {
        f"INPUT_{name.upper()}": value["default"] for name, value in ACTION["inputs"].items()
    }
    # Without an endpoint, huggingface_hub chooses the Hub's address.
    assert replace(Inputs.read(defaults), endpoint="") == Inputs.read({})


@pytest.mark.parametrize("path", generate.pages(), ids=lambda path: path.name)
def test_generated_pages_are_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == generate.pages()[path], "run make docs"


@pytest.mark.parametrize(
    ("path", "heading", "names"),
    [
        ("docs/action.md", "Inputs", ACTION["inputs"]),
        ("docs/action.md", "Outputs", ACTION["outputs"]),
        ("docs/manifest.md", "A pair", Pair.model_fields),
        ("docs/manifest.md", "A grid", {"encoders", "decoders", "exclude", "overrides"}),
    ],
)
def test_pages_list_every_name(path: str, heading: str, names: Iterable[str]) -> None:
    page = MarkdownIt("commonmark").enable("table").parse((ROOT / path).read_text("utf-8"))
    texts = [token.content for token in page if token.type == "inline"]
    rest = texts[texts.index(heading) :]
    assert {f"`{name}`" for name in names} <= {*rest}


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_and_hashed_without_index_addresses(
    path: Path,
) -> None:
    text = path.read_text()
    assert "://" not in text
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    for line in lines:
        assert line.lstrip().startswith("#") or re.fullmatch(REQUIREMENT, line, re.VERBOSE), line


def test_oracle_has_the_numerical_libraries_of_the_container() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text()
        return {*re.findall(r"^(?:flax|jax|jaxlib|numpy|ml-dtypes)==[\w.]+", text, re.MULTILINE)}

    assert pins("oracle.txt") == pins("run.txt")
    names = {each.partition("==")[0] for each in pins("run.txt")}
    assert names == {"flax", "jax", "jaxlib", "numpy", "ml-dtypes"}


def steps(workflow: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", [])
        yield job


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_actions_and_start_without_permissions(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    for action in used:
        ours = action == "./" or action.startswith("ved-action/ved@")
        assert ours or re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}", action), action


def test_wheel_contains_type_marker_and_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ved", "pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    wheel = tmp_path / buildapi.build_wheel(str(tmp_path))
    names = ZipFile(wheel).namelist()
    templates = {str(path.relative_to(ROOT)) for path in ROOT.glob("ved/**/*.jinja")}
    assert templates
    assert {"ved/py.typed", *templates} <= {*names}


def required() -> list[str]:
    """Return the requirements of the package and of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [*chain(project["dependencies"], *project["optional-dependencies"].values())]


def test_lowest_has_the_lower_bounds_of_the_package() -> None:
    text = (ROOT / "requirements/lowest.txt").read_text()
    pins = re.findall(r"^([\w-]+)==([\d.]+)", text, re.MULTILINE)
    for requirement in required():
        name, bound = requirement.partition(",")[0].split(">=")
        versions = {version for pin, version in pins if pin == name.replace("_", "-")}
        # The first release of 12 is 12.0.0.
        assert {re.sub(r"(\.0)+$", "", each) for each in versions} == {bound}, "run make lock"


def test_architecture_lists_every_dependency() -> None:
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in required()}
    section = (
        (ROOT / "docs/architecture.md")
        .read_text("utf-8")
        .partition("## Dependencies")[2]
        .partition("## ")[0]
    )
    assert {*re.findall(r"^\| ([\w-]+) \|", section, re.MULTILINE)} - {"library", "---"} == names


def test_pre_commit_runs_only_locked_tools() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)


def test_globs_find_pages_workflows_and_requirements() -> None:
    assert {"README.md", "architecture.md", "workflows.md"} <= {path.name for path in PAGES}
    assert "ci.yml" in [path.name for path in WORKFLOWS]
    assert {"run.txt", "dev.txt"} <= {path.name for path in REQUIREMENTS}


@pytest.mark.parametrize(("version", "refused"), [("3, 10, 13", True), ("3, 11, 0", False)])
def test_makefile_refuses_old_python(version: str, refused: bool, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\n"
        f'[ "$1" = -c ] || {{ mkdir -p "$3"; exit; }}\n'  # python -m venv DIRECTORY
        f'exec {sys.executable} -c "import sys; sys.version_info = ({version}); $2"\n'
    )
    python.chmod(0o755)
    environment = tmp_path / "venv"

    run = subprocess.run(
        ["make", f"PYTHON={python}", f"VENV={environment}", f"{environment}/bin/python"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )

    assert (run.returncode != 0) == refused
    assert environment.exists() != refused
