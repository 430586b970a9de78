"""The build record: what it says of a checkpoint is so, and the same goes in and out."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import ved
from tests.publishing import (
    TOKEN,
    build_locally,
    build_pair,
    client,
    download,
    files_of,
    heads,
    pair,
    publish,
)
from ved.localhub import LocalHub, checkpoints


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record_of(directory: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((directory / "ved.json").read_bytes())
    return record


@pytest.fixture(scope="module")
def built(
    session_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Build team/vit with team/gpt2, in a directory whose name ought to stay out of the files."""
    entry = pair("owner/recorded", tags=["a"], license="mit", token_ids={"pad": 7}, seed=3)
    return build_locally(session_hub, entry, tmp_path_factory.mktemp("machine") / "built")


def test_the_pair_is_recorded_as_the_manifest_has_it(built: Path) -> None:
    record = record_of(built)
    assert record["format"] == 1
    assert record["seed"] == 3
    assert (
        record["pair"].items()
        >= {"repo": "owner/recorded", "license": "mit", "tags": ["a"]}.items()
    )
    assert record["pair"]["token_ids"] == {"pad": 7}
    assert record["pair"]["encoder"].items() >= {"model": "team/vit"}.items()


def test_sources_are_recorded_with_commits_and_digests(
    built: Path, hub: LocalHub, sources: dict[str, Path]
) -> None:
    recorded = record_of(built)["sources"]
    used = {
        "encoder": ("vit", {"config.json", "model.safetensors", "preprocessor_config.json"}),
        "decoder": (
            "gpt2",
            {
                *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
                *("vocab.json", "merges.txt", "special_tokens_map.json"),
            },
        ),
    }
    for role, (name, files) in used.items():
        identity = {"name": f"team/{name}", "commit": heads(hub)[f"team/{name}"]}
        digests = {file: digest((sources[name] / file).read_bytes()) for file in files}
        assert recorded[role] == {**identity, "config": identity, "files": digests}


def test_a_config_of_another_repo_is_recorded_as_such(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    other = checkpoints.vit(tmp_path / "other", config={"hidden_dropout_prob": 0.25})
    commit = publish(hub, "team/another-config", other)
    entry = pair(
        "owner/x", encoder={"model": "team/vit", "config": {"model": "team/another-config"}}
    )

    recorded = record_of(build_locally(hub, entry, tmp_path / "built"))["sources"]["encoder"]

    assert recorded["commit"] == heads(hub)["team/vit"]
    assert recorded["config"] == {"name": "team/another-config", "commit": commit}
    assert recorded["files"]["config.json"] == digest((other / "config.json").read_bytes())
    weights = (sources["vit"] / "model.safetensors").read_bytes()
    assert recorded["files"]["model.safetensors"] == digest(weights)


def test_shards_are_recorded_one_by_one(hub: LocalHub, tmp_path: Path) -> None:
    sharded = checkpoints.vit(tmp_path / "sharded", layout="sharded")
    entry = pair("owner/x", encoder=str(sharded))
    recorded = record_of(build_locally(hub, entry, tmp_path / "built"))["sources"]["encoder"]
    shards = {path.name: digest(path.read_bytes()) for path in sharded.glob("*.safetensors")}
    assert len(shards) == 2
    assert recorded["files"].items() >= shards.items()


def test_token_ids_are_recorded_with_their_origins(built: Path, tmp_path: Path) -> None:
    vocabulary = json.loads((built / "vocab.json").read_bytes())
    (token,) = [token for token, number in vocabulary.items() if number == 7]
    assert record_of(built)["token_ids"] == {
        "decoder_start": {
            "id": 384,
            "token": "<|endoftext|>",
            "origin": "bos_token_id of the decoder's config",
        },
        "pad": {"id": 7, "token": token, "origin": "the manifest"},
        "eos": {
            "id": 384,
            "token": "<|endoftext|>",
            "origin": "eos_token_id of the decoder's config",
        },
    }


def test_versions_are_those_that_are_installed(built: Path) -> None:
    versions = record_of(built)["versions"]
    assert versions.pop("ved") == ved.__version__
    assert {"jax", "flax", "transformers"} <= versions.keys()
    assert versions == {name: version(name) for name in versions}


def test_the_ledger_accounts_for_every_tensor_of_the_sources(built: Path) -> None:
    ledger = record_of(built)["ledger"]
    assert ledger.keys() == {"encoder", "decoder"}
    assert ledger["decoder"]["left_out"] == {
        "h.0.attn.bias": "a buffer, computed anew",
        "h.1.attn.bias": "a buffer, computed anew",
    }
    assert set(ledger["decoder"]["fresh"].values()) == {"cross-attention"}
    assert ledger["encoder"]["fresh"] == {}
    assert ledger["encoder"]["copied"]["layernorm/scale"] == {
        "file": "model.safetensors",
        "tensor": "layernorm.weight",
    }


def test_every_published_file_is_recorded_with_its_digest_and_size(
    hub: LocalHub, tmp_path: Path
) -> None:
    result = build_pair(hub, pair("owner/digests", decoder="team/roberta"))
    served = download(hub, "owner/digests", tmp_path)
    recorded = json.loads(served.pop("ved.json"))["files"]
    del served[".gitattributes"]
    assert recorded == {
        name: {"size": len(content), "sha256": digest(content)} for name, content in served.items()
    }
    info = client(hub).model_info("owner/digests", revision=result.commit, files_metadata=True)
    large = {file.rfilename: file.lfs for file in info.siblings or () if file.lfs}
    assert "flax_model.msgpack" in large
    for name, lfs in large.items():
        assert recorded[name] == {"size": lfs.size, "sha256": lfs.sha256}


def test_nothing_of_this_machine_is_in_any_file(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    shutil.copytree(sources["gpt2"], folder / "decoder")

    result = build_pair(hub, pair("owner/of-no-machine", decoder="./decoder"), folder=folder)

    assert result.reason == ""
    served = b"".join(download(hub, "owner/of-no-machine", tmp_path).values())
    assert b"./decoder" in served
    traces = (TOKEN, str(tmp_path), str(Path.cwd()), constants.HF_HOME)
    assert [trace for trace in traces if trace.encode() in served] == []


def test_the_same_manifest_gives_the_same_bytes_on_another_machine(
    hub: LocalHub, built: Path, tmp_path: Path
) -> None:
    """Another machine: a new process, cache, folder, user, time and order of sets."""
    recorded = record_of(built)["pair"]
    (tmp_path / "pairs.yaml").write_text(json.dumps({"pairs": [recorded]}))
    environment = {
        "PATH": os.environ["PATH"],
        "HF_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "PYTHONHASHSEED": "1",
        "TZ": "Asia/Tokyo",
    }
    command: list[str | Path] = [sys.executable, "-m", "ved", "build", tmp_path / "pairs.yaml"]
    options: list[str | Path] = ["--no-push", "--output-dir", tmp_path / "built"]
    subprocess.run(
        [*command, *options, "--endpoint", hub.endpoint],
        env=environment,
        check=True,
        cwd=Path(ved.__file__).parents[1],
    )
    assert files_of(tmp_path / "built" / "owner" / "recorded") == files_of(built)
