"""The build record agrees with the checkpoint, and the same inputs give the same record."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

import ved
from tests import checkpoints
from tests.support import golden, golden_families
from tests.support.environments import HOSTILE_VARIABLES
from tests.support.publishing import (
    TOKEN,
    build_locally,
    build_pair,
    client,
    download,
    files_of,
    heads,
    manifest,
    pair,
    publish,
)
from ved.commands import RunOptions, build
from ved.errors import ErrorCode, VedError
from ved.families.table import DECODERS
from ved.localhub import LocalHub
from ved.manifest.settings import CheckpointSettings
from ved.record import (
    MAX_GIT_BLOB_BYTES,
    BuildRecord,
    Copied,
    RecordedFile,
    RecordedLedger,
    build_record,
    fingerprint,
    recorded_pair,
)
from ved.record.fingerprint import (
    ASSEMBLY_VERSION,
    LIBRARIES,
    REPRODUCIBILITY_LIBRARIES,
    compute_fingerprint,
)
from ved.sources.source import resolve_source


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "ved.json").read_bytes())
    return content


@pytest.fixture(scope="module")
def built(
    module_hub: LocalHub, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Build team/vit with team/gpt2 once; no test changes the directory."""
    entry = pair("owner/recorded", tags=["a"], license="mit", token_ids={"pad": 7}, seed=3)
    return build_locally(module_hub, entry, tmp_path_factory.mktemp("machine") / "built")


def test_record_has_the_manifests_entry(built: Path) -> None:
    recorded = record_of(built)
    assert recorded["format"] == 1
    assert recorded["seed"] == 3
    entry = {"repo": "owner/recorded", "license": "mit", "tags": ["a"]}
    assert recorded["pair"].items() >= entry.items()
    assert recorded["pair"]["token_ids"] == {"pad": 7}
    assert recorded["pair"]["encoder"].items() >= {"model": "team/vit"}.items()


def test_record_has_commits_and_digests_of_sources(
    built: Path, hub: LocalHub, sources: dict[str, Path]
) -> None:
    recorded = record_of(built)["sources"]
    used = {
        "encoder": ("vit", {"config.json", "model.safetensors", "preprocessor_config.json"}),
        "decoder": (
            "gpt2",
            {
                *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
                *("vocab.json", "merges.txt", "special_tokens_map.json", "generation_config.json"),
            },
        ),
    }
    for role, (name, files) in used.items():
        identity = {"name": f"team/{name}", "commit": heads(hub)[f"team/{name}"]}
        digests = {file: digest((sources[name] / file).read_bytes()) for file in files}
        described = {"config": identity, "family": name, "files": digests}
        assert recorded[role].items() >= {**identity, **described}.items()


def test_record_has_metadata_of_sources(built: Path) -> None:
    recorded = record_of(built)["sources"]
    nothing = {"gated": False, "tags": [], "language": []}
    assert recorded["encoder"]["metadata"] == {**nothing, "license": "apache-2.0"}
    assert recorded["decoder"]["metadata"] == {**nothing, "license": "mit", "language": ["en"]}


def test_record_has_architecture_and_parameter_counts(
    built: Path, sources: dict[str, Path]
) -> None:
    recorded = record_of(built)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2}
    vocab_size = json.loads((sources["gpt2"] / "config.json").read_bytes())["vocab_size"]
    pixels = {"image_size": [16, 16], "patch_size": [8, 8]}
    assert recorded["sources"]["encoder"]["architecture"] == {**sizes, **pixels}
    assert recorded["sources"]["decoder"]["architecture"] == {**sizes, "vocab_size": vocab_size}
    summaries = [ledger["summary"] for ledger in recorded["ledger"].values()]
    counts = [each["num_copied"] + each["num_initialized"] for each in summaries]
    assert sum(counts) == recorded["num_parameters"]
    assert [each["dtypes"] for each in summaries] == [["float32"]] * 2


def test_record_names_the_repo_of_a_config(
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


def test_record_has_every_shard_of_a_source(hub: LocalHub, tmp_path: Path) -> None:
    sharded = checkpoints.vit(tmp_path / "sharded", layout="sharded")
    entry = pair("owner/x", encoder=str(sharded))
    recorded = record_of(build_locally(hub, entry, tmp_path / "built"))["sources"]["encoder"]
    shards = {path.name: digest(path.read_bytes()) for path in sharded.glob("*.safetensors")}
    assert len(shards) == 2
    assert recorded["files"].items() >= shards.items()


def test_record_has_token_ids_and_their_origins(built: Path, tmp_path: Path) -> None:
    vocabulary = json.loads((built / "vocab.json").read_bytes())
    (token,) = [token for token, number in vocabulary.items() if number == 7]
    assert record_of(built)["token_ids"] == {
        "decoder_start": {
            "id": 384,
            "token": "<|endoftext|>",
            "origin": "bos_token_id of the decoder's config",
            "script": 384,
        },
        "pad": {"id": 7, "token": token, "origin": "the manifest", "script": 384},
        "eos": {
            "id": 384,
            "token": "<|endoftext|>",
            "origin": "eos_token_id of the decoder's config",
            "script": 384,
        },
    }


def test_record_has_installed_versions(built: Path) -> None:
    versions = record_of(built)["versions"]
    assert versions.pop("ved") == ved.__version__
    assert {"jax", "flax", "transformers"} <= versions.keys()
    assert versions == {name: version(name) for name in versions}


def test_record_ledger_names_copied_initialized_and_unused_tensors(built: Path) -> None:
    ledger = record_of(built)["ledger"]
    assert ledger.keys() == {"encoder", "decoder"}
    reason = DECODERS["gpt2"].unused[".attn.bias"]
    assert ledger["decoder"]["unused"] == {"h.0.attn.bias": reason, "h.1.attn.bias": reason}
    assert set(ledger["decoder"]["initialized"].values()) == {"cross-attention"}
    assert ledger["encoder"]["initialized"] == {}
    assert ledger["encoder"]["copied"]["layernorm/scale"] == {
        "file": "model.safetensors",
        "tensor": "layernorm.weight",
    }


def test_record_describes_files_as_the_hub_does(hub: LocalHub, tmp_path: Path) -> None:
    result = build_pair(
        hub, pair("owner/digests", decoder="team/roberta", weights=["flax", "safetensors"])
    )
    served = download(hub, "owner/digests", tmp_path)
    recorded = json.loads(served.pop("ved.json"))["files"]
    del served[".gitattributes"]
    assert {name: (file["size"], file["sha256"]) for name, file in recorded.items()} == {
        name: (len(content), digest(content)) for name, content in served.items()
    }
    info = client(hub).model_info("owner/digests", revision=result.commit, files_metadata=True)
    files = {file.rfilename: file for file in info.siblings or ()}
    large = {name: file.lfs.sha256 for name, file in files.items() if file.lfs}
    assert large == {name: recorded[name]["sha256"] for name in large}
    small = {name: file.blob_id for name, file in files.items() if name in served.keys() - large}
    assert small == {name: recorded[name]["git_oid"] for name in small}
    assert {*large, *small} == recorded.keys()
    assert {"flax_model.msgpack", "model.safetensors"} <= large.keys()
    assert {"README.md", "config.json"} <= small.keys()


def test_recorded_file_above_git_limit_has_no_git_oid(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    os.truncate(path, MAX_GIT_BLOB_BYTES)
    assert RecordedFile.of(path).git_oid is not None
    os.truncate(path, MAX_GIT_BLOB_BYTES + 1)
    assert RecordedFile.of(path).git_oid is None


def test_published_files_hold_nothing_of_the_machine(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    shutil.copytree(sources["gpt2"], folder / "decoder")

    result = build_pair(hub, pair("owner/of-no-machine", decoder="./decoder"), folder=folder)

    assert result.action == "built", result.reason
    served = b"".join(download(hub, "owner/of-no-machine", tmp_path).values())
    assert b"./decoder" in served
    traces = (TOKEN, str(tmp_path), str(Path.cwd()), constants.HF_HOME)
    assert [trace for trace in traces if trace.encode() in served] == []


@pytest.fixture(scope="module")
def local_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a source and a config for each role, in a folder with a recognizable path."""
    folder = tmp_path_factory.mktemp("private") / "home"
    checkpoints.vit(folder / "my-vit")
    checkpoints.vit(folder / "vit-config")
    checkpoints.gpt2(folder / "my-gpt2")
    checkpoints.gpt2(folder / "gpt2-config")
    return folder


def test_absolute_paths_of_sources_are_not_published(
    hub: LocalHub, local_sources: Path, tmp_path: Path
) -> None:
    encoder = {"model": f"{local_sources}/my-vit/", "config": f"{local_sources}/vit-config"}
    decoder = {
        "model": f"{local_sources}/my-gpt2",
        "config": {"model": f"{local_sources}/gpt2-config"},
    }
    built = build_locally(hub, pair("owner/x", encoder=encoder, decoder=decoder), tmp_path / "out")

    files = files_of(built)
    assert {"README.md", "config.json", "tokenizer_config.json", "ved.json"} <= files.keys()
    assert [name for name, content in files.items() if str(local_sources).encode() in content] == []
    recorded = record_of(built)
    for role, name, config in (
        ("encoder", "my-vit", "vit-config"),
        ("decoder", "my-gpt2", "gpt2-config"),
    ):
        source, entry = recorded["sources"][role], recorded["pair"][role]
        assert (source["name"], source["config"]) == (name, {"name": config})
        assert (entry["model"], entry["config"]["model"]) == (f"./{name}", f"./{config}")


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("model", ["/home/me/vit", "/home/me/vit/", "/home/vit/me/..", "//vit"])
def test_recorded_pair_replaces_absolute_paths(role: str, model: str) -> None:
    (entry,) = manifest(pair("owner/x", **{role: {"model": model, "config": model}})).pairs
    recorded = recorded_pair(entry).model_dump()[role]
    assert (recorded["model"], recorded["config"]["model"]) == ("./vit", "./vit")


@pytest.mark.parametrize("model", ["./vit", "../vit", "./models/vit", "owner/vit", "vit"])
def test_recorded_pair_keeps_repos_and_relative_paths(model: str) -> None:
    (entry,) = manifest(pair("owner/x", encoder={"model": model, "config": model})).pairs
    assert recorded_pair(entry).encoder == entry.encoder


@pytest.mark.slow
def test_build_in_other_environment_gives_the_same_bytes(hub: LocalHub, tmp_path: Path) -> None:
    """The other process has its own cache, folder, home, time zone, order of sets and settings."""
    # These sources lack parts, and differ in width: parameters are initialized in each part.
    checkpoints.vit(tmp_path / "vit", hidden_size=48, without=("pooler.",))
    checkpoints.bert(tmp_path / "bert", without=("cls.",))
    entry = pair("owner/x", encoder="./vit", decoder="./bert")
    (tmp_path / "pairs.yaml").write_text(json.dumps({"pairs": [entry]}))
    options = RunOptions(output_directory=tmp_path / "here", push=False)
    (tmp_path / "here").mkdir()
    (result,) = build(manifest(entry, folder=tmp_path), options, client(hub))
    assert result.action == "built", result.reason
    environment = {
        "PATH": os.environ["PATH"],
        "HF_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        "TZ": "Asia/Tokyo",
        **HOSTILE_VARIABLES,
    }
    arguments: list[str | Path] = [
        tmp_path / "pairs.yaml",
        "--no-push",
        "--output-dir",
        tmp_path / "there",
    ]
    subprocess.run(
        [sys.executable, "-m", "ved", "build", *arguments, "--endpoint", hub.endpoint],
        env=environment,
        check=True,
        cwd=Path(ved.__file__).parents[1],
    )
    assert files_of(tmp_path / "there" / "owner" / "x") == files_of(tmp_path / "here/owner/x")


# The fingerprint


def fingerprint_of(hub: LocalHub, folder: Path = Path(), **keys: Any) -> str:
    """Return the fingerprint of a manifest's entry, by default of team/vit and team/gpt2."""
    (entry,) = manifest(pair(**{"repo": "owner/x", **keys}), folder=folder).pairs
    api = client(hub)
    encoder = resolve_source("encoder", entry.encoder, api).pinned
    decoder = resolve_source("decoder", entry.decoder, api).pinned
    return compute_fingerprint(encoder, decoder, CheckpointSettings.of(entry), api)


@pytest.mark.parametrize(
    "keys",
    [
        {"weights": "safetensors"},
        {"encoder": "team/vit@main"},
        {"encoder": {"model": "team/vit", "config": "team/vit"}},
        {"decoder": {"model": "team/gpt2", "allow_pickle": True}},
        {"decoder": {"model": "team/gpt2", "weights_from": "safetensors"}},
        {"repo": "owner/another-name"},
        {"description": "Words.", "tags": ["a"], "license": "mit", "language": "en"},
        {"private": True, "adopt": True, "overwrite": True},
        {"seed": 0, "dtype": "source", "token_ids": {}},
    ],
)
def test_fingerprint_ignores_keys_that_change_no_byte(keys: dict[str, Any], hub: LocalHub) -> None:
    assert fingerprint_of(hub, **keys) == fingerprint_of(hub)


@pytest.mark.parametrize(
    "keys",
    [
        {"seed": 1},
        {"dtype": "float32"},
        {"weights": ["flax"]},
        {"weights": ["safetensors", "flax"]},
        {"token_ids": {"pad": 7}},
        {"token_ids": {"eos": 7}},
        {"decoder": "team/bart"},
    ],
)
def test_fingerprint_depends_on_keys_that_change_bytes(keys: dict[str, Any], hub: LocalHub) -> None:
    assert fingerprint_of(hub, **keys) != fingerprint_of(hub)


def test_fingerprint_depends_on_the_format_of_the_weights(hub: LocalHub, tmp_path: Path) -> None:
    directory = checkpoints.gpt2(tmp_path / "gpt2")
    checkpoints.gpt2(directory, layout="flax", seed=1)
    publish(hub, "team/two-formats", directory)
    found = {
        name: fingerprint_of(hub, decoder={"model": model, "weights_from": name})
        for model in ("team/two-formats", str(directory))
        for name in ("safetensors", "flax")
    }
    assert len({*found.values()}) == 2


def test_fingerprint_depends_on_commits_not_on_revisions(hub: LocalHub, tmp_path: Path) -> None:
    first = publish(hub, "team/two-commits", checkpoints.vit(tmp_path / "vit"))
    api = client(hub)
    api.create_tag("team/two-commits", tag="v1")
    second = api.upload_file(
        path_or_fileobj=b"new", path_in_repo="notes.txt", repo_id="team/two-commits"
    ).oid

    def of(revision: str) -> tuple[str, str]:
        ref = {"model": "team/two-commits", "revision": revision}
        config = {"model": "team/vit", "config": ref}
        return fingerprint_of(hub, encoder=ref), fingerprint_of(hub, encoder=config)

    assert of(first) == of("v1")
    assert of(second) == of("main")
    assert len({*of(first), *of(second), fingerprint_of(hub)}) == 5


def test_fingerprint_depends_on_used_files_of_a_directory(
    hub: LocalHub, sources: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("vit", "gpt2"):
        shutil.copytree(sources[name], tmp_path / name)
    shutil.copytree(sources["vit"], tmp_path / "other")

    def now() -> str:
        encoder = {"model": "./vit", "config": "./other"}
        return fingerprint_of(hub, tmp_path, encoder=encoder, decoder="./gpt2")

    before = now()
    for unused in ("vit/README.md", "vit/notes.txt", "vit/pytorch_model.bin", "other/vocab.json"):
        (tmp_path / unused).write_text("changed")
        assert now() == before

    found = {before}
    used = ("vit/model.safetensors", "vit/preprocessor_config.json", "gpt2/tokenizer.json")
    for name in (*used, "gpt2/model.safetensors", "gpt2/config.json", "other/config.json"):
        with (tmp_path / name).open("ab") as file:
            file.write(b"\n")
        found.add(now())
    assert len(found) == 7


@pytest.mark.parametrize("library", LIBRARIES)
def test_fingerprint_depends_on_versions_of_reproducibility_libraries(
    library: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint_of(hub)
    monkeypatch.setattr(
        fingerprint, "version", lambda name: "99" if name == library else metadata.version(name)
    )
    assert (fingerprint_of(hub) != before) == (library in REPRODUCIBILITY_LIBRARIES)


def test_fingerprint_depends_on_assembly_version(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint_of(hub)
    monkeypatch.setattr(fingerprint, "ASSEMBLY_VERSION", ASSEMBLY_VERSION + 1)
    assert fingerprint_of(hub) != before


def test_fingerprint_before_build_is_that_of_the_record(built: Path, hub: LocalHub) -> None:
    assert record_of(built)["fingerprint"] == fingerprint_of(hub, seed=3, token_ids={"pad": 7})


@pytest.mark.hub
def _skip_other_releases(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Skip a test with other releases than the locked ones, which may draw other bits."""
    if found["versions"] != expected["versions"]:
        pytest.skip(f"the golden file has the bytes with {expected['versions']}")


@pytest.mark.unit
@pytest.mark.parametrize("path", [golden.PATH, golden_families.PATH])
def test_golden_file_is_for_the_locked_releases(path: Path) -> None:
    locked = (Path(__file__).parents[2] / "requirements" / "run.txt").read_text()
    for name, release in json.loads(path.read_bytes())["versions"].items():
        assert f"\n{name}=={release} " in locked


def test_assembled_bytes_are_those_of_the_golden_file(tmp_path: Path) -> None:
    found, expected = golden.describe(tmp_path), json.loads(golden.PATH.read_bytes())
    _skip_other_releases(found, expected)
    other = [name for name in golden.INPUTS if found[name] != expected[name]]
    assert not other, (
        f"golden.json is for other {' and '.join(other)}: "
        "write it again with `python -m tests.support.golden`."
    )
    changed = {name for name, _ in found["files"].items() ^ expected["files"].items()}
    assert not changed, (
        f"The same inputs give other bytes in {', '.join(sorted(changed))}. If that is intended, "
        "increase ASSEMBLY_VERSION, so that published checkpoints are rebuilt, and write "
        "golden.json again with `python -m tests.support.golden`."
    )


@pytest.mark.slow
def test_assembled_bytes_of_each_family_are_those_of_the_golden_file(tmp_path: Path) -> None:
    expected = json.loads(golden_families.PATH.read_bytes())
    found = golden_families.describe(tmp_path, golden_families.SOURCES_PATH.read_bytes())
    _skip_other_releases(found, expected)
    assert found["weights"] == expected["weights"], "numpy draws other numbers"
    assert found["configs"] == expected["configs"]
    changed = {
        (case, name)
        for case, files in found["cases"].items()
        for name, _ in files.items() ^ expected["cases"].get(case, {}).items()
    }
    assert not changed, (
        "The same inputs give other bytes. If that is intended, increase ASSEMBLY_VERSION, and "
        "write golden_families.json again with `python -m tests.support.golden_families`. It has "
        f"the bytes with {expected['versions']}."
    )
    assert found["cases"].keys() == expected["cases"].keys()


# Reading


def test_parse_record_returns_what_was_written(built: Path) -> None:
    content = (built / "ved.json").read_bytes()
    read = build_record.parse_record(content, "here")
    assert read.encoded() == content
    assert build_record.parse_record(read.encoded(), "there") == read
    assert read.settings == CheckpointSettings({"pad": 7}, seed=3, weights=("safetensors",))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(token=TEXTS, tensor=TEXTS, path=TEXTS, pad=st.integers(0, 2**63 - 1))
def test_parse_record_returns_unusual_texts_unchanged(
    token: str, tensor: str, path: str, pad: int, built: Path
) -> None:
    honest = build_record.parse_record((built / "ved.json").read_bytes(), "here")
    found = honest.token_ids["pad"].model_copy(update={"token": token, "id": pad})
    copied = {path: Copied(file="model.safetensors", tensor=tensor)}
    ledger = RecordedLedger(
        summary=honest.ledger["encoder"].summary,
        copied=copied,
        initialized={path: "projection"},
        unused={tensor: "a, b"},
    )
    update = {
        "token_ids": {**honest.token_ids, "pad": found},
        "ledger": {"encoder": ledger, "decoder": ledger},
    }
    strange = honest.model_copy(update=update)
    assert build_record.parse_record(strange.encoded(), "there") == strange


HOSTILE = "x](https://example.org) <img src=x>"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("format", 2),
        ("fingerprint", "0" * 63),
        ("fingerprint", "A" * 64),
        ("card_digest", "../" * 21 + "0"),
        ("seed", "seven"),
        ("dtype", HOSTILE),
        ("weights", [HOSTILE]),
        ("weights", "flax"),
        ("sources", {}),
        ("sources.encoder", None),
        ("sources.encoder.commit", "main"),
        ("sources.encoder.commit", "0" * 40 + "\n"),
        ("sources.encoder.name", HOSTILE),
        ("sources.encoder.name", "../../settings"),
        ("sources.encoder.name", "a/b/c"),
        ("sources.encoder.name", "a" * 200),
        ("sources.encoder.config.name", HOSTILE),
        ("sources.encoder.files", {"config.json": HOSTILE}),
        ("sources.third", {}),
        ("token_ids", {}),
        ("token_ids.pad", None),
        ("token_ids.pad.id", HOSTILE),
        ("token_ids.pad.origin", HOSTILE),
        ("token_ids.pad.origin", "the manifest\n"),
        ("token_ids.pad.origin", "x" * 101),
        ("token_ids.pad.script", HOSTILE),
        ("token_ids.pad.script", -1),
        ("sources.decoder.left_out", [HOSTILE]),
        ("sources.decoder.left_out", ["x" * 61]),
        ("sources.decoder.left_out", ["min_length\n"]),
        ("versions", {"transformers": HOSTILE}),
        ("versions", {"transformers": "4.57.6\n"}),
        ("versions", {"transformers": "4" * 51}),
        ("ledger.decoder.unused", {"h.0.attn.bias": HOSTILE}),
        ("ledger.decoder.unused", {"h.0.attn.bias": "`|`"}),
        ("ledger.decoder.initialized", {"a": HOSTILE}),
        ("ledger.decoder.copied", {"a": "b"}),
        ("pair.repo", HOSTILE),
        ("pair.license", HOSTILE),
        ("pair.encoder", HOSTILE),
        ("num_parameters", HOSTILE),
        ("files", {"README.md": {"size": 1, "sha256": HOSTILE}}),
        ("files", {"README.md": {"size": 1, "sha256": "0" * 64, "git_oid": HOSTILE}}),
    ],
)
def test_parse_record_refuses_wrong_values(place: str, value: object, built: Path) -> None:
    content = record_of(built)
    *parents, last = place.split(".")
    inner = content
    for name in parents:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(VedError) as caught:
        build_record.parse_record(json.dumps(content).encode(), "owner/x@0123")
    assert caught.value.code == ErrorCode.RECORD_NOT_READABLE
    # A name is validated together with its commit, so the error names their source.
    wrong = place.removesuffix(".name")
    assert f"owner/x@0123 is not a build record that this version of VED reads: {wrong}" in (
        caught.value.cause
    )


REQUIRED = (
    "fingerprint",
    "endpoint",
    "num_parameters",
    "jax_threefry_partitionable",
    "files",
    "versions.transformers",
    "sources.decoder",
    "sources.encoder.architecture",
    "sources.encoder.metadata",
    "sources.encoder.files",
    "token_ids.eos",
    "ledger.encoder",
    "ledger.decoder",
    "ledger.decoder.summary",
    "ledger.decoder.summary.dtypes",
)


@pytest.mark.parametrize("place", REQUIRED)
def test_parse_record_refuses_missing_fields(place: str, built: Path) -> None:
    content = record_of(built)
    *parents, last = place.split(".")
    inner = content
    for name in parents:
        inner = inner[name]
    del inner[last]
    with pytest.raises(VedError) as caught:
        build_record.parse_record(json.dumps(content).encode(), "owner/x@0123")
    assert caught.value.code == ErrorCode.RECORD_NOT_READABLE


@pytest.mark.parametrize(
    "content",
    [b"", b"no JSON", b"null", b"[]", b"{}", b"\xff\xfe", b'{"format": NaN}', b"[" * 100_000],
)
def test_parse_record_refuses_other_content(content: bytes) -> None:
    with pytest.raises(VedError) as caught:
        build_record.parse_record(content, "owner/x")
    assert caught.value.code == ErrorCode.RECORD_NOT_READABLE


def test_parse_record_refuses_huge_content() -> None:
    with pytest.raises(VedError) as caught:
        build_record.parse_record(b" " * (build_record.MAX_BYTES + 1), "owner/x")
    assert caught.value.code == ErrorCode.RECORD_NOT_READABLE


@given(data=st.data())
def test_parse_record_reads_or_refuses_damaged_content(data: st.DataObject, built: Path) -> None:
    content = bytearray((built / "ved.json").read_bytes())
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 20))
    content[start : start + length] = data.draw(st.binary(max_size=20))
    with suppress(VedError):
        assert isinstance(build_record.parse_record(bytes(content), "owner/x"), BuildRecord)
