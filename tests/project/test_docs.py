"""The documentation, held against what it is about: all that it shows is loaded, linted or run."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi

from examples.demo.runner import run_action
from tests import checkpoints
from tests.project import test_workflows
from tests.support.environments import python
from tests.support.pages import Block, blocks, environment, run, running, script, tokens
from tests.test_errors import slug
from ved.localhub import LocalHub, samples
from ved.manifest.loading import load

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])
REPOSITORY = ROOT / "examples" / "repository"
TOOLS = Path(sys.executable).parent
TOKEN = "hf_readers_token"

# What takes more than this machine: its results are put in its place.
ELSEWHERE = ("git clone", "pip install", "gh ")


def shown(page: str, *languages: str) -> list[Block]:
    return [block for block in blocks(ROOT / page) if block.language in languages]


def is_here(block: Block) -> bool:
    return not any(command in block.content for command in ELSEWHERE)


@pytest.fixture
def stand_ins() -> Iterator[LocalHub]:
    """Lend out a Hub with the samples on it, on which the token may write to my-org."""
    with LocalHub() as hub:
        hub.add_user("reader", token=TOKEN, organisations=("my-org",))
        samples.publish(hub)
        yield hub


# What is shown of manifests and workflows

YAML = {
    f"{page.relative_to(ROOT)}-{number}": block.content
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if block.language == "yaml" and yaml.load(block.content, yaml.BaseLoader)
}
WORKFLOWS = {name: content for name, content in YAML.items() if "\njobs:\n" in content}
MANIFESTS = {name: content for name, content in YAML.items() if name not in WORKFLOWS}


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS)
def test_manifests_that_are_shown_are_right(content: str, tmp_path: Path) -> None:
    for directory in re.findall(r"\./[\w/-]+", content):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "pairs.yaml").write_text(content)
    assert load(tmp_path / "pairs.yaml").pairs


@pytest.mark.parametrize(
    "command",
    [["actionlint"], ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]],
    ids=lambda command: command[0],
)
def test_workflows_that_are_shown_are_right(command: list[str], tmp_path: Path) -> None:
    paths = written(WORKFLOWS, tmp_path)
    # actionlint looks for shellcheck beside itself.
    variables = {"PATH": f"{TOOLS}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, *paths], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "rule",
    [
        test_workflows.test_action_and_called_workflow_are_given_inputs_that_they_have,
        test_workflows.test_outputs_and_results_that_are_referred_to_exist,
        test_workflows.test_no_expression_is_put_into_a_script,
        test_workflows.test_actions_of_others_are_pinned_to_a_commit,
        test_workflows.test_checked_out_repository_holds_no_credentials,
        test_workflows.test_no_secret_is_for_every_job,
    ],
)
def test_workflows_of_recipes_keep_the_rules_of_our_own(
    rule: Callable[[Path], None], tmp_path: Path
) -> None:
    recipes = {name: content for name, content in WORKFLOWS.items() if "recipes" in name}
    for path in written(recipes, tmp_path):
        rule(path)


def written(workflows: Mapping[str, str], folder: Path) -> list[Path]:
    """Write each workflow to a file of its own, and return the files."""
    paths = [folder / f"{number}.yml" for number in range(len(workflows))]
    for path, content in zip(paths, workflows.values(), strict=True):
        path.write_text(content)
    assert paths
    return paths


# What is shown of commands and programs


def test_the_tutorial_does_what_it_says(tmp_path: Path, unused_port: int) -> None:
    (tmp_path / "ved").symlink_to(ROOT)
    (tmp_path / "flax-env").symlink_to(sys.prefix)
    (tmp_path / "torch-env").symlink_to(python("transformers5").parents[1])
    variables = environment(tmp_path / "home", ROOT, Path(sys.executable))

    def at_port(content: str) -> str:
        return content.replace("8080", str(unused_port))

    page = [block for block in blocks(ROOT / "docs/tutorial.md") if is_here(block)]
    (hub,) = (block for block in page if "ved localhub" in block.content)
    rest = [block for block in page if block is not hub]
    with running(at_port(hub.content), tmp_path, variables, until="A Hub at") as announced:
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


def test_commands_of_recipes_do_what_they_say(stand_ins: LocalHub, tmp_path: Path) -> None:
    variables = environment(tmp_path / "home", ROOT, Path(sys.executable))
    variables |= {"HF_ENDPOINT": stand_ins.endpoint, "HF_TOKEN": TOKEN}
    (tmp_path / "pairs.yaml").write_bytes((REPOSITORY / "pairs.yaml").read_bytes())
    commands = [block for block in shown("docs/recipes.md", "bash") if is_here(block)]
    *before, last = commands
    port = stand_ins.endpoint.rpartition(":")[2]

    printed = run(script(before).replace("8080", port), tmp_path, variables)

    assert "build      my-org/dinov2-bert" in printed
    assert "built      my-org/vit-gpt2" in printed
    assert "bit for bit" in printed
    api = HfApi(stand_ins.endpoint, token=TOKEN)
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


def test_a_job_publishes_as_itself_what_a_read_token_sees(
    stand_ins: LocalHub, tmp_path: Path
) -> None:
    """Run the recipe for private sources with that for both a token and an identity."""
    api = HfApi(stand_ins.endpoint, token=TOKEN)
    for repo in ("my-org/secret-gpt2", "my-org/vit-secret"):
        api.create_repo(repo, private=True)
    source = checkpoints.gpt2(tmp_path / "secret")
    api.upload_folder(repo_id="my-org/secret-gpt2", folder_path=source)
    stand_ins.add_user("reader", token="hf_read", role="read")
    trusted: dict[str, Any] = {"repository": "my-org/captioner", "workflow": "checkpoints.yml"}
    stand_ins.add_publisher("my-org/vit-secret", **trusted)
    (manifest,) = (content for content in MANIFESTS.values() if "secret-gpt2" in content)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "pairs.yaml").write_text(manifest)

    inputs = {"endpoint": stand_ins.endpoint, "token": "hf_read"}
    ran = run_action(inputs, workspace, tmp_path, stand_ins.add_job(**trusted))

    assert ran.status == 0, ran.log
    assert ran.outputs["built"] == "1"
    assert api.list_repo_commits("my-org/vit-secret")[0].authors == ["[OIDC]"]


def test_samples_that_are_there_stay_as_they_are(stand_ins: LocalHub) -> None:
    assert samples.publish(stand_ins) == []


# The repository to copy


def test_the_action_plans_the_example_repository(stand_ins: LocalHub, tmp_path: Path) -> None:
    inputs = {"mode": "plan", "endpoint": stand_ins.endpoint}
    ran = run_action(inputs, REPOSITORY, tmp_path)
    assert ran.status == 0, ran.log
    pairs = load(REPOSITORY / "pairs.yaml").pairs
    assert ran.outputs["pending"] == str(len(pairs))
    assert all(f"build      {pair.repo}" in ran.log for pair in pairs)


def test_editors_find_the_schema_of_the_example_repository() -> None:
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
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if ":" in link:
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


def test_the_index_of_recipes_has_every_recipe() -> None:
    page = ROOT / "docs/recipes.md"
    listed = set(re.findall(r"^- \[.*\]\(#(.*)\)$", page.read_text(), re.MULTILINE))
    assert listed == headings(page) - {"recipes"}
