"""The programs of examples/finetuning: train a sample checkpoint in both runtimes, and publish it.

VED_ALL_FAULTS=1 also runs the commands of docs/fine-tuning.md, which train on all digits and on
lines, and checks the scores.
"""

import ast
import json
import os
import re
import runpy
import shutil
import sys
from argparse import ArgumentParser
from pathlib import Path
from textwrap import shorten
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer

from tests.support.building import assemble_pair
from tests.support.caches import COMPILATION
from tests.support.environments import ONE_THREAD, python
from tests.support.faults import ALL_FAULTS
from tests.support.notebooks import execute
from tests.support.pages import blocks, environment, run, script
from tests.support.publishing import TOKEN, build_pair, client, pair
from ved.localhub import LocalHub, samples
from ved.localhub.samples import SampleOptions
from ved.modeling import FlaxVisionEncoderDecoderModel

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "examples" / "finetuning"
BASE, DIGITS = "owner/vit-gpt2", "owner/digits"
FEW = {"train": 48, "validation": 10, "test": 10}
"""The images of each split that a short training uses."""
SHORT = ["--epochs", "3", "--batch-size", "16", "--learning-rate", "2e-3"]

pytestmark = pytest.mark.slow


def make_dataset(kind: str, directory: Path) -> Path:
    """Write a dataset of examples/finetuning, and return its directory."""
    run_program("make_dataset", [kind, str(directory)])
    return directory


def run_program(name: str, arguments: list[str]) -> dict[str, Any]:
    """Run a program of examples/finetuning in this process, and return its variables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        return runpy.run_path(str(PROGRAMS / f"{name}.py"), run_name="__main__")


def function_of(name: str, program: str) -> str:
    """Return the code of a function of a program."""
    tree = ast.parse((PROGRAMS / f"{program}.py").read_text("utf-8"))
    (found,) = (
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return ast.unparse(found)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with all digits."""
    return make_dataset("digits", tmp_path_factory.mktemp("datasets") / "digits")


@pytest.fixture(scope="module")
def recipe_hub(
    module_hub: LocalHub, digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> LocalHub:
    """Return a Hub with a checkpoint that VED has built, and a dataset of a few digits."""
    entry = pair(BASE, license="apache-2.0", language="en")
    assert build_pair(module_hub, entry).action == "built"
    few = tmp_path_factory.mktemp("few")
    for split, count in FEW.items():
        (few / split).mkdir()
        lines = (digits / split / "metadata.jsonl").read_text().splitlines()[:count]
        (few / split / "metadata.jsonl").write_text("\n".join(lines))
        for line in lines:
            name = json.loads(line)["file_name"]
            shutil.copy(digits / split / name, few / split / name)
    api = client(module_hub)
    api.create_repo(DIGITS, repo_type="dataset")
    api.upload_folder(repo_id=DIGITS, folder_path=few, repo_type="dataset")
    return module_hub


@pytest.fixture
def in_process(recipe_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the Hub of the programs that run in this process."""
    from datasets import config  # here, because it takes a second

    # datasets reads the variable when it is imported, which another test may have done.
    monkeypatch.setattr(config, "HF_ENDPOINT", recipe_hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def as_cells(arguments: list[str], program: str) -> dict[str, str]:
    """Return the cells of a notebook to replace: for pip, and for the arguments."""
    notebook = json.loads((PROGRAMS / f"{program}.ipynb").read_text("utf-8"))
    (cell,) = (
        each for each in notebook["cells"] if "arguments" in each["metadata"].get("tags", ())
    )
    source, count = re.subn(
        r"^arguments = .*$", f"arguments = {arguments}", "".join(cell["source"]), flags=re.MULTILINE
    )
    assert count == 1
    return {"install": "", "arguments": source}


def run_notebook(
    program: str,
    interpreter: Path,
    arguments: list[str],
    hub: LocalHub,
    folder: Path,
    after: list[str] | None = None,
) -> str:
    """Execute the notebook of a program as a user of the Hub, and return what it prints."""
    variables = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        **ONE_THREAD,
        **COMPILATION,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(folder / "hf-home"),
    }
    if interpreter == Path(sys.executable):
        variables["PYTHONPATH"] = str(ROOT)  # VED is not installed in its own environment
    notebook = PROGRAMS / f"{program}.ipynb"
    cells = as_cells(arguments, program)
    return execute(notebook, interpreter, cells, folder, variables, after=after or [])


# Flax


@pytest.mark.usefixtures("in_process")
def test_flax_recipe_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_program("finetune_flax", [BASE, DIGITS, str(tmp_path / "whole"), *SHORT])
    losses = [entry["loss"] for entry in whole["history"]]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 3

    calls = iter([False, True])
    generate = FlaxVisionEncoderDecoderModel.generate

    def interrupted(*positional: Any, **named: Any) -> Any:
        if next(calls, False):
            raise KeyboardInterrupt
        return generate(*positional, **named)

    arguments = [BASE, DIGITS, str(tmp_path / "parts"), *SHORT]
    with monkeypatch.context() as patch:
        patch.setattr(FlaxVisionEncoderDecoderModel, "generate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_program("finetune_flax", arguments)
    parts = run_program("finetune_flax", [*arguments, "--resume"])

    assert parts["history"] == whole["history"]
    for name in ("model.safetensors", "config.json", "tokenizer.json", "preprocessor_config.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.usefixtures("in_process")
def test_flax_recipe_resumes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_program("finetune_flax", [BASE, DIGITS, str(tmp_path / "new"), "--resume"])
    assert "new has no state" in capsys.readouterr().err


@pytest.mark.usefixtures("in_process")
def test_flax_recipe_accumulates_exactly(steady: Path, tmp_path: Path) -> None:
    runs = {
        parts: run_program(
            "finetune_flax",
            [
                str(steady),
                DIGITS,
                str(tmp_path / parts),
                *SHORT,
                "--epochs=1",
                "--accumulate",
                parts,
            ],
        )
        for parts in ("1", "4")
    }
    assert runs["4"]["history"][0]["loss"] == pytest.approx(
        runs["1"]["history"][0]["loss"], abs=1e-4
    )


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint without dropout."""
    folder = tmp_path_factory.mktemp("steady")
    none = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    decoder = samples.gpt2(SampleOptions(config=none)).write(folder / "gpt2")
    assemble_pair(samples.vit().write(folder / "vit"), decoder, folder / "checkpoint")
    return folder / "checkpoint"


# Notebooks

FLAX, PYTORCH = "owner/flax-captioner", "owner/pytorch-captioner"
CHECKS = """
import json, os, runpy, shutil, sys

def run(*arguments):
    sys.argv = ["finetune_pytorch", *arguments]
    return runpy.run_path(PROGRAM, run_name="__main__")

def texts_of(repo):
    model = VisionEncoderDecoderModel.from_pretrained(repo)
    images = [image.convert("RGB") for image in data["test"]["image"]]
    pixels = AutoImageProcessor.from_pretrained(repo)(images, return_tensors="pt").pixel_values
    tokens = model.generate(pixel_values=pixels, max_new_tokens=longest)
    return AutoTokenizer.from_pretrained(repo).batch_decode(tokens, skip_special_tokens=True)

states = sorted((output / "states").iterdir(), key=lambda path: int(path.name.split("-")[1]))
before = (output / "model.safetensors").read_bytes()
shutil.rmtree(states[-1])
run(*ARGUMENTS, "--resume")
norms = {
    parts: run(STEADY, DATASET, f"steady-{parts}", *SHORT, "--epochs=1", "--accumulate", parts)[
        "trainer"
    ].state.log_history[0]["grad_norm"]
    for parts in ("1", "4")
}
try:
    run(ENCODER, DATASET, "other")
except SystemExit as exit_:
    refused = exit_.code
print("CHECKED", json.dumps({
    "refused": refused,
    "resumed": (output / "model.safetensors").read_bytes() == before,
    "history": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    "labels": read_labels(["a handwritten one"]),
    "batch": collate([data["test"][0], data["test"][1]])["labels"].tolist(),
    "norms": norms,
    "texts": {repo: texts_of(repo) for repo in REPOS},
}))
"""


@pytest.fixture(scope="module")
def flax_printed(recipe_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the notebook for Flax prints, which publishes a checkpoint."""
    arguments = [BASE, DIGITS, "captioner", *SHORT, "--bf16", "--accumulate=2", f"--push={FLAX}"]
    folder = tmp_path_factory.mktemp("flax")
    return run_notebook("finetune_flax", Path(sys.executable), arguments, recipe_hub, folder)


@pytest.fixture(scope="module")
def checked(
    recipe_hub: LocalHub, flax_printed: str, steady: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return what PyTorch finds after its notebook has trained and published a checkpoint."""
    arguments = [BASE, DIGITS, "captioner", *SHORT]
    names = {
        "PROGRAM": str(PROGRAMS / "finetune_pytorch.py"),
        "ARGUMENTS": arguments,
        "SHORT": SHORT,
        "STEADY": str(steady),
        "ENCODER": str(steady.parent / "vit"),
        "DATASET": DIGITS,
        "REPOS": [FLAX, PYTORCH],
    }
    printed = run_notebook(
        "finetune_pytorch",
        python("transformers5"),
        [*arguments, f"--push={PYTORCH}"],
        recipe_hub,
        tmp_path_factory.mktemp("pytorch"),
        ["\n".join(f"{name} = {value!r}" for name, value in names.items()), CHECKS],
    )
    (line,) = re.findall("^CHECKED (.*)$", printed, re.MULTILINE)
    found: dict[str, Any] = json.loads(line)
    return found


def test_flax_notebook_trains(flax_printed: str) -> None:
    losses = [float(loss) for loss in re.findall(r"^epoch \d+: loss ([\d.]+)", flax_printed, re.M)]
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)


def test_pytorch_notebook_trains_and_resumes(checked: dict[str, Any]) -> None:
    assert len(checked["history"]) == 3
    assert checked["history"] == sorted(checked["history"], reverse=True)
    assert checked["resumed"]


def test_pytorch_recipe_accumulates_mean_gradients(checked: dict[str, Any]) -> None:
    assert checked["norms"]["4"] == pytest.approx(checked["norms"]["1"], rel=0.05)


def test_pytorch_recipe_refuses_an_encoder_alone(checked: dict[str, Any]) -> None:
    assert re.search("/vit .*: .* vit,", checked["refused"])


@pytest.mark.parametrize("repo", [FLAX, PYTORCH])
def test_recipes_publish_for_both_runtimes(
    repo: str, checked: dict[str, Any], recipe_hub: LocalHub, digits: Path, tmp_path: Path
) -> None:
    api = client(recipe_hub)
    directory = Path(api.snapshot_download(repo, cache_dir=tmp_path))
    model = FlaxVisionEncoderDecoderModel.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    image_processor = AutoImageProcessor.from_pretrained(directory)
    paths = sorted((digits / "test").glob("*.png"))[: FEW["test"]]
    images = [Image.open(path).convert("RGB") for path in paths]
    pixels = image_processor(images, return_tensors="np").pixel_values
    tokens = model.generate(pixels, max_new_tokens=13).sequences
    texts = tokenizer.batch_decode(np.asarray(tokens).tolist(), skip_special_tokens=True)
    assert texts == checked["texts"][repo]

    card = ModelCard.load(directory / "README.md").data.to_dict()
    assert (card["base_model"], card["license"]) == (BASE, "apache-2.0")
    assert card["datasets"] == [DIGITS]
    assert {"model.safetensors", "tokenizer.json", "preprocessor_config.json"} <= {
        path.name for path in directory.iterdir()
    }
    assert not list(directory.glob("state*"))
    settings = json.loads((directory / "tokenizer_config.json").read_text("utf-8"))
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"  # which 4.57 has


# Labels


@pytest.mark.parametrize("program", ["finetune_flax", "finetune_pytorch"])
@pytest.mark.parametrize("family", ["gpt2", "bert", "roberta", "bart"])
def test_recipes_labels_end_once_and_do_not_start(
    family: str, program: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    directory = tmp_path / "checkpoint"
    assemble_pair(sources["vit"], sources[family], directory)
    config = json.loads((directory / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(directory)
    start, end = config["decoder_start_token_id"], tokenizer.eos_token_id
    names: dict[str, Any] = {
        "args": SimpleNamespace(max_tokens=8),
        "model": SimpleNamespace(config=SimpleNamespace(decoder_start_token_id=start)),
        "tokenizer": tokenizer,
    }
    exec(function_of("read_labels", program), names)

    rows = names["read_labels"](["a red bus", "", "one two three four five six seven eight"])

    plain = tokenizer("a red bus", add_special_tokens=False).input_ids
    begin = [tokenizer.bos_token_id] if family == "bart" else []  # BART writes it after its start
    assert rows[0] == [*begin, *plain, end]
    assert rows[1] == [*begin, end]
    assert len(rows[2]) == 8
    assert rows[2].index(end) == 7
    assert start == end or start not in rows[2]

    names["args"].max_tokens = 10_000  # more than the positions of the decoder
    (longest,) = names["read_labels"](["red " * 1000])
    assert len(longest) == tokenizer.model_max_length - 1


@pytest.mark.parametrize(
    "name",
    [
        "check_arguments",
        "check_examples",
        "check_state",
        "load_splits",
        "measure",
        "read_labels",
        "read_tokens",
        "save_tokenizer",
        "stop",
        "write_card",
    ],
)
def test_recipes_share_code(name: str) -> None:
    assert function_of(name, "finetune_flax") == function_of(name, "finetune_pytorch")


# Wrong input. The functions that check it are the same in both programs.


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epochs", "0"),
        ("--patience", "0"),
        ("--batch-size", "0"),
        ("--accumulate", "0"),
        ("--accumulate", "5"),
        ("--max-tokens", "1"),
        ("--seed", "-1"),
        ("--learning-rate", "-1"),
        ("--learning-rate", "nan"),
    ],
)
def test_recipes_refuse_numbers_that_train_nothing(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run_program("finetune_flax", [BASE, DIGITS, str(tmp_path / "new"), option, value])
    assert exit_.value.code == 2
    assert f"error: {option}" in capsys.readouterr().err.replace("--batch-size is not", option)
    assert not (tmp_path / "new").exists()


def test_recipe_refuses_an_encoder_alone(steady: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"/vit .*: .* vit,"):
        run_program("finetune_flax", [str(steady.parent / "vit"), DIGITS, str(tmp_path / "new")])


def test_recipes_refuse_the_state_of_another_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = {"output": str(tmp_path), "dataset": "digits", "epochs": 3, "push": None}
    names: dict[str, Any] = {"json": json, "output": tmp_path, "parser": ArgumentParser()}
    exec(function_of("check_state", "finetune_flax"), names)

    def check(exists: bool, **changes: Any) -> str:
        names["args"] = SimpleNamespace(**{**args, "resume": True, **changes})
        try:
            names["check_state"](exists)
        except SystemExit:
            return capsys.readouterr().err.rpartition("error: ")[2]
        return ""

    assert "has no state" in check(True)  # of another program
    assert not check(False, resume=False)
    assert not check(False, resume=False, dataset="lines")  # nothing was trained
    assert not check(True, dataset="lines", epochs=9, push="me/reader")
    assert "dataset lines, not digits" in check(True)
    assert "has no state" in check(False)
    assert "--resume" in check(True, resume=False)


PICTURE = ({"file_name": "1.png", "text": "one"}, {"file_name": "2.png", "text": "two"})
WRONG_DATASETS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "no text": ([*PICTURE, {"file_name": "3.png"}], "train, image 3, .*3.png: .* None"),
    "empty text": ([*PICTURE, {"file_name": "3.png", "text": " "}], "image 3, .*3.png: .* ' '"),
    "number": ([{"file_name": "3.png", "text": 3}], "image 1, .*3.png: .* 3;"),
    "no texts": ([{"file_name": "3.png"}], "train: no column text"),
    "missing image": ([*PICTURE, {"file_name": "4.png", "text": "four"}], "image 3, .*4.png: "),
    "truncated image": (
        [*PICTURE, {"file_name": "cut.png", "text": "cut"}],
        "image 3, .*cut.png: ",
    ),
    "no image": ([*PICTURE, {"file_name": "text.png", "text": "a"}], "image 3, .*text.png: "),
    "one image": ([PICTURE[0]], "few images"),
    "two images": ([*PICTURE], "few images.* validation"),
    "no dataset": ([], "cannot be read: .*wrong"),
}


@pytest.mark.parametrize("wrong", WRONG_DATASETS)
def test_recipes_name_what_is_wrong_in_a_dataset(wrong: str, tmp_path: Path) -> None:
    lines, message = WRONG_DATASETS[wrong]
    folder = tmp_path / "wrong" / "train"
    folder.mkdir(parents=True)
    if lines:
        for name in ("1.png", "2.png", "3.png"):
            Image.new("L", (8, 8)).save(folder / name)
        (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:45])
        (folder / "text.png").write_text("a picture")
        text = "\n".join(json.dumps(line) for line in lines)
        (folder / "metadata.jsonl").write_text(text)
    import datasets  # takes long, and other tests do without

    names: dict[str, Any] = {**vars(datasets), "args": SimpleNamespace(text_column="text")}
    names |= {"shorten": shorten, "sys": sys, "NoReturn": None}
    for function in ("stop", "check_examples", "load_splits"):
        exec(function_of(function, "finetune_flax"), names)
    with pytest.raises(SystemExit, match=message):
        names["load_splits"](str(folder.parent))


# The promises of the documentation


@pytest.mark.skipif(not ALL_FAULTS, reason="takes ten minutes; see VED_ALL_FAULTS")
def test_fine_tuning_page_reaches_scores(tmp_path: Path) -> None:
    (tmp_path / "ved").symlink_to(ROOT)
    (tmp_path / "torch-env").symlink_to(python("transformers5").parents[1])
    folder = tmp_path / "captioner"
    folder.mkdir()
    commands = [
        block
        for block in blocks(ROOT / "docs/fine-tuning.md")
        if block.language == "bash" and "pip install" not in block.content
    ]
    with LocalHub(xet=True) as hub:
        hub.add_user("me", token=TOKEN)
        samples.publish(hub)
        encoder, decoder = "google/vit-base-patch16-224-in21k", "openai-community/gpt2"
        build_pair(hub, pair("me/vit-gpt2", encoder=encoder, decoder=decoder))
        variables = environment(tmp_path / "home", ROOT, Path(sys.executable))
        variables |= {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, **ONE_THREAD}
        printed = run(script(commands), folder, variables)
    scores = re.findall(r"^test: ([\d.]+)% exact texts", printed, re.MULTILINE)
    flax_digits, pytorch_digits, lines = map(float, scores)
    assert min(flax_digits, pytorch_digits, lines) >= 90


def test_lines_dataset_holds_texts_out() -> None:
    splits = runpy.run_path(str(PROGRAMS / "make_dataset.py"))["make_lines"]()
    texts = {split: {text for _, text in examples} for split, examples in splits.items()}
    assert not texts["test"] & (texts["train"] | texts["validation"])
    assert not texts["validation"] & texts["train"]
    assert set("".join(texts["test"])) <= set("".join(texts["train"]))


def test_sources_of_the_line_reader_are_a_pair_for_lines(tmp_path: Path) -> None:
    import jax

    run_program("make_sources", [str(tmp_path)])
    assemble_pair(tmp_path / "dinov2", tmp_path / "gpt2", tmp_path / "reader")
    model = FlaxVisionEncoderDecoderModel.from_pretrained(tmp_path / "reader")
    output = jax.eval_shape(model.encode, np.zeros((1, 3, 16, 48), np.float32))
    assert output.last_hidden_state.shape == (1, 1 + 2 * 6, 64)
