"""Sources: what a reference means, and which of its files are downloaded."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import try_to_load_from_cache

from tests import checkpoints
from tests.support.publishing import TOKEN, asked_for, client, files_of, publish
from ved.assembly.assemble import assemble
from ved.errors import VedError
from ved.families.family import Role
from ved.localhub import LocalHub
from ved.manifest.models import ConfigRef, SourceRef
from ved.sources.source import ResolvedSource, resolve_source

TOKENIZER_FILES = {
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
}


def resolved(hub: LocalHub, role: Role, model: str, **keys: Any) -> ResolvedSource:
    return resolve_source(role, SourceRef(model=model, **keys), client(hub))


def refusal(hub: LocalHub, role: Role, model: str, **keys: Any) -> str:
    with pytest.raises(VedError) as caught:
        resolved(hub, role, model, **keys)
    return str(caught.value)


# What a reference means


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: LocalHub, tmp_path: Path) -> None:
    api = client(hub)
    first = publish(hub, "team/history", checkpoints.vit(tmp_path / "first"))
    api.create_tag("team/history", tag="v1")
    api.create_branch("team/history", branch="feature/old")
    second = api.upload_folder(
        repo_id="team/history", folder_path=checkpoints.vit(tmp_path / "second", hidden_size=48)
    ).oid

    revisions = {None: second, "main": second, "v1": first, "feature/old": first, first: first}
    for revision, commit in revisions.items():
        source = resolved(hub, "encoder", "team/history", revision=revision)
        assert source.snapshot.commit == commit
        assert source.config["hidden_size"] == (32 if commit == first else 48)


def test_files_are_those_of_the_resolved_commit_whatever_comes_after(
    hub: LocalHub, tmp_path: Path
) -> None:
    directory = checkpoints.vit(tmp_path / "vit")
    publish(hub, "team/moving", directory)
    source = resolved(hub, "encoder", "team/moving")
    client(hub).upload_folder(
        repo_id="team/moving", folder_path=checkpoints.vit(tmp_path / "other", seed=1)
    )

    (weights,) = source.fetch(client(hub)).weight_paths

    assert weights.read_bytes() == (directory / "model.safetensors").read_bytes()


def test_a_config_comes_from_another_repo_at_its_own_revision(
    hub: LocalHub, tmp_path: Path
) -> None:
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


@pytest.mark.parametrize(
    ("front_matter", "known"),
    [
        ("license: mit", "mit"),
        ("license: [apache-2.0]", "apache-2.0"),
        ("license: [mit, gpl-3.0]", None),
        ("tags: [a]", None),
    ],
)
def test_the_license_is_that_of_the_card_at_the_commit(
    front_matter: str, known: str | None, hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(sources["vit"], tmp_path / "vit")
    (tmp_path / "vit" / "README.md").write_text(f"---\n{front_matter}\n---\n")
    client(hub).create_repo("team/licensed", exist_ok=True)
    commit = client(hub).upload_folder(repo_id="team/licensed", folder_path=tmp_path / "vit").oid
    assert (
        resolved(hub, "encoder", "team/licensed", revision=commit).snapshot.metadata.license
        == known
    )


def test_a_local_directory_is_used_where_it_lies(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(sources["gpt2"], tmp_path / "decoder")
    directory = str(tmp_path / "decoder")

    source = resolved(hub, "decoder", directory)
    fetched = source.fetch(client(hub))

    assert source.snapshot.commit is None
    assert str(source) == directory
    assert fetched.directory == tmp_path / "decoder"
    assert hub.requests == []


# What is downloaded


def test_only_the_files_that_are_used_are_downloaded(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.gpt2(tmp_path / "gpt2")
    others = (
        *("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot"),
        *("training_args.bin", "modeling_custom.py", "optimizer.pt", "preprocessor_config.json"),
    )
    for name in others:
        (directory / name).write_bytes(b"not wanted")
    (directory / "onnx").mkdir()
    (directory / "onnx" / "model.safetensors").write_bytes(b"not wanted")
    publish(hub, "team/everything", directory)

    resolved(hub, "decoder", "team/everything").fetch(client(hub))

    assert asked_for(hub, "team/everything") == {
        "config.json",
        "model.safetensors",
        *TOKENIZER_FILES,
    }


def test_resolving_downloads_the_config_alone(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/untouched", checkpoints.vit(tmp_path / "vit"))
    resolved(hub, "encoder", "team/untouched")
    assert asked_for(hub, "team/untouched") == {"config.json"}


def test_shards_are_downloaded_as_their_index_lists_them(hub: LocalHub, tmp_path: Path) -> None:
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


def test_flax_weights_do_where_there_is_no_safetensors(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit", layout="flax")
    (directory / "pytorch_model.bin").write_bytes(b"not wanted")
    publish(hub, "team/of-flax", directory)
    assert resolved(hub, "encoder", "team/of-flax").weights == ("flax_model.msgpack",)


@pytest.mark.parametrize(
    ("role", "model_type", "reason"),
    [
        ("encoder", "swin", "transformers has no Flax classes that fit"),
        ("encoder", "clip", "no Flax class for its image half"),
        ("encoder", "gpt2", "it reads text, not images"),
        ("decoder", "llama", "has no cross-attention"),
        ("decoder", "vit", "it reads images, not text"),
    ],
)
def test_of_a_refused_family_no_weights_are_downloaded(
    role: Role, model_type: str, reason: str, hub: LocalHub, tmp_path: Path
) -> None:
    repo = f"team/refused-{role}-{model_type}"
    directory = checkpoints.config_only(tmp_path / "refused", model_type)
    (directory / "model.safetensors").write_bytes(b"not wanted")
    publish(hub, repo, directory)

    message = refusal(hub, role, repo)

    assert f"{repo}@" in message
    assert f"a '{model_type}' checkpoint" in message
    assert reason in message
    assert f"These families can be the {role}: " in message
    assert asked_for(hub, repo) == {"config.json"}


def test_pickled_weights_are_refused_without_being_downloaded(
    hub: LocalHub, tmp_path: Path
) -> None:
    publish(hub, "team/pickled", checkpoints.vit(tmp_path / "vit", layout="pickle"))

    message = refusal(hub, "encoder", "team/pickled")

    assert "has pickled weights only (pytorch_model.bin), and a pickle is a program" in message
    assert "allow_pickle: true" in message
    assert asked_for(hub, "team/pickled") == {"config.json"}


def test_pickled_weights_are_downloaded_where_the_manifest_allows_it(
    hub: LocalHub, tmp_path: Path
) -> None:
    publish(hub, "team/allowed", checkpoints.vit(tmp_path / "vit", layout="pickle"))
    source = resolved(hub, "encoder", "team/allowed", allow_pickle=True)
    assert [path.is_file() for path in source.fetch(client(hub)).weight_paths] == [True]


def test_a_pickle_is_not_read_where_there_is_something_better(hub: LocalHub) -> None:
    assert resolved(hub, "encoder", "team/vit", allow_pickle=True).weights == ("model.safetensors",)


# What is wrong with a source


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (None, "has no config.json. Name a transformers checkpoint"),
        (b"{", "config.json of {source} cannot be read"),
        (b"\xff\xfe", "config.json of {source} cannot be read"),
        (b"[]", "config.json of {source} does not hold a JSON object"),
        (b"{}", "The config.json of {source} names no model_type"),
        (b'{"model_type": ["vit"]}', "config.json of {source}"),
    ],
)
def test_a_config_that_is_none_is_explained(
    config: bytes | None, problem: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = tmp_path / "encoder"
    directory.mkdir()
    if config is not None:
        (directory / "config.json").write_bytes(config)
    assert problem.format(source=directory) in refusal(hub, "encoder", str(directory))


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        (b"{", "model.safetensors.index.json of {source} cannot be read"),
        (b"[]", "model.safetensors.index.json of {source} does not hold a JSON object"),
        (b"{}", "model.safetensors.index.json of {source} lists no shards"),
        (b'{"weight_map": []}', "model.safetensors.index.json of {source} lists no shards"),
        (b'{"weight_map": {"a": "b"}}', "lists shards that are not there: 'b'"),
        (b'{"weight_map": {"a": "../config.json"}}', "not there: '../config.json'"),
        (b'{"weight_map": {"a": 1}}', "lists shards that are not there"),
        (b'{"weight_map": {"a": ["b"]}}', "model.safetensors.index.json of {source}"),
    ],
)
def test_a_broken_index_is_explained(
    index: bytes, problem: str, hub: LocalHub, tmp_path: Path
) -> None:
    directory = checkpoints.config_only(tmp_path / "encoder", "vit")
    (directory / "model.safetensors.index.json").write_bytes(index)
    assert problem.format(source=directory) in refusal(hub, "encoder", str(directory))


def test_a_source_without_weights_is_told_what_is_looked_for(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.config_only(tmp_path / "encoder", "vit")
    (directory / "tf_model.h5").write_bytes(b"")
    message = refusal(hub, "encoder", str(directory))
    assert "has no weights that VED can read" in message
    assert "model.safetensors, flax_model.msgpack" in message


def test_a_hub_that_fails_between_two_downloads_is_not_taken_for_an_incomplete_source(
    hub: LocalHub, tmp_path: Path
) -> None:
    publish(hub, "team/failing", checkpoints.vit(tmp_path / "vit"))
    source = resolved(hub, "encoder", "team/failing")
    # A failure that the client does not wait and try again for.
    hub.faults.add("HEAD", r"/team/failing/resolve/.*/model\.safetensors", times=100, status=501)

    with pytest.raises(VedError, match=r"Cannot download .* of team/failing"):
        source.fetch(client(hub))


def test_a_hub_that_fails_during_a_download_is_explained(hub: LocalHub, tmp_path: Path) -> None:
    publish(hub, "team/cut", checkpoints.vit(tmp_path / "vit"))
    source = resolved(hub, "encoder", "team/cut")
    hub.faults.add("HEAD", "/team/cut/resolve/", times=100, status=403)

    with pytest.raises(VedError, match=r"Cannot download .* of team/cut"):
        source.fetch(client(hub))


# What is done with it


def test_a_source_can_be_downloaded_to_a_place_of_its_own(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.vit(tmp_path / "vit", seed=17)
    publish(hub, "team/elsewhere", directory)
    source = resolved(hub, "encoder", "team/elsewhere")

    fetched = source.fetch(client(hub), tmp_path / "cache")

    (weights,) = fetched.weight_paths
    assert weights.is_relative_to(tmp_path / "cache")
    assert weights.read_bytes() == (directory / "model.safetensors").read_bytes()
    commit = source.snapshot.commit
    cached = try_to_load_from_cache("team/elsewhere", weights.name, revision=commit)
    assert cached is None  # huggingface_hub's own cache is as it was


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_digests_are_those_of_the_files_that_are_used(
    hub: LocalHub, sources: dict[str, Path]
) -> None:
    fetched = resolved(hub, "decoder", "team/gpt2").fetch(client(hub))
    used = {"config.json", "model.safetensors", *TOKENIZER_FILES}
    assert fetched.digests() == {name: digest(sources["gpt2"] / name) for name in used}


@pytest.mark.hub
def test_assembling_needs_no_hub(tmp_path: Path) -> None:
    with LocalHub(tmp_path / "hub") as hub:
        hub.add_user("owner", token=TOKEN, organizations=("team",))
        publish(hub, "team/offline-vit", checkpoints.vit(tmp_path / "vit"))
        publish(hub, "team/offline-bart", checkpoints.bart(tmp_path / "bart"))
        encoder = resolved(hub, "encoder", "team/offline-vit").fetch(client(hub))
        decoder = resolved(hub, "decoder", "team/offline-bart").fetch(client(hub))
    (tmp_path / "checkpoint").mkdir()

    assemble(encoder, decoder, tmp_path / "checkpoint")

    assert {"config.json", "tokenizer.json"} <= files_of(tmp_path / "checkpoint").keys()


def with_remote_code(directory: Path, config: str, auto_map: dict[str, Any]) -> Path:
    """Let a config name a class of a module that leaves a file behind when it is imported."""
    mark = directory / "it-ran"
    (directory / "hostile.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    content = json.loads((directory / config).read_bytes())
    (directory / config).write_text(json.dumps({**content, "auto_map": auto_map}))
    return directory


@pytest.fixture
def remote_code(tmp_path: Path) -> dict[str, Path]:
    """Write sources each of whose configs names code of its own."""
    classes = {"AutoConfig": "hostile.Config", "AutoModel": "hostile.Model"}
    vit = with_remote_code(checkpoints.vit(tmp_path / "vit"), "config.json", classes)
    gpt2 = with_remote_code(checkpoints.gpt2(tmp_path / "gpt2"), "config.json", classes)
    with_remote_code(vit, "preprocessor_config.json", {"AutoImageProcessor": "hostile.Processor"})
    with_remote_code(gpt2, "tokenizer_config.json", {"AutoTokenizer": ["hostile.Tokenizer", None]})
    return {"vit": vit, "gpt2": gpt2}


def assembled(hub: LocalHub, encoder: str, decoder: str, directory: Path) -> dict[str, bytes]:
    directory.mkdir()
    assemble(
        resolved(hub, "encoder", encoder).fetch(client(hub)),
        resolved(hub, "decoder", decoder).fetch(client(hub)),
        directory,
    )
    return files_of(directory)


def test_remote_code_is_neither_downloaded_nor_run(
    hub: LocalHub, remote_code: dict[str, Path], tmp_path: Path
) -> None:
    for name, directory in remote_code.items():
        publish(hub, f"team/{name}-with-code", directory)

    assembled(hub, "team/vit-with-code", "team/gpt2-with-code", tmp_path / "of-the-hub")
    assembled(hub, str(remote_code["vit"]), str(remote_code["gpt2"]), tmp_path / "local")

    assert not list(tmp_path.rglob("it-ran"))
    assert not [exchange for exchange in hub.requests if exchange.path.endswith(".py")]


def test_remote_code_is_not_passed_on(
    hub: LocalHub, remote_code: dict[str, Path], tmp_path: Path
) -> None:
    written = assembled(
        hub, str(remote_code["vit"]), str(remote_code["gpt2"]), tmp_path / "checkpoint"
    )
    assert {name for name, content in written.items() if b"hostile" in content} == set()
