"""Small sources that ask for much: each is refused early, and pairs beside it are planned."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from flax.serialization import msgpack_serialize

from examples.demo.runner import ENTRYPOINT, prepare_step, read_run
from tests import checkpoints
from tests.support.action import Action, actions_of
from tests.support.publishing import TOKEN, client, manifest, pair, publish
from ved.commands import RunOptions, plan
from ved.errors import ErrorCode
from ved.families.family import Role
from ved.localhub import LocalHub
from ved.planning.actions import Build, PlannedAction, Refuse

Change = Callable[[Path], object]

WIDE = {"hidden_size": 65_536, "num_attention_heads": 1024}


def configured(**settings: Any) -> Change:
    """Change settings of config.json."""

    def change(directory: Path) -> None:
        path = directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return change


def raw_config(before: str) -> Change:
    """Insert JSON before the first member of config.json."""

    def change(directory: Path) -> None:
        path = directory / "config.json"
        path.write_text(path.read_text().replace("{", "{" + before + ",", 1))

    return change


def with_header(
    header: Callable[[], Mapping[str, Any]] | Mapping[str, Any] | str, data: int = 0
) -> Change:
    """Replace the weights by others with this header, and zeros."""

    def change(directory: Path) -> None:
        entries = header() if callable(header) else header
        encoded = (entries if isinstance(entries, str) else json.dumps(entries)).encode()
        content = struct.pack("<Q", len(encoded)) + encoded + bytes(data)
        (directory / "model.safetensors").write_bytes(content)

    return change


def with_msgpack(tree: Callable[[], bytes] | Mapping[str, object] | bytes) -> Change:
    """Replace the weights by a msgpack."""

    def change(directory: Path) -> None:
        (directory / "model.safetensors").unlink()
        made = tree() if callable(tree) else tree
        content = made if isinstance(made, bytes) else msgpack_serialize(made)
        (directory / "flax_model.msgpack").write_bytes(content)

    return change


def with_file(name: str, size: int) -> Change:
    """Write a file of spaces, which take no disk."""

    def change(directory: Path) -> None:
        with (directory / name).open("wb") as file:
            file.truncate(size)

    return change


def both(*changes: Change) -> Change:
    def change(directory: Path) -> None:
        for each in changes:
            each(directory)

    return change


def entry(shape: object, begin: int = 0, end: int = 0) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


# Large contents are functions: whoever only collects the tests does not need them.


def empty() -> dict[str, Any]:
    return {f"h.{layer}.weight": entry([0]) for layer in range(15_000)}


def many_maps() -> bytes:
    entries = b"".join(b"\xa6%06d\x80" % each for each in range(10**6))
    return b"\xdf" + struct.pack(">I", 10**6) + entries


CONFIG, LARGE, DAMAGED = (
    ErrorCode.CONFIG_NOT_USABLE,
    ErrorCode.SOURCE_TOO_LARGE,
    ErrorCode.DAMAGED_SOURCE,
)

CASES: dict[str, tuple[Role, Change, ErrorCode]] = {
    # Labels
    "60,000,000 labels": ("encoder", configured(num_labels=60_000_000), CONFIG),
    "labels of a decoder": ("decoder", configured(num_labels=10**7), CONFIG),
    "a list of labels": ("encoder", configured(num_labels=[1]), CONFIG),
    "100,001 names of labels": (
        "encoder",
        configured(id2label=dict.fromkeys(map(str, range(100_001)), "")),
        CONFIG,
    ),
    "100,001 numbers of labels": (
        "encoder",
        configured(label2id={f"{each}": 0 for each in range(100_001)}),
        CONFIG,
    ),
    # Layers
    "20,000 layers of empty tensors": (
        "decoder",
        both(configured(n_layer=20_000), with_header(empty)),
        CONFIG,
    ),
    "120 layers of empty tensors": (
        "decoder",
        both(configured(n_layer=120), with_header(empty)),
        CONFIG,
    ),
    "120 layers of few tensors": ("decoder", configured(n_layer=120), CONFIG),
    "layers under another name": ("decoder", configured(num_hidden_layers=20_000), CONFIG),
    "2**62 layers": ("encoder", configured(num_hidden_layers=2**62), CONFIG),
    "-1 layers": ("encoder", configured(num_hidden_layers=-1), CONFIG),
    "a boolean of layers": ("decoder", configured(n_layer=True), CONFIG),
    "layers of a nested config": (
        "encoder",
        configured(backbone_config={"num_hidden_layers": 10**9}),
        CONFIG,
    ),
    "layers in a list": ("encoder", configured(parts=[{"num_hidden_layers": 10**9}]), CONFIG),
    # Widths
    "hidden_size 10**9": ("encoder", configured(hidden_size=10**9), CONFIG),
    "the widest model with small weights": ("encoder", configured(**WIDE), CONFIG),
    "n_embd 2**40": ("decoder", configured(n_embd=2**40), CONFIG),
    "a width with a fraction": ("encoder", configured(hidden_size=32.5), CONFIG),
    "a list of widths": ("encoder", configured(hidden_size=[32, 32]), CONFIG),
    "a width of text": ("encoder", configured(hidden_size="32"), CONFIG),
    "intermediate_size 10**10": ("encoder", configured(intermediate_size=10**10), CONFIG),
    "n_inner 10**10": ("decoder", configured(n_inner=10**10), CONFIG),
    "10**6 heads": ("decoder", configured(n_head=10**6), CONFIG),
    # Vocabulary and positions
    "vocab_size 10**10": ("decoder", configured(vocab_size=10**10), CONFIG),
    "vocab_size 2,000,000 with small weights": (
        "decoder",
        configured(vocab_size=2_000_000),
        CONFIG,
    ),
    "n_positions 10**12": ("decoder", configured(n_positions=10**12), CONFIG),
    "positions under another name": (
        "decoder",
        configured(max_position_embeddings=10**12),
        CONFIG,
    ),
    # Images
    "image_size 10**6": ("encoder", configured(image_size=10**6), CONFIG),
    "two sizes of 10**6": ("encoder", configured(image_size=[10**6, 10**6]), CONFIG),
    "patch_size 0": ("encoder", configured(patch_size=0), CONFIG),
    "patches of one pixel": ("encoder", configured(image_size=8192, patch_size=1), CONFIG),
    "patches larger than the image": ("encoder", configured(patch_size=1000), CONFIG),
    "10**9 channels": ("encoder", configured(num_channels=10**9), CONFIG),
    "mlp_ratio 10**12": ("encoder", configured(mlp_ratio=10**12), CONFIG),
    # JSON
    "NaN": ("encoder", raw_config('"layer_norm_eps": NaN'), DAMAGED),
    "Infinity": ("encoder", raw_config('"initializer_range": -Infinity'), DAMAGED),
    "a number above all floats": ("encoder", raw_config('"initializer_range": 1e999'), DAMAGED),
    "an integer of 5000 digits": ("encoder", raw_config(f'"seed": {"9" * 5000}'), DAMAGED),
    "an integer of 65 bits": ("encoder", raw_config(f'"seed": {2**64}'), DAMAGED),
    "one key twice": ("encoder", raw_config('"hidden_size": 1000000000'), DAMAGED),
    "nested lists": ("encoder", raw_config(f'"a": {"[" * 100}{"]" * 100}'), DAMAGED),
    "nested objects": ("decoder", raw_config(f'"a": {chr(123) + chr(34)}b": ' * 10**5), DAMAGED),
    "a long list": ("encoder", configured(out_indices=[0] * 10_001), CONFIG),
    # Sizes of files
    "config.json of 5 MB": ("encoder", with_file("config.json", 5 * 2**20), LARGE),
    "tokenizer.json of 2 GiB": ("decoder", with_file("tokenizer.json", 2**31), LARGE),
    "vocab.json of 2 GiB": ("decoder", with_file("vocab.json", 2**31), LARGE),
    "preprocessor_config.json of 2 MB": (
        "encoder",
        with_file("preprocessor_config.json", 2 * 2**20),
        LARGE,
    ),
    "a list of shards of 2 GiB": (
        "encoder",
        both(
            lambda directory: (directory / "model.safetensors").unlink(),
            with_file("model.safetensors.index.json", 2**31),
        ),
        LARGE,
    ),
    # Tensors
    "20,001 tensors": (
        "encoder",
        with_header(lambda: {str(number): entry([0]) for number in range(20_001)}),
        LARGE,
    ),
    "400,000 axes": ("encoder", with_header({"a": entry([1] * 400_000, 0, 4)}, 4), LARGE),
    "9 axes of a tensor without elements": (
        "encoder",
        with_header({"a": entry([0, *[2**60] * 8])}),
        LARGE,
    ),
    "an axis of 10**30": ("encoder", with_header({"a": entry([0, 10**30])}), DAMAGED),
    "a name of 5 MB": ("encoder", with_header({"a" * 5 * 10**6: entry([0])}), LARGE),
    "a name with an escape": ("encoder", with_header({"a\x1b]0;x\a": entry([0])}), LARGE),
    "a name with half a character": ("encoder", with_header({"\ud800": entry([0])}), DAMAGED),
    "one tensor twice": (
        "encoder",
        with_header(f'{{"a": {json.dumps(entry([0]))}, "a": {json.dumps(entry([0]))}}}'),
        DAMAGED,
    ),
    "overlapping tensors": (
        "encoder",
        with_header({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),
        DAMAGED,
    ),
    "a tensor outside of the file": (
        "encoder",
        with_header({"a": entry([2**40], 0, 2**42)}, 8),
        DAMAGED,
    ),
    "a header of 17 MiB": ("encoder", with_header(" " * 17 * 2**20), LARGE),
    # msgpack
    "400,000 axes in a msgpack": (
        "encoder",
        with_msgpack(
            b"\x81\xa1a\xc9"
            + struct.pack(">Ib", 400_013 + 4, 1)
            + b"\x93\xdd"
            + struct.pack(">I", 400_000)
            + b"\x01" * 400_000
            + b"\xa5uint8\xc4\x01\x00"
        ),
        LARGE,
    ),
    "maps of maps": ("encoder", with_msgpack(b"\x81\xa1a" * 100_000 + b"\x80"), DAMAGED),
    "a million empty maps": (
        "encoder",
        with_msgpack(many_maps),
        LARGE,
    ),
    "a key of 5 MB": ("encoder", with_msgpack({"a" * 5 * 10**6: {}}), LARGE),
    "one key twice in a msgpack": (
        "encoder",
        with_msgpack(b"\x82" + b"\xa1a\x80" * 2),
        DAMAGED,
    ),
}


@pytest.fixture
def action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action in folders of this test."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


@pytest.fixture(scope="module")
def planned(
    module_hub: LocalHub, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, PlannedAction]:
    """Plan a good pair and a pair for each case, and return what is planned, by case."""
    folder = tmp_path_factory.mktemp("bombs")
    entries = [pair("owner/good")]
    for number, (role, change, _) in enumerate(CASES.values()):
        directory = folder / str(number)
        (checkpoints.vit if role == "encoder" else checkpoints.gpt2)(directory)
        change(directory)
        entries.append(pair(f"owner/bomb-{number}", **{role: str(directory)}))
    actions = plan(manifest(*entries), RunOptions(), client(module_hub)).actions
    return dict(zip(["good", *CASES], actions, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_plan_refuses_bomb(name: str, planned: Mapping[str, PlannedAction]) -> None:
    role, _, code = CASES[name]
    action = planned[name]
    assert isinstance(action, Refuse)
    errors = [each for each in action.findings if each.level == "error"]
    assert [(each.key, each.code) for each in errors] == [(role, code)], errors
    assert len(errors[0].message) < 2000


def test_plan_accepts_pair_beside_bombs(planned: Mapping[str, PlannedAction]) -> None:
    assert isinstance(planned["good"], Build)


WORST = (
    "60,000,000 labels",
    "20,000 layers of empty tensors",
    "the widest model with small weights",
    "vocab_size 2,000,000 with small weights",
    "400,000 axes in a msgpack",
    "20,001 tensors",
)
MAX_BYTES, MAX_SECONDS = 2 * 10**9, 60

MEASURE = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)  # and of the processes that they waited for
print(json.dumps([used.ru_maxrss, used.ru_utime + used.ru_stime]))
"""
"""Run a command, and print its peak memory and its time. A process has at least the peak of the one
that started it, so this is a program of its own: the process of the tests is large."""


@pytest.mark.slow
def test_run_of_bombs_takes_little_memory_and_time(
    action: Action, hub: LocalHub, tmp_path: Path
) -> None:
    entries = [pair("owner/good")]
    for number, name in enumerate(WORST):
        role, change, _ = CASES[name]
        directory = tmp_path / str(number)
        (checkpoints.vit if role == "encoder" else checkpoints.gpt2)(directory)
        change(directory)
        publish(hub, f"team/bomb-{number}", directory)
        entries.append(pair(f"owner/bomb-{number}", **{role: f"team/bomb-{number}"}))
    home = action.folder / "home"
    for folder in (action.workspace, home):
        folder.mkdir(parents=True)
    action.write_manifest(entries)

    environ = prepare_step({**action.inputs, "mode": "plan"}, action.workspace, home)
    measured = subprocess.run(
        [sys.executable, "-I", "-c", MEASURE, sys.executable, ENTRYPOINT],
        cwd=action.workspace,
        env=environ,
        capture_output=True,
        check=True,
    )
    kilobytes, seconds = json.loads(measured.stdout)

    assert actions_of(read_run(0, "", home)) == ["build", *["refuse"] * len(WORST)]
    assert 10_000 < kilobytes < MAX_BYTES / 1024
    assert seconds < MAX_SECONDS
