"""ved.sources.source: what resolving a source downloads, and what fetching it does."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests import checkpoints
from tests.support.building import assemble_sources
from tests.support.publishing import TOKEN, asked_for, client, files_of, publish
from ved.families.family import Role
from ved.localhub import LocalHub
from ved.manifest.pair_models import ConfigRef, SourceRef
from ved.sources.source import ResolvedSource, resolve_source

SMALL_FILES = {
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
}


def resolved(hub: LocalHub, role: Role, model: str, **keys: Any) -> ResolvedSource:
    return resolve_source(role, SourceRef(model=model, **keys), client(hub))


def test_resolve_reads_config_of_other_repo_at_its_revision(hub: LocalHub, tmp_path: Path) -> None:
    config = {"dropout": 0.5}
    other = publish(
        hub, "team/config-of-vit", checkpoints.config_only(tmp_path / "a", "vit", **config)
    )
    client(hub).upload_folder(
        repo_id="team/config-of-vit", folder_path=checkpoints.config_only(tmp_path / "b", "gpt2")
    )

    source = resolved(
        hub, "encoder", "team/vit", config=ConfigRef(model="team/config-of-vit", revision=other)
    )
    fetched = source.fetch(client(hub))

    assert (source.config_snapshot.name, source.config_snapshot.commit) == (
        "team/config-of-vit",
        other,
    )
    assert json.loads(fetched.config_path.read_bytes())["dropout"] == 0.5
    assert fetched.digests()["config.json"] == digest(tmp_path / "a" / "config.json")
    assert "config.json" not in asked_for(hub, "team/vit")


# Downloads


def test_fetch_downloads_only_used_files(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.gpt2(tmp_path / "gpt2")
    others = (
        *("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot"),
        *("training_args.bin", "modeling_custom.py", "optimizer.pt", "preprocessor_config.json"),
    )
    for name in others:
        (directory / name).write_bytes(b"not used")
    (directory / "onnx").mkdir()
    (directory / "onnx" / "model.safetensors").write_bytes(b"not used")
    publish(hub, "team/everything", directory)

    resolved(hub, "decoder", "team/everything").fetch(client(hub))

    assert asked_for(hub, "team/everything") == {
        "config.json",
        "model.safetensors",
        *SMALL_FILES,
    }


def test_resolve_downloads_only_config(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/untouched", checkpoints.vit(tmp_path / "vit"))
    resolved(hub, "encoder", "team/untouched")
    assert asked_for(hub, "team/untouched") == {"config.json"}


def test_fetch_downloads_shards_of_index(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit", layout="sharded")
    (directory / "model-00003-of-00002.safetensors").write_bytes(b"of an older upload")
    publish(hub, "team/sharded", directory)

    source = resolved(hub, "encoder", "team/sharded")
    source.fetch(client(hub))

    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert source.weights == shards
    assert asked_for(hub, "team/sharded") == {
        *("config.json", "preprocessor_config.json", "model.safetensors.index.json"),
        *shards,
    }


def test_fetch_downloads_pickle_if_allowed(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/allowed", checkpoints.vit(tmp_path / "vit", layout="pickle"))
    source = resolved(hub, "encoder", "team/allowed", allow_pickle=True)
    assert [path.is_file() for path in source.fetch(client(hub)).weight_paths] == [True]


# Use


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_digests_are_of_used_files(hub: LocalHub, sources: dict[str, Path]) -> None:
    fetched = resolved(hub, "decoder", "team/gpt2").fetch(client(hub))
    used = {"config.json", "model.safetensors", *SMALL_FILES}
    assert fetched.digests() == {name: digest(sources["gpt2"] / name) for name in used}


@pytest.mark.hub
def test_assemble_of_fetched_sources_makes_no_request(tmp_path: Path) -> None:
    with LocalHub(tmp_path / "hub", xet=True) as hub:
        hub.add_user("owner", token=TOKEN, organizations=("team",))
        publish(hub, "team/offline-vit", checkpoints.vit(tmp_path / "vit"))
        publish(hub, "team/offline-bart", checkpoints.bart(tmp_path / "bart"))
        encoder = resolved(hub, "encoder", "team/offline-vit").fetch(client(hub))
        decoder = resolved(hub, "decoder", "team/offline-bart").fetch(client(hub))
    (tmp_path / "checkpoint").mkdir()

    assemble_sources(encoder, decoder, tmp_path / "checkpoint")

    assert {"config.json", "tokenizer.json"} <= files_of(tmp_path / "checkpoint").keys()


def with_remote_code(directory: Path, config: str, auto_map: dict[str, Any]) -> Path:
    """Let a config name a class of a module that writes a file when it is imported."""
    mark = directory / "it-ran"
    (directory / "hostile.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    content = json.loads((directory / config).read_bytes())
    (directory / config).write_text(json.dumps({**content, "auto_map": auto_map}))
    return directory


@pytest.fixture
def remote_code(tmp_path: Path) -> dict[str, Path]:
    """Write sources whose configs name their own code."""
    classes = {"AutoConfig": "hostile.Config", "AutoModel": "hostile.Model"}
    vit = with_remote_code(checkpoints.vit(tmp_path / "vit"), "config.json", classes)
    gpt2 = with_remote_code(checkpoints.gpt2(tmp_path / "gpt2"), "config.json", classes)
    with_remote_code(vit, "preprocessor_config.json", {"AutoImageProcessor": "hostile.Processor"})
    with_remote_code(gpt2, "tokenizer_config.json", {"AutoTokenizer": ["hostile.Tokenizer", None]})
    return {"vit": vit, "gpt2": gpt2}


def assembled(hub: LocalHub, encoder: str, decoder: str, directory: Path) -> dict[str, bytes]:
    directory.mkdir()
    assemble_sources(
        resolved(hub, "encoder", encoder).fetch(client(hub)),
        resolved(hub, "decoder", decoder).fetch(client(hub)),
        directory,
    )
    return files_of(directory)


def test_fetch_and_assemble_do_not_run_remote_code(
    hub: LocalHub, remote_code: dict[str, Path], tmp_path: Path
) -> None:
    for name, directory in remote_code.items():
        publish(hub, f"team/{name}-with-code", directory)

    assembled(hub, "team/vit-with-code", "team/gpt2-with-code", tmp_path / "of-the-hub")
    assembled(hub, str(remote_code["vit"]), str(remote_code["gpt2"]), tmp_path / "local")

    assert not list(tmp_path.rglob("it-ran"))
    assert not [exchange for exchange in hub.requests if exchange.path.endswith(".py")]


def test_assemble_does_not_publish_remote_code(
    hub: LocalHub, remote_code: dict[str, Path], tmp_path: Path
) -> None:
    written = assembled(
        hub, str(remote_code["vit"]), str(remote_code["gpt2"]), tmp_path / "checkpoint"
    )
    assert {name for name, content in written.items() if b"hostile" in content} == set()
