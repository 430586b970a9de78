"""The test checkpoints: transformers loads them, and each option has its effect."""

import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import pytest
from flax.serialization import msgpack_restore
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from tests import checkpoints
from tests.support import reference
from tests.support.building import assert_same_parameters
from ved.families import table
from ved.localhub.samples.encoders import relative_position_index

FAMILIES: dict[str, Callable[..., Path]] = {**checkpoints.ENCODERS, **checkpoints.DECODERS}
KNOWN = {**table.ENCODERS, **table.DECODERS}
TEXT = "a woman doesn't ride 2 horses."

# The image processor of a DINOv3 needs torch.
WITH_OWN_PROCESSOR = [name for name in checkpoints.ENCODERS if name != "dinov3_vit"]
ALL_FAMILIES: dict[str, Callable[..., Path]] = {
    **FAMILIES,
    **checkpoints.TWIN_ENCODERS,
    **{f"twin {name}": write for name, write in checkpoints.TWIN_DECODERS.items()},
}
# The files of the others are edited: they name classes that need torch, or another class.
SETTINGS_OF_TRANSFORMERS = [
    name for name in ALL_FAMILIES if name not in ("dinov3_vit", "chinese_clip_vision_model")
]
OTHER_OPTIONS: dict[str, dict[str, Any]] = {
    "vit": {"config": {"num_labels": 3, "image_size": 32}, "dtype": "float16"},
    "gpt2": {"config": {"pad_token_id": 5, "n_embd": 48}, "extra_tokens": 2},
    "bart": {"config": {"num_labels": 2, "encoder_layers": 1}, "hidden_size": 48},
    "swin": {"config": {"depths": [1, 2, 1]}, "hidden_size": 64},
}
# The tensors of each default checkpoint that the Flax class does not use, as regular expressions.
UNEXPECTED = {
    "vit": [],
    "beit": [r"encoder\.layer\.\d\..*\.relative_position_index", r"classifier\.(kernel|bias)"],
    "dinov2": [],
    "gpt2": [r"h\.\d\.attn\.bias"],
    "bert": [
        r"bert\.embeddings\.position_ids",
        r"bert\.pooler\.dense\.(kernel|bias)",
        r"cls\.seq_relationship\.(kernel|bias)",
    ],
    "roberta": [r"roberta\.embeddings\.position_ids"],
    "xlm-roberta": [
        r"roberta\.embeddings\.position_ids",
        r"roberta\.pooler\.dense\.(kernel|bias)",
    ],
    "roberta-prelayernorm": [r"roberta_prelayernorm\.embeddings\.position_ids"],
    "bart": [r"model\.shared\.kernel", r"model\.encoder\..*", r"final_logits_bias"],
}
MISSING = {"bart": [r"model\.decoder\.embed_tokens\.embedding"]}

# A tensor of the head of each family whose sample has one, or can have one.
HEADS = {
    **dict.fromkeys(("vit", "ijepa", "beit", "dinov2"), "classifier.weight"),
    **dict.fromkeys(("dinov2_with_registers", "swin", "swinv2"), "classifier.weight"),
    "donut-swin": "classifier.weight",
    "clip_vision_model": "visual_projection.weight",
    "deit": "distillation_classifier.weight",
    "bert": "cls.seq_relationship.weight",
    **dict.fromkeys(("roberta", "xlm-roberta", "roberta-prelayernorm"), "lm_head.dense.weight"),
    **dict.fromkeys(("bart", "mbart", "pegasus"), "final_logits_bias"),
    "electra": "generator_predictions.dense.weight",
    "bert-generation": "lm_head.bias",
}


def tensors_in(path: Path, framework: str = "numpy") -> dict[str, NDArray[Any]]:
    """Return the tensors of a file. Only "flax" reads bfloat16, and it reads int64 as int32."""
    with safe_open(path, framework) as file:
        assert file.metadata() == {"format": "pt"}
        return {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118


def tensors_of(directory: Path) -> dict[str, NDArray[Any]]:
    return tensors_in(directory / "model.safetensors")


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def in_flax(tmp_path_factory: pytest.TempPathFactory) -> reference.Answers:
    """Have transformers 4.57.6 load a checkpoint of each family, and one in each other layout."""
    folder = tmp_path_factory.mktemp("flax")
    directories = {name: FAMILIES[name](folder / name) for name in checkpoints.WITH_FLAX_CLASS}
    directories["gpt2 flax"] = checkpoints.gpt2(folder / "gpt2-flax", layout="flax")
    directories["beit flax"] = checkpoints.beit(
        folder / "beit-flax", layout="flax", dtype="bfloat16"
    )
    tasks = {
        name: {
            "task": "load_part",
            "directory": str(directory),
            "role": "encoder" if name.split()[0] in checkpoints.ENCODERS else "decoder",
        }
        for name, directory in directories.items()
    }
    for name in SETTINGS_OF_TRANSFORMERS:
        directory = ALL_FAMILIES[name](folder / f"{name}-settings", **OTHER_OPTIONS.get(name, {}))
        tasks[f"{name} settings"] = {"task": "rewrite", "directory": str(directory)}
    return reference.ask(tasks, folder, optimize=False)


def assert_matched_by(patterns: list[str], names: set[str]) -> None:
    """Check that each name is matched by a pattern and each pattern matches a name."""
    used = {pattern for name in names for pattern in patterns if re.fullmatch(pattern, name)}
    assert used == set(patterns)
    assert not {name for name in names if not any(re.fullmatch(p, name) for p in patterns)}


@pytest.mark.slow
@pytest.mark.parametrize("family", checkpoints.WITH_FLAX_CLASS)
def test_weights_load_in_the_flax_class(family: str, in_flax: reference.Answers) -> None:
    report = in_flax.reports[family]
    assert report["model_type"] == family
    assert_matched_by(UNEXPECTED[family], {*report["unexpected"]})
    assert_matched_by(MISSING.get(family, []), {*report["missing"]})


@pytest.mark.slow
@pytest.mark.parametrize("family", SETTINGS_OF_TRANSFORMERS)
def test_settings_are_as_transformers_writes_them(family: str, in_flax: reference.Answers) -> None:
    assert in_flax.reports[f"{family} settings"] == []


WRITE_ALL = """
import sys
from pathlib import Path
from tests import checkpoints
for family, write in {**checkpoints.ENCODERS, **checkpoints.DECODERS}.items():
    write(Path(sys.argv[1], family), seed=7)
checkpoints.gpt2(Path(sys.argv[1], "flax"), seed=7, layout="flax")
"""


@pytest.mark.slow
def test_files_are_the_same_in_another_process(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", WRITE_ALL, str(tmp_path / "other")],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        check=True,
    )
    for family, write in FAMILIES.items():
        expected = files_of(write(tmp_path / "this" / family, seed=7))
        assert files_of(tmp_path / "other" / family) == expected, family
    expected = files_of(checkpoints.gpt2(tmp_path / "this" / "flax", seed=7, layout="flax"))
    assert files_of(tmp_path / "other" / "flax") == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_seed_changes_only_the_weights(family: str, tmp_path: Path) -> None:
    one = files_of(FAMILIES[family](tmp_path / "one", seed=1))
    two = files_of(FAMILIES[family](tmp_path / "two", seed=2))
    assert {name for name in one | two if one[name] != two[name]} == {"model.safetensors"}


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_neither_zero_nor_one(family: str, tmp_path: Path) -> None:
    tensors = tensors_of(FAMILIES[family](tmp_path, without=("h.0.attn.bias", "h.1.attn.bias")))
    for name, tensor in tensors.items():
        if tensor.dtype == np.float32 and not name.endswith("relative_coords_table"):
            assert not np.isin(tensor, [0, 1]).any(), name


@pytest.mark.parametrize(
    ("family", "model_size", "processor_size"),
    [
        *(("vit", 16, 16), ("beit", 16, 16), ("dinov2", 32, 16)),
        *(("clip_vision_model", 16, 16), ("siglip_vision_model", 16, 16)),
        *(("swin", 16, 16), ("swinv2", 16, 16)),
        *(("deit", 16, 16), ("dinov2_with_registers", 32, 16)),
    ],
)
def test_image_processor_loads(
    family: str, model_size: int, processor_size: int, tmp_path: Path
) -> None:
    FAMILIES[family](tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    images = processor(Image.new("RGB", (40, 30)), return_tensors="np").pixel_values
    assert images.shape == (1, 3, processor_size, processor_size)
    assert AutoConfig.from_pretrained(tmp_path).image_size == model_size


@pytest.mark.parametrize("family", WITH_OWN_PROCESSOR)
def test_processor_size_differs_from_the_config(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path, processor_size=24, config={"image_size": 48})
    processor = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    images = processor(Image.new("RGB", (40, 30)), return_tensors="np").pixel_values
    assert images.shape[-2:] == (24, 24)
    assert AutoConfig.from_pretrained(tmp_path).image_size == 48


@pytest.mark.parametrize("form", ["fast", "slow"])
@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_tokenizer_decodes_what_it_encodes(family: str, form: str, tmp_path: Path) -> None:
    if (family, form) == ("xglm", "slow"):
        pytest.skip("transformers 5 drops all words of XGLM's sentencepiece model")
    FAMILIES[family](tmp_path, tokenizer=form)
    assert (tmp_path / "tokenizer.json").exists() == (form == "fast")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(TEXT).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == TEXT
    assert tokenizer.unk_token_id not in ids
    assert len(tokenizer) == AutoConfig.from_pretrained(tmp_path).vocab_size


@pytest.mark.parametrize(
    "family", ["roberta", "xlm-roberta", "roberta-prelayernorm", "bart", "mbart", "trocr"]
)
def test_tokenizer_of_fairseq_has_its_special_ids(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert tokenizer.convert_tokens_to_ids(special) == [0, 1, 2, 3, len(tokenizer) - 1]


def test_tokenizer_of_gpt2_has_one_special_token(tmp_path: Path) -> None:
    checkpoints.gpt2(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.all_special_tokens == ["<|endoftext|>"]
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    assert tokenizer.pad_token_id is None
    config = AutoConfig.from_pretrained(tmp_path)
    assert (config.bos_token_id, config.eos_token_id) == (tokenizer.eos_token_id,) * 2


@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_tokenizer_of_transformers_5_has_only_its_json(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path, tokenizer="transformers5")
    assert {name for name in files_of(tmp_path) if re.search("token|vocab|merges|piece", name)} == {
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "TokenizersBackend"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer.decode(tokenizer(TEXT).input_ids, skip_special_tokens=True) == TEXT


@pytest.mark.parametrize("form", ["fast", "slow"])
@pytest.mark.parametrize("family", checkpoints.DECODERS)
def test_extra_tokens_have_no_embedding(family: str, form: str, tmp_path: Path) -> None:
    if family in ("pegasus", "xglm") and form == "slow":
        pytest.skip("without tokenizer.json, the classes of some releases forget added tokens")
    FAMILIES[family](tmp_path, tokenizer=form, extra_tokens=3)
    rows = AutoConfig.from_pretrained(tmp_path).vocab_size
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == rows + 3
    assert rows in {tensor.shape[0] for tensor in tensors_of(tmp_path).values() if tensor.ndim == 2}


@pytest.mark.parametrize("family", FAMILIES)
def test_prefix_is_before_the_names_of_the_base_model(family: str, tmp_path: Path) -> None:
    prefix, head = f"{KNOWN[family].prefix}.", HEADS.get(family)
    bare = tensors_of(FAMILIES[family](tmp_path / "bare", prefix=False))
    whole = tensors_of(FAMILIES[family](tmp_path / "whole", prefix=True))
    base = {name.removeprefix(prefix) for name in whole if name.startswith(prefix)}
    poolers = {name for name in bare if name.startswith("pooler.")} if family == "vit" else set()
    masked_biases = {name for name in base if name.endswith("masked_bias")}
    assert base - masked_biases == bare.keys() - poolers
    heads = {name for name in whole if not name.startswith(prefix)}
    assert (head in heads) if head else not heads


def test_prefix_of_gpt2_adds_old_buffers(tmp_path: Path) -> None:
    tensors = tensors_of(checkpoints.gpt2(tmp_path, prefix=True))
    assert tensors["transformer.h.1.attn.bias"].dtype == np.uint8
    assert tensors["transformer.h.1.attn.masked_bias"] == np.float32(-1e4)


def test_dtype_keeps_position_ids_as_integers(tmp_path: Path) -> None:
    tensors = tensors_of(checkpoints.roberta(tmp_path, dtype="float16"))
    ids = tensors.pop("roberta.embeddings.position_ids")
    assert ids.dtype == np.int64
    assert ids.tolist() == [list(range(66))]
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float16)}


def test_relative_position_index_equals_that_of_flax() -> None:
    expected = [  # relative_position_index_init((2, 2)) of transformers 4.57.6
        [11, 9, 9, 9, 9],
        [10, 4, 3, 1, 0],
        [10, 5, 4, 2, 1],
        [10, 7, 6, 4, 3],
        [10, 8, 7, 5, 4],
    ]
    np.testing.assert_array_equal(relative_position_index(2), expected)


@pytest.mark.parametrize(
    ("family", "embedding", "others"),
    [
        ("gpt2", "transformer.wte.weight", ["lm_head.weight"]),
        ("bert", "bert.embeddings.word_embeddings.weight", ["cls.predictions.decoder.weight"]),
        ("roberta", "roberta.embeddings.word_embeddings.weight", ["lm_head.decoder.weight"]),
        (
            "bart",
            "model.shared.weight",
            [
                "model.encoder.embed_tokens.weight",
                "model.decoder.embed_tokens.weight",
                "lm_head.weight",
            ],
        ),
    ],
)
def test_tied_selects_the_names_of_embeddings(
    family: str, embedding: str, others: list[str], tmp_path: Path
) -> None:
    written = {
        tied: tensors_of(FAMILIES[family](tmp_path / tied, tied=tied, prefix=True))
        for tied in ("embedding", "head", "both")
    }
    names = {embedding, *others}
    assert names & written["embedding"].keys() == {embedding}
    assert names & written["head"].keys() == {others[-1]}
    assert names <= written["both"].keys()
    for name in names:
        np.testing.assert_array_equal(written["both"][name], written["head"][others[-1]])


def test_tied_both_writes_the_bias_of_the_head_twice(tmp_path: Path) -> None:
    tensors = tensors_of(checkpoints.bert(tmp_path, tied="both"))
    np.testing.assert_array_equal(
        tensors["cls.predictions.bias"], tensors["cls.predictions.decoder.bias"]
    )


def test_rename_changes_old_layer_norms_of_bert(tmp_path: Path) -> None:
    old = tensors_of(checkpoints.bert(tmp_path / "old"))
    modern_names = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    new = tensors_of(checkpoints.bert(tmp_path / "new", rename=modern_names))
    assert "bert.encoder.layer.0.output.LayerNorm.gamma" in old
    assert not any(name.endswith("LayerNorm.weight") for name in old)
    np.testing.assert_array_equal(
        old["bert.encoder.layer.0.output.LayerNorm.gamma"],
        new["bert.encoder.layer.0.output.LayerNorm.weight"],
    )
    assert not any(name.endswith(("gamma", "beta")) for name in new)


def test_without_is_applied_before_rename(tmp_path: Path) -> None:
    all_names = tensors_of(checkpoints.vit(tmp_path / "all")).keys()
    names = tensors_of(
        checkpoints.vit(
            tmp_path / "some", without=("pooler.",), rename={"encoder.layer.": "blocks."}
        )
    ).keys()
    assert names == {
        name.replace("encoder.layer.", "blocks.")
        for name in all_names
        if not name.startswith("pooler.")
    }
    assert "blocks.0.output.dense.weight" in names


def test_layout_sharded_has_the_same_weights(tmp_path: Path) -> None:
    whole = tensors_of(checkpoints.gpt2(tmp_path / "whole"))
    directory = checkpoints.gpt2(tmp_path / "sharded", layout="sharded")
    index = json.loads((directory / "model.safetensors.index.json").read_text())
    shards = sorted(directory.glob("*.safetensors"))
    assert [shard.name for shard in shards] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    for shard in shards:
        tensors = tensors_in(shard)
        assert tensors
        for name, tensor in tensors.items():
            assert index["weight_map"].pop(name) == shard.name
            np.testing.assert_array_equal(tensor, whole.pop(name))
    assert not whole
    assert not index["weight_map"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype_rounds_the_same_weights(
    dtype: Literal["float16", "bfloat16"], tmp_path: Path
) -> None:
    single = tensors_of(checkpoints.dinov2(tmp_path / "single"))
    half = tensors_in(
        checkpoints.dinov2(tmp_path / "half", dtype=dtype) / "model.safetensors", framework="flax"
    )
    assert half.keys() == single.keys()
    for name, tensor in single.items():
        assert half[name].dtype == dtype
        np.testing.assert_array_equal(half[name], tensor.astype(half[name].dtype), name)
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == dtype


@pytest.mark.slow
def test_layout_flax_has_the_same_weights(in_flax: reference.Answers, tmp_path: Path) -> None:
    directory = checkpoints.gpt2(tmp_path, layout="flax")
    assert not list(directory.glob("*.safetensors"))
    stored = flatten_dict(msgpack_restore((directory / "flax_model.msgpack").read_bytes()))
    expected = in_flax.parameters("gpt2")
    assert list(stored) == sorted(expected)
    assert_same_parameters(stored, expected)
    assert_same_parameters(in_flax.parameters("gpt2 flax"), expected)


@pytest.mark.slow
def test_layout_flax_has_all_parameters(in_flax: reference.Answers) -> None:
    assert in_flax.reports["beit flax"] == {
        "model_type": "beit",
        "dtypes": ["bfloat16"],
        "unexpected": [],
        "missing": [],
    }


class StateDictUnpickler(pickle.Unpickler):
    """Reads a state dict like torch.load, with NumPy arrays as tensors."""

    _DTYPES = {  # noqa: RUF012
        "FloatStorage": np.float32,
        "HalfStorage": np.float16,
        "BFloat16Storage": ml_dtypes.bfloat16,
        "LongStorage": np.int64,
        "ByteStorage": np.uint8,
    }

    def __init__(self, archive: zipfile.ZipFile) -> None:
        super().__init__(archive.open("pytorch_model/data.pkl"))
        self._archive = archive

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch":
            return self._DTYPES[name]
        functions = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": self._rebuild,
        }
        return functions[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        kind, dtype, key, location, size = pid
        assert (kind, location) == ("storage", "cpu")
        storage = np.frombuffer(self._archive.read(f"pytorch_model/data/{key}"), dtype)
        assert storage.size == size
        return storage

    @staticmethod
    def _rebuild(
        storage: NDArray[Any],
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        requires_grad: bool,
        hooks: Any,
    ) -> NDArray[Any]:
        assert (requires_grad, hooks) == (False, {})
        byte_strides = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, byte_strides)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("family", ["gpt2", "bert", "beit"])
def test_layout_pickle_has_the_same_weights(family: str, dtype: str, tmp_path: Path) -> None:
    options = {"dtype": dtype, "prefix": True}
    expected = tensors_of(FAMILIES[family](tmp_path / "safetensors", **options))
    path = FAMILIES[family](tmp_path / "pickle", layout="pickle", **options) / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        state = StateDictUnpickler(archive).load()
    assert state._metadata == {"": {"version": 1}}
    assert state.keys() == expected.keys()
    for name, tensor in state.items():
        assert tensor.dtype == expected[name].dtype
        np.testing.assert_array_equal(tensor, expected[name], name)


def test_layout_pickle_keeps_bfloat16(tmp_path: Path) -> None:
    checkpoints.vit(tmp_path, layout="pickle", dtype="bfloat16")
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin") as archive:
        state = StateDictUnpickler(archive).load()
    assert {tensor.dtype for tensor in state.values()} == {np.dtype(ml_dtypes.bfloat16)}


def test_layout_pickle_shares_the_storage_of_tied_weights(tmp_path: Path) -> None:
    checkpoints.roberta(tmp_path, layout="pickle", tied="both")
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin") as archive:
        state = StateDictUnpickler(archive).load()
        storages = [name for name in archive.namelist() if "/data/" in name]
    assert len(storages) == len(state) - 2
    np.testing.assert_array_equal(state["lm_head.bias"], state["lm_head.decoder.bias"])


def test_layout_pickle_aligns_storages(tmp_path: Path) -> None:
    path = checkpoints.vit(tmp_path, layout="pickle") / "pytorch_model.bin"
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            header = content[entry.header_offset : entry.header_offset + 30]
            name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(
                header[28:30], "little"
            )
            start = entry.header_offset + 30 + name_and_extra
            assert start % 64 == 0
            assert content[start : start + entry.file_size] == archive.read(entry)


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_size_and_config_set_width_and_depth(family: str, tmp_path: Path) -> None:
    depth: dict[str, Any] = {"num_hidden_layers": 1, "depths": [1]}
    if family in ("bart", "mbart", "pegasus"):
        depth = {"decoder_layers": 1}
    FAMILIES[family](tmp_path, hidden_size=48, config=depth)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.hidden_size == 48
    names = tensors_of(tmp_path).keys()
    within = (
        {name for name in names if "decoder" in name}
        if family in ("bart", "mbart", "pegasus")
        else names
    )
    within = {name for name in within if "position_bias_mlp" not in name}  # not a layer
    assert {number for name in within for number in re.findall(r"\.(\d)\.", f".{name}")} == {"0"}


def test_config_replaces_values_of_the_family(tmp_path: Path) -> None:
    checkpoints.gpt2(tmp_path, config={"vocab_size": 400, "pad_token_id": 5000})
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["vocab_size"], config["pad_token_id"]) == (400, 5000)
    assert tensors_of(tmp_path)["wte.weight"].shape == (400, 32)


@pytest.mark.parametrize(
    ("license_asked", "front_matter"),
    [
        (None, ["language: en", "license: mit"]),
        ("openrail", ["language: en", "license: openrail"]),
        ("", ["language: en"]),
    ],
)
def test_license_is_in_the_readme(
    license_asked: str | None, front_matter: list[str], tmp_path: Path
) -> None:
    checkpoints.gpt2(tmp_path, license=license_asked)
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert lines[: len(front_matter) + 2] == ["---", *front_matter, "---"]


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_config_exists_for_gpt2_and_those_with_encoders(
    family: str, tmp_path: Path
) -> None:
    has_one = (FAMILIES[family](tmp_path) / "generation_config.json").exists()
    assert has_one == (family in {"gpt2", "bart", "mbart", "pegasus"})


@pytest.mark.parametrize("model_type", ["cvt", "clip", "llama", "t5"])
def test_config_only_writes_only_a_config(model_type: str, tmp_path: Path) -> None:
    checkpoints.config_only(tmp_path / "repo", model_type)
    assert files_of(tmp_path / "repo").keys() == {"config.json"}
    assert AutoConfig.from_pretrained(tmp_path / "repo").model_type == model_type
