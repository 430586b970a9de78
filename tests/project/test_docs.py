"""The documentation: load its manifests, lint its workflows, run its commands and programs."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from huggingface_hub import HfApi

from tests import checkpoints
from tests.project import test_workflows
from tests.support.action import run_in_process
from tests.support.environments import python
from tests.support.pages import Block, blocks, environment, run, running, script, tokens
from tests.test_errors import slug
from ved.localhub import LocalHub, samples
from ved.manifest.loading import load
from ved.planning.actions import PlannedAction

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])
REPOSITORY = ROOT / "examples" / "repository"
TOOLS = Path(sys.executable).parent
TOKEN = "hf_readers_token"

# Commands that need the network. The tests provide their results instead.
NEEDS_NETWORK = ("git clone", "pip install", "gh ")


def fenced_blocks(page: str, *languages: str) -> list[Block]:
    return [block for block in blocks(ROOT / page) if block.language in languages]


def needs_no_network(block: Block) -> bool:
    return not any(command in block.content for command in NEEDS_NETWORK)


@pytest.fixture
def sample_hub() -> Iterator[LocalHub]:
    """Yield a Hub with the samples, whose token may write to my-org."""
    with LocalHub(xet=True) as hub:
        hub.add_user("reader", token=TOKEN, organizations=("my-org",))
        samples.publish(hub)
        yield hub


# Manifests and workflows

YAML = {
    f"{page.relative_to(ROOT)}-{number}": block.content
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if block.language == "yaml" and yaml.load(block.content, yaml.BaseLoader)
}
WORKFLOWS = {name: content for name, content in YAML.items() if "\njobs:\n" in content}
HOOKS = {name: content for name, content in YAML.items() if content.startswith("repos:\n")}
MANIFESTS = {name: content for name, content in YAML.items() if name not in {*WORKFLOWS, *HOOKS}}


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS)
def test_docs_manifests_are_valid(content: str, tmp_path: Path) -> None:
    for directory in re.findall(r"\./[\w/-]+", content):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "pairs.yaml").write_text(content)
    assert load(tmp_path / "pairs.yaml").pairs


@pytest.mark.parametrize(
    "command",
    [["actionlint"], ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]],
    ids=lambda command: command[0],
)
def test_docs_workflows_are_valid(command: list[str], tmp_path: Path) -> None:
    paths = write_workflows(WORKFLOWS, tmp_path)
    # actionlint finds shellcheck through PATH.
    variables = {"PATH": f"{TOOLS}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, *paths], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "rule",
    [
        test_workflows.test_workflows_pass_existing_inputs,
        test_workflows.test_workflows_use_existing_outputs,
        test_workflows.test_scripts_contain_no_expressions,
        test_workflows.test_third_party_actions_are_pinned_to_commits,
        test_workflows.test_checkout_persists_no_credentials,
        test_workflows.test_secrets_are_not_in_workflow_environment,
    ],
)
def test_recipes_workflows_keep_rules_of_our_workflows(
    rule: Callable[[Path], None], tmp_path: Path
) -> None:
    recipes = {name: content for name, content in WORKFLOWS.items() if "recipes" in name}
    for path in write_workflows(recipes, tmp_path):
        rule(path)


def write_workflows(workflows: Mapping[str, str], folder: Path) -> list[Path]:
    """Write each workflow to its own file, and return the files."""
    paths = [folder / f"{number}.yml" for number in range(len(workflows))]
    for path, content in zip(paths, workflows.values(), strict=True):
        path.write_text(content)
    assert paths
    return paths


# Commands and programs


@pytest.mark.slow
def test_tutorial_prints_documented_output(tmp_path: Path) -> None:
    (tmp_path / "ved").symlink_to(ROOT)
    (tmp_path / "flax-env").symlink_to(sys.prefix)
    (tmp_path / "torch-env").symlink_to(python("transformers5").parents[1])
    variables = environment(tmp_path / "home", ROOT, Path(sys.executable))

    page = [block for block in blocks(ROOT / "docs/tutorial.md") if needs_no_network(block)]
    (hub,) = (block for block in page if "ved localhub" in block.content)
    rest = [block for block in page if block is not hub]
    command = hub.content.replace("8080", "0")
    with running(command, tmp_path, variables, until="A Hub at") as announced:
        port = re.findall(r"A Hub at http://127\.0\.0\.1:(\d+);", announced[-1])[0]

        def at_port(content: str) -> str:
            return content.replace("8080", port)

        printed = run(at_port(script(rest)), tmp_path, variables)

    lines = "\n".join((*announced, printed))
    for expected in (block.content for block in page if block.language == "text"):
        assert at_port(expected).rstrip(".\n") in lines
    losses = {
        framework: [float(loss) for loss in re.findall(rf"{framework}, .*: loss (.*)", printed)]
        for framework in ("Flax", "PyTorch")
    }
    assert len(losses["Flax"]) == 10
    assert losses["Flax"] == sorted(losses["Flax"], reverse=True)
    assert losses["Flax"][-1] < losses["Flax"][0]
    assert losses["PyTorch"] == pytest.approx(losses["Flax"], abs=0.01)
    assert (tmp_path / "captioner/trained-flax/config.json").exists()
    assert (tmp_path / "captioner/trained-pytorch/config.json").exists()


@pytest.mark.slow
def test_recipes_commands_work(sample_hub: LocalHub, tmp_path: Path) -> None:
    variables = environment(tmp_path / "home", ROOT, Path(sys.executable))
    variables |= {"HF_ENDPOINT": sample_hub.endpoint, "HF_TOKEN": TOKEN}
    (tmp_path / "pairs.yaml").write_bytes((REPOSITORY / "pairs.yaml").read_bytes())
    commands = [
        block for block in fenced_blocks("docs/recipes.md", "bash") if needs_no_network(block)
    ]
    *before, last = commands
    port = sample_hub.endpoint.rpartition(":")[2]

    printed = run(script(before).replace("8080", port), tmp_path, variables)

    assert "build      my-org/dinov2-bert" in printed
    assert "built      my-org/vit-gpt2" in printed
    # `ved verify` succeeded: the script stops at the first failure.
    assert re.search(r"^my-org/vit-gpt2@\w+: ", printed, re.MULTILINE)
    api = HfApi(sample_hub.endpoint, token=TOKEN)
    built = contents(api)
    api.upload_file(
        path_or_fileobj=b"trained", path_in_repo="model.safetensors", repo_id="my-org/vit-gpt2"
    )
    assert contents(api) != built
    run(last.content, tmp_path, variables)
    assert contents(api) == built


def contents(api: HfApi) -> dict[str, str]:
    files = api.list_repo_tree("my-org/vit-gpt2")
    return {file.path: str(getattr(file, "blob_id", "")) for file in files}


@pytest.mark.slow
def test_recipes_keyless_publishing_with_read_token(sample_hub: LocalHub, tmp_path: Path) -> None:
    """Run the recipe for private sources with the recipe for a token and an identity."""
    api = HfApi(sample_hub.endpoint, token=TOKEN)
    for repo in ("my-org/secret-gpt2", "my-org/vit-secret"):
        api.create_repo(repo, private=True)
    source = checkpoints.gpt2(tmp_path / "secret")
    api.upload_folder(repo_id="my-org/secret-gpt2", folder_path=source)
    sample_hub.add_user("reader", token="hf_read", role="read")
    trusted: dict[str, Any] = {"repository": "my-org/captioner", "workflow": "checkpoints.yml"}
    sample_hub.add_publisher("my-org/vit-secret", **trusted)
    (manifest,) = (content for content in MANIFESTS.values() if "secret-gpt2" in content)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "pairs.yaml").write_text(manifest)

    inputs = {"endpoint": sample_hub.endpoint, "token": "hf_read"}
    ran = run_in_process(inputs, workspace, tmp_path, sample_hub.add_job(**trusted))

    assert ran.status == 0, ran.log
    assert ran.outputs["built"] == "1"
    assert api.list_repo_commits("my-org/vit-secret")[0].authors == ["[OIDC]"]


def test_samples_are_published_once(sample_hub: LocalHub) -> None:
    assert samples.publish(sample_hub) == []


def test_python_api_example_builds_pairs(
    hub: LocalHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.yaml").write_text(
        "pairs: [{repo: me/vit-gpt2, encoder: team/vit, decoder: team/gpt2}]\n"
    )
    first = next(block for block in fenced_blocks("docs/python-api.md", "python"))
    exec(first.content, {})
    printed = capsys.readouterr().out
    assert "build      me/vit-gpt2" in printed
    assert "me/vit-gpt2 built []" in printed
    assert Path("checkpoints/me/vit-gpt2/ved.json").exists()


# The example repository


def test_example_repository_plans_all_pairs(sample_hub: LocalHub, tmp_path: Path) -> None:
    inputs = {"mode": "plan", "endpoint": sample_hub.endpoint}
    ran = run_in_process(inputs, REPOSITORY, tmp_path)
    assert ran.status == 0, ran.log
    pairs = load(REPOSITORY / "pairs.yaml").pairs
    assert ran.outputs["pending"] == str(len(pairs))
    assert all(f"build      {pair.repo}" in ran.log for pair in pairs)


def test_example_repository_names_schema_for_editors() -> None:
    first = (REPOSITORY / "pairs.yaml").read_text().partition("\n")[0]
    assert first in (ROOT / "docs/manifest.md").read_text()


# Links


def headings(page: Path) -> set[str]:
    found = tokens(page)
    return {
        slug(found[place + 1].content)
        for place, token in enumerate(found)
        if token.type == "heading_open"
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_docs_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if ":" in link:
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_docs_paths_exist(page: str) -> None:
    roots = "ved|tests|docs|bench|examples|requirements|schema|[.]github"
    for path in re.findall(rf"`((?:{roots})/[\w./-]*)`", (ROOT / page).read_text("utf-8")):
        assert (ROOT / path).exists(), path


def test_docs_list_the_command_of_each_picture() -> None:
    text = (ROOT / "docs/pictures/README.md").read_text()
    listed = {*re.findall(r"docs/images/([a-z-]+)-\*\.", text)}
    kinds = ("-bars", "-build", "-plan", "")
    for path in (ROOT / "docs/images").iterdir():
        name = path.stem.removesuffix("-dark").removesuffix("-light")
        assert any(name.removesuffix(kind) in listed for kind in kinds), path.name


def test_docs_install_the_release_that_workflows_name() -> None:
    patterns = ("README.md", "docs/*.md", "examples/**/*.*")
    paths = [
        path
        for pattern in patterns
        for path in ROOT.glob(pattern)
        if path.is_file() and path.suffix != ".pyc"
    ]
    text = "\n".join(path.read_text("utf-8") for path in paths)
    named = {*re.findall(r"ved-action/ved(?:/[\w./-]+)?@\S+ # v([\d.]+)", text)}
    installed = re.findall(r"git\+https://github\.com/ved-action/ved(@v[\d.]+)?", text)
    assert len(installed) > 5
    assert {*installed} == {f"@v{version}" for version in named}
    assert {*re.findall(r"repo: \S+/ved-action/ved\n +rev: v(.*)", text)} == named


def test_architecture_types_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    types = re.findall(r'\["(\w+)<br>([\w/.]+)"\]', page)
    assert types
    for name, path in types:
        assert re.search(rf"^class {name}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE), name
    assert {action.__name__ for action in get_args(PlannedAction)} <= {name for name, _ in types}


def test_recipes_index_is_complete() -> None:
    page = ROOT / "docs/recipes.md"
    listed = set(re.findall(r"^- \[.*\]\(#(.*)\)$", page.read_text(), re.MULTILINE))
    assert listed == headings(page) - {"recipes"}
