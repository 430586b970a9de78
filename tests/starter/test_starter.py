"""`ved init`: what it writes is valid and linted, and it changes nothing that exists."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from ved import cli
from ved.errors import ErrorCode, RequestError
from ved.families.family import Role
from ved.families.model_names import refusal_by_name
from ved.families.overview import overview
from ved.manifest.loading import load
from ved.starter import Terminal, start_repository
from ved.starter import files as starter_files
from ved.starter.files import UNRELEASED, Choices
from ved.starter.installed import Pin, installed_pin
from ved.starter.place import MANIFEST, WORKFLOW

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
YAMLLINT = (
    "{extends: default, rules: {line-length: disable, document-start: disable, "
    "truthy: {check-keys: false}, comments: {min-spaces-from-content: 1}}}"
)
COMMIT = "0123456789abcdef" * 2 + "01234567"
OTHER: Mapping[Role, Role] = {"encoder": "decoder", "decoder": "encoder"}
NOTHING: Mapping[str, str | None] = dict.fromkeys(("namespace", "encoder", "decoder", "repo"))


def person(*answers: str) -> tuple[Terminal, io.StringIO]:
    """Return somebody who gives these answers, and what is displayed."""
    lines, shown = io.StringIO("".join(f"{answer}\n" for answer in answers)), io.StringIO()
    return Terminal(lines.readline, lambda text: print(text, end="", file=shown)), shown


def files_below(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


@pytest.mark.parametrize(("keyless", "folder"), [(False, "."), (True, "models/a b")])
def test_init_writes_files_that_pass_the_linters(
    keyless: bool, folder: str, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()  # actionlint reads the action's repository from it
    start_repository(tmp_path / folder, {**NOTHING, "namespace": "my-org"}, keyless, None)
    manifest = f"{folder}/{MANIFEST}"
    (pair,) = load(tmp_path / manifest).pairs
    assert (pair.repo, pair.encoder.model) == ("my-org/vit-gpt2", Choices().encoder)
    for command in (
        ["actionlint", "-shellcheck=", WORKFLOW],
        ["zizmor", "--offline", "--quiet", "."],
        ["yamllint", "--strict", "--config-data", YAMLLINT, "."],
        ["check-jsonschema", "--schemafile", str(ROOT / "schema/pairs.schema.json"), manifest],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW],
    ):
        finished = subprocess.run(
            [TOOLS / command[0], *command[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("models", "models/pairs.yaml"),
        ("a/b", "a/b/pairs.yaml"),
        ("c++/[x]", r"c\+\+/\[x\]/pairs.yaml"),
        ("modèles: #1", "modèles: #1/pairs.yaml"),
    ],
)
@pytest.mark.parametrize("is_file", [False, True])  # a worktree has a file
def test_init_writes_the_workflow_at_the_root_of_the_repository(
    folder: str, pattern: str, is_file: bool, tmp_path: Path
) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / ".git").touch() if is_file else (root / ".git").mkdir()
    lines = start_repository(root / folder, {**NOTHING, "namespace": "me"}, False, None)
    assert files_below(tmp_path).keys() - {"repository/.git"} == {
        f"repository/{folder}/{MANIFEST}",
        f"repository/{WORKFLOW}",
    }
    workflow = yaml.load((root / WORKFLOW).read_text(), yaml.BaseLoader)
    assert workflow["jobs"]["checkpoints"]["with"]["manifest"] == f"{folder}/{MANIFEST}"
    for event in ("push", "pull_request"):
        assert workflow["on"][event]["paths"] == [pattern, WORKFLOW]
    assert f"Wrote {root / WORKFLOW}" in lines


def test_init_changes_no_workflow_at_the_root(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in ("one", "two"):
        lines = start_repository(tmp_path / name, {**NOTHING, "namespace": "me"}, False, None)
    assert "one/" in (tmp_path / WORKFLOW).read_text()
    assert "two/" not in (tmp_path / WORKFLOW).read_text()
    assert f"two/{MANIFEST}" in lines[-1]


def test_init_writes_nothing_outside_of_the_repository(tmp_path: Path) -> None:
    root, outside = tmp_path / "repository", tmp_path / "outside"
    for path in (root / ".git", root / "models", outside):
        path.mkdir(parents=True)
    (root / ".github").symlink_to(outside)
    for folder in (root, root / "models"):
        with pytest.raises(RequestError) as error:
            start_repository(folder, {**NOTHING, "namespace": "me"}, False, None)
        assert error.value.code == ErrorCode.WRONG_INPUT
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("folder", ["${{ secrets.X }}", "a\nb", "a\udcff"])
def test_init_refuses_a_folder_that_a_workflow_cannot_name(folder: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(RequestError) as error:
        start_repository(tmp_path / folder, {**NOTHING, "namespace": "me"}, False, None)
    assert error.value.code == ErrorCode.WRONG_INPUT
    assert [*tmp_path.iterdir()] == [tmp_path / ".git"]


def test_workflows_are_those_of_the_examples() -> None:
    example = ROOT / "examples/repository/.github/workflows/checkpoints.yml"
    assert Choices().workflow() == example.read_text()
    keyless = Choices(keyless=True).workflow()
    assert "id-token: write" in keyless
    assert "secrets" not in keyless
    (used,) = [line for line in keyless.splitlines() if "uses:" in line]
    (pinned,) = [line for line in Choices().workflow().splitlines() if "uses:" in line]
    assert used == pinned.replace("build-pairs.yml", "build-pairs-keyless.yml")


@pytest.mark.parametrize(
    ("options", "repo"),
    [
        ({"decoder": "google-bert/bert-base-uncased"}, "me/vit-bert"),
        ({"encoder": "microsoft/swin-tiny-patch4-window7-224"}, "me/swin-gpt2"),
        ({"decoder": "FacebookAI/xlm-roberta-base@main"}, "me/vit-xlm-roberta"),
        ({"repo": "null"}, "me/null"),
        ({"repo": "123"}, "me/123"),
        ({"repo": "other/1e3"}, "other/1e3"),
    ],
)
def test_init_writes_the_pair_that_is_asked_for(
    options: dict[str, str], repo: str, tmp_path: Path
) -> None:
    start_repository(tmp_path, {**NOTHING, "namespace": "me", **options}, False, None)
    (pair,) = load(tmp_path / MANIFEST).pairs
    assert pair.repo == repo


@pytest.mark.parametrize(
    ("encoder", "decoder", "name"),
    [("./a b/über-base", "/x_y/", "ber-x-y"), ("../..", "a--b..c", "model-a-b-c")],
)
def test_choices_name_the_repo_after_directories(encoder: str, decoder: str, name: str) -> None:
    assert Choices(encoder=encoder, decoder=decoder).repo_name == name


@pytest.mark.parametrize("existing", [MANIFEST, WORKFLOW])
def test_init_changes_no_existing_file(existing: str, tmp_path: Path) -> None:
    path = tmp_path / existing
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    options = NOTHING if existing == MANIFEST else {**NOTHING, "namespace": "me"}
    start_repository(tmp_path, options, False, None)
    before = files_below(tmp_path)
    assert before.keys() == {MANIFEST, WORKFLOW}
    assert before[existing] == "mine"
    start_repository(tmp_path, NOTHING, True, None)
    assert files_below(tmp_path) == before


def test_init_writes_nothing_if_a_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("a file")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        start_repository(tmp_path, {**NOTHING, "namespace": "me"}, False, None)
    assert files_below(tmp_path) == {".github": "a file"}


def test_init_does_not_write_through_a_link(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).symlink_to(tmp_path / "elsewhere.yaml")
    start_repository(tmp_path, NOTHING, False, None)
    assert not (tmp_path / "elsewhere.yaml").exists()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"namespace": "https://huggingface.co/me"},
        {"namespace": "a b"},
        {"namespace": ""},
        {"namespace": "me", "encoder": ""},
        {"namespace": "me", "repo": ""},
        {"namespace": "me", "encoder": "x: y"},
        {"namespace": "me", "decoder": "[red]"},
        {"namespace": "me", "repo": "x\n  private: true"},
        {"namespace": "\ud800"},
    ],
)
def test_init_refuses_wrong_options(options: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        start_repository(tmp_path, {**NOTHING, **options}, None, None)
    assert error.value.code == ErrorCode.WRONG_INPUT
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize(
    ("options", "is_right"),
    [
        ({"encoder": "gpt2"}, False),
        ({"encoder": "google-bert/bert-base-uncased@main"}, False),
        ({"decoder": "google/vit-base-patch16-224-in21k"}, False),
        ({"decoder": "openai/clip-vit-base-patch32"}, False),
        ({"decoder": "meta-llama/Llama-3.2-1B"}, False),
        ({"decoder": "google-t5/t5-small"}, False),
        ({"encoder": "facebook/convnext-tiny-224"}, False),
        ({"encoder": "openai/whisper-tiny"}, False),
        ({"encoder": "facebook/sam-vit-base"}, False),
        ({"encoder": "facebook/mask2former-swin-tiny-coco-instance"}, False),
        ({"encoder": "google/flan-t5-base"}, False),
        ({"decoder": "meta-llama/Meta-Llama-3-8B"}, False),
        ({"decoder": "EleutherAI/pythia-70m"}, False),
        ({"decoder": "openai/whisper-tiny"}, False),
        ({"decoder": "facebook/sam-vit-base"}, False),
        ({"decoder": "nvidia/segformer-b0-finetuned-ade-512-512"}, False),
        # Whole models, other names and directories may have either role.
        ({"encoder": "nlpconnect/vit-gpt2-image-captioning"}, True),
        ({"decoder": "nlpconnect/vit-gpt2-image-captioning"}, True),
        ({"encoder": "microsoft/trocr-base-printed"}, True),
        ({"encoder": "me/bertha"}, True),
        ({"encoder": "sam/sam-vit-gpt2"}, True),
        ({"encoder": "sam/samoyed-vit"}, True),
        ({"decoder": "me/bit-of-everything"}, True),
        ({"encoder": "./bert"}, True),
    ],
)
def test_init_refuses_a_model_that_cannot_have_its_role(
    options: dict[str, str], is_right: bool, tmp_path: Path
) -> None:
    given = {**NOTHING, "namespace": "me", **options}
    if is_right:
        assert start_repository(tmp_path, given, False, None)
        return
    with pytest.raises(RequestError) as error:
        start_repository(tmp_path, given, False, None)
    assert error.value.code == ErrorCode.WRONG_INPUT
    assert files_below(tmp_path) == {}


def test_init_asks_again_for_a_model_of_the_other_role(tmp_path: Path) -> None:
    terminal, shown = person("me", "gpt2", "", "", "", "y")
    start_repository(tmp_path, NOTHING, None, terminal)
    (pair,) = load(tmp_path / MANIFEST).pairs
    assert (pair.encoder.model, pair.decoder.model) == (Choices().encoder, Choices().decoder)
    assert shown.getvalue().count("Vision encoder") == 2


def test_roles_by_name_agree_with_the_families() -> None:
    for each in overview():
        assert refusal_by_name(each.role, each.model) is None
    known = [each for each in overview() if refusal_by_name(OTHER[each.role], each.model)]
    assert len(known) > len(overview()) - 4  # the names of few models say nothing


TOKENS = ("hf_" + "aB3" * 12, "hf_short", "ghp_" + "a" * 36, "github_pat_" + "x" * 30)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("name", [*NOTHING])
def test_init_neither_writes_nor_repeats_a_token(name: str, token: str, tmp_path: Path) -> None:
    for value in (token, f"HF_TOKEN={token}", f"{token}@main"):
        with pytest.raises(RequestError) as error:
            start_repository(tmp_path, {**NOTHING, "namespace": "me", name: value}, True, None)
        assert error.value.code == ErrorCode.WRONG_INPUT
        assert token not in str(error.value)
        assert files_below(tmp_path) == {}
    answers = dict.fromkeys(NOTHING, "") | {"namespace": "me"}
    lines = [line for key, line in answers.items() for line in ([token] * (key == name) + [line])]
    terminal, shown = person(*lines, "y")
    start_repository(tmp_path, NOTHING, None, terminal)
    assert token not in shown.getvalue()
    assert not [text for text in files_below(tmp_path).values() if token in text]


@pytest.mark.parametrize("name", ["hf-internal-testing/tiny-gpt2", "me/hf_captioner"])
def test_init_takes_names_that_are_no_tokens(name: str, tmp_path: Path) -> None:
    start_repository(tmp_path, {**NOTHING, "namespace": "me", "decoder": name}, True, None)
    assert load(tmp_path / MANIFEST).pairs[0].decoder.model == name


def test_commands_repeat_no_token_of_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    token = TOKENS[0]
    for arguments in (["init", token], ["init", "--repo", token], ["plan", token], [token]):
        with contextlib.suppress(SystemExit):
            assert cli.main([*arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("ERROR") == 3
    assert token not in printed.out + printed.err
    assert files_below(tmp_path) == {}


PINNED = {
    "url": "https://github.com/ved-action/ved.git",
    "vcs_info": {"vcs": "git", "commit_id": COMMIT, "requested_revision": "v0.1.0"},
}


@pytest.mark.parametrize(
    ("record", "pin"),
    [
        (PINNED, Pin(COMMIT, "v0.1.0")),
        ({**PINNED, "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, Pin(COMMIT, "main")),
        ({**PINNED, "url": "https://github.com/other/ved"}, None),
        ({**PINNED, "vcs_info": {"vcs": "git", "commit_id": "main"}}, None),
        ({"url": "file:///ved", "dir_info": {}}, None),
        ({"url": PINNED["url"], "vcs_info": None}, None),
        (None, None),
    ],
)
def test_installed_pin_is_the_commit_that_pip_recorded(
    record: dict[str, object] | None, pin: Pin | None, tmp_path: Path
) -> None:
    for name, content in (("ved-0.1.0", record), ("broken-1", ["{"])):
        (tmp_path / f"{name}.dist-info").mkdir()
        if content is not None:
            written = tmp_path / f"{name}.dist-info" / "direct_url.json"
            written.write_text(json.dumps(content) if content != ["{"] else "{")
    assert installed_pin(tmp_path) == pin


@pytest.mark.parametrize("keyless", [False, True])
def test_init_pins_the_installed_commit(
    keyless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter_files, "installed_pin", lambda: Pin(COMMIT, "v0.1.0"))
    steps = start_repository(tmp_path, {**NOTHING, "namespace": "me"}, keyless, None)
    text = (tmp_path / WORKFLOW).read_text()
    assert f"{'-keyless' if keyless else ''}.yml@{COMMIT} # v0.1.0\n" in text
    assert UNRELEASED not in text
    assert not [step for step in steps if "zeros" in step]


def test_init_refuses_options_for_a_manifest_that_exists(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("mine")
    with pytest.raises(RequestError):
        start_repository(tmp_path, {**NOTHING, "encoder": "a/b"}, None, None)
    assert files_below(tmp_path) == {MANIFEST: "mine"}


def test_init_asks_for_what_is_not_given(tmp_path: Path) -> None:
    terminal, shown = person("", "not a name", "me", "", "n")
    options = {**NOTHING, "decoder": "google-bert/bert-base-uncased", "repo": "mine"}
    start_repository(tmp_path, options, None, terminal)
    (pair,) = load(tmp_path / MANIFEST).pairs
    assert (pair.repo, pair.decoder.model) == ("me/mine", "google-bert/bert-base-uncased")
    assert "id-token: write" in (tmp_path / WORKFLOW).read_text()
    assert shown.getvalue().count("Hub: ") == 3
    assert "'not a name'" in shown.getvalue()


def test_init_asks_only_for_the_file_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("mine")
    terminal, _ = person("y")
    start_repository(tmp_path, NOTHING, None, terminal)
    assert "secrets.HF_TOKEN" in (tmp_path / WORKFLOW).read_text()


def test_init_writes_nothing_without_an_answer(tmp_path: Path) -> None:
    terminal, _ = person("me")
    with pytest.raises(RequestError):
        start_repository(tmp_path, NOTHING, None, terminal)
    assert files_below(tmp_path) == {}


def test_init_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new"
    assert cli.main(["init", str(folder)]) == 2  # nobody is asked
    assert cli.main(["init", str(folder), "--namespace", "me", "--keyless"]) == 0
    printed = capsys.readouterr().out
    assert f"Wrote {folder / MANIFEST}" in printed
    assert f"`ved plan {folder / MANIFEST}`" in printed
    assert cli.main(["init", str(folder / MANIFEST), "--namespace", "me"]) == 2
    assert cli.main(["validate", str(folder / MANIFEST)]) == 0
