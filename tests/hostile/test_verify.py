"""`ved verify` of repos, folders and records whose authors want a wrong yes."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from tests import checkpoints
from tests.support.publishing import build_locally, build_pair, client, pair, publish
from ved import cli
from ved.errors import ErrorCode
from ved.localhub import LocalHub
from ved.record import BuildRecord, build_record, card

REPO = "owner/verify-me"


@pytest.fixture(scope="module")
def published(module_hub: LocalHub) -> str:
    """Publish an honest checkpoint, and return its repo."""
    result = build_pair(module_hub, pair(REPO, seed=7, token_ids={"pad": 1}))
    assert result.action == "built", result.reason
    return REPO


Publish = Callable[[Mapping[str, bytes]], str]


@pytest.fixture
def changed(hub: LocalHub, published: str) -> Iterator[Publish]:
    """Replace files of the checkpoint on a branch; return the name to verify."""
    api = client(hub)
    api.create_branch(published, branch="changed")

    def change(files: Mapping[str, bytes]) -> str:
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        api.create_commit(published, operations, commit_message="x", revision="changed")
        return f"{published}@changed"

    yield change
    api.delete_branch(published, branch="changed")


@pytest.fixture
def directory(hub: LocalHub, published: str, tmp_path: Path) -> Path:
    """Return a directory with the files of the honest checkpoint."""
    directory = tmp_path / "directory"
    downloaded = client(hub).snapshot_download(published, cache_dir=tmp_path / "cache")
    shutil.copytree(downloaded, directory)
    (directory / ".gitattributes").unlink()
    return directory


Verify = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verify(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Return a function that runs the command, and checks that it writes only visible text."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["verify", *map(str, arguments), "--endpoint", hub.endpoint])
        written = capsys.readouterr()
        text = (written.out + written.err).replace("\n", "")
        assert text.isprintable()
        assert len(text) < 200_000
        assert "Traceback" not in text
        return status, written.out, written.err

    return run


def test_verify_accepts_the_honest_checkpoint(
    verify: Verify, published: str, directory: Path
) -> None:
    assert verify(published)[0] == 0
    assert verify(directory)[0] == 0


# Files that do not come from the sources

ADDED = (
    *("adapter_config.json", "adapter_model.safetensors", "processor_config.json"),
    *("chat_template.jinja", "additional_chat_templates/tool.jinja", "chat_template.json"),
    *("custom_generate/generate.py", "custom_generate/requirements.txt", "modeling_mine.py"),
    *("pytorch_model.bin", "model.fp16.safetensors", "tf_model.h5", "model-00001.msgpack"),
    *("onnx/model.onnx", "generation_config_2.json", "video_preprocessor_config.json"),
    *("vocab.txt", "added_tokens.json", "tokenizer/tokenizer.json", "notes.txt", "LICENSE"),
    *("ved.json.orig", ".hidden", "nested/.gitattributes", "Config.json", "README.rst"),
    *("\x1b]0;title\x07.txt", "a\u202egnp.exe"),
)


@pytest.mark.parametrize("place", ["repo", "directory"])
def test_verify_names_every_file_that_is_not_rebuilt(
    place: str, verify: Verify, changed: Publish, directory: Path
) -> None:
    if place == "repo":
        names = [name for name in ADDED if "\x1b" not in name]
        subject: str | Path = changed(dict.fromkeys(names, b"{}"))
    else:
        names = [*ADDED]
        subject = directory
        for name in names:
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text("{}")
        (directory / "empty").mkdir()
        names.append("empty")
    status, out, _ = verify(subject)
    assert status == 1
    found = {line.split(" does not come")[0].strip() for line in out.splitlines()[1:]}
    visible = {name.encode("unicode_escape").decode() for name in names}
    assert visible - found == set()


@pytest.mark.parametrize("name", ["adapter_config.json", "custom_generate/generate.py", "a.py"])
def test_verify_fails_for_a_single_added_file(name: str, verify: Verify, changed: Publish) -> None:
    status, out, _ = verify(changed({name: b"{}"}))
    assert (status, name in out) == (1, True)


@pytest.mark.parametrize(
    "content",
    [
        b"*.json text eol=crlf\n",
        b"config.json working-tree-encoding=UTF-16\n",
        b"*.safetensors filter=other diff=lfs merge=lfs -text\n",
        b"*.bin filter=lfs diff=lfs merge=lfs -text export-ignore\n",
        b"# ok\n" * 20_000,
        b"\xff\xfe* ident\n",
    ],
)
def test_verify_reads_the_git_attributes(
    content: bytes, verify: Verify, changed: Publish, directory: Path
) -> None:
    (directory / ".gitattributes").write_bytes(content)
    for subject in (changed({".gitattributes": content}), directory):
        status, out, _ = verify(subject)
        assert (status, ".gitattributes" in out) == (1, True)


def test_verify_ignores_what_git_and_downloads_leave_beside_a_repo(
    verify: Verify, directory: Path
) -> None:
    for name in (".git/config", ".git/hooks/x", ".cache/huggingface/download/config.json.metadata"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("x")
    assert verify(directory)[0] == 0


def test_verify_accepts_a_folder_of_the_cache(
    verify: Verify, hub: LocalHub, published: str, tmp_path: Path
) -> None:
    assert verify(client(hub).snapshot_download(published, cache_dir=tmp_path / "cache"))[0] == 0


@pytest.mark.parametrize(
    "target", ["/proc/self/environ", "OUTSIDE/config.json", "/dev/zero", "nowhere", "PIPE"]
)
def test_verify_reads_no_file_outside_of_a_directory(
    target: str, verify: Verify, directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(directory, tmp_path / "outside")
    (directory / "config.json").unlink()
    if target == "PIPE":
        os.mkfifo(directory / "config.json")
    else:
        (directory / "config.json").symlink_to(target.replace("OUTSIDE", str(tmp_path / "outside")))
    status, out, _ = verify(directory)
    assert (status, "config.json" in out) == (1, True)


# Records

Lie = Callable[[dict[str, Any]], None]


def lying(content: bytes, lie: Lie) -> bytes:
    values = json.loads(content)
    lie(values)
    return (json.dumps(values, indent=2) + "\n").encode()


def write_consistently(directory: Path, lie: Lie) -> BuildRecord:
    """Change a record, and render the card and its digest again, so that they fit together."""
    file = directory / build_record.FILE_NAME
    record = build_record.parse_record(lying(file.read_bytes(), lie), "")
    assert record.pair is not None
    digest = card.card_digest(record.pair, record.sources.values(), record.endpoint)
    files = {name: each for name, each in record.files.items() if name != card.FILE_NAME}
    record = record.model_copy(update={"card_digest": digest, "files": files})
    record = card.write_card(record, directory)
    build_record.write_record(record, directory)
    return record


def set_to(place: str, value: object) -> Lie:
    def lie(record: dict[str, Any]) -> None:
        *path, last = place.split("/")
        for key in path:
            record = record[key]
        record[last] = value

    return lie


LIES: dict[str, Lie] = {
    "endpoint": set_to("endpoint", "https://hub.example"),
    "endpoint with markup": set_to("endpoint", "https://a b\x1b]0;x\x07"),
    "repo": set_to("pair/repo", "evil/verify-me"),
    "encoder": set_to("pair/encoder/model", "google/vit"),
    "decoder's commit": set_to("pair/decoder", {"model": "team/gpt2", "revision": "0" * 40}),
    "config": set_to("pair/decoder", {"model": "team/gpt2", "config": "team/bert"}),
    "seed": set_to("pair/seed", 8),
    "dtype": set_to("pair/dtype", "float16"),
    "weights": set_to("pair/weights", ["flax"]),
    "license of a source": set_to("sources/encoder/metadata/license", "mit"),
    "tags of a source": set_to("sources/decoder/metadata/tags", ["official"]),
    "fingerprint": set_to("fingerprint", "0" * 64),
    "parameters": set_to("num_parameters", 1),
    "copied": set_to("ledger/encoder/copied/x", {"file": "model.safetensors", "tensor": "x"}),
    "initialized": set_to("ledger/decoder/initialized", {}),
    "another file": set_to("files/adapter_config.json", {"size": 2, "sha256": "0" * 64}),
    "library": set_to("versions/other", "1.0"),
    "family": set_to("sources/encoder/architecture/hidden_size", 768),
}


@pytest.mark.parametrize("name", LIES)
def test_verify_finds_a_lie_with_a_card_that_fits(
    name: str, verify: Verify, changed: Publish, directory: Path
) -> None:
    write_consistently(directory, LIES[name])
    files = {name: (directory / name).read_bytes() for name in ("ved.json", "README.md")}
    status, out, _ = verify(changed(files))
    assert (status, len(out.splitlines()) > 3) == (1, True)
    if name != "repo":  # a directory does not have a name
        assert verify(directory)[0] == 1


def test_verify_names_another_endpoint(verify: Verify, directory: Path, hub: LocalHub) -> None:
    write_consistently(directory, LIES["endpoint"])
    status, out, _ = verify(directory)
    assert status == 1
    assert "https://hub.example" in out
    assert hub.endpoint in out


@pytest.mark.parametrize("digest_too", [False, True])
def test_verify_compares_the_whole_card(digest_too: bool, verify: Verify, directory: Path) -> None:
    text = (directory / "README.md").read_bytes() + b"\nVerify with another tool.\n"
    (directory / "README.md").write_bytes(text)
    file = directory / "ved.json"
    record = json.loads(file.read_bytes())
    del record["files"]["README.md"]
    if digest_too:
        record["card_digest"] = "0" * 64
    written = build_record.parse_record(json.dumps(record).encode(), "")
    build_record.write_record(written.with_files(directory), directory)
    status, out, _ = verify(directory)
    assert (status, "README.md" in out) == (1, True)


BAD_RECORDS: dict[str, Callable[[bytes], bytes]] = {
    "unknown key": lambda text: lying(text, set_to("unknown", "x")),
    "unknown key of an entry": lambda text: lying(text, set_to("pair/trusted", True)),
    "publishing key": lambda text: lying(text, set_to("pair/private", True)),
    "unknown key of a source": lambda text: lying(text, set_to("sources/encoder/mirror", "x")),
    "unknown key of a summary": lambda text: lying(text, set_to("ledger/encoder/summary/more", 1)),
    "unknown key of metadata": lambda text: lying(text, set_to("sources/encoder/metadata/more", 1)),
    "control characters in a key": lambda text: lying(text, set_to("\x1b]0;title\x07", 1)),
    "control characters in a file": lambda text: lying(
        text, set_to("files/\x1b]0;title\x07", {"size": 1, "sha256": "0" * 64})
    ),
    "path out of the directory": lambda text: lying(
        text, lambda record: record["files"].update({"../x": record["files"]["config.json"]})
    ),
    "absolute path": lambda text: lying(
        text, lambda record: record["files"].update({"/etc/x": record["files"]["config.json"]})
    ),
    "path of a source's file": lambda text: lying(
        text, lambda record: record["sources"]["encoder"]["files"].update({"../x": "0" * 64})
    ),
    "repeated key": lambda text: text.replace(b'"format": 1', b'"format": 1, "format": 1', 1),
    "repeated fingerprint": lambda text: text.replace(
        b'"fingerprint": ', b'"fingerprint": "%s", "fingerprint": ' % (b"0" * 64), 1
    ),
    "repeated key of a source": lambda text: text.replace(
        b'"name": "team/vit"', b'"name": "evil/vit", "name": "team/vit"', 1
    ),
    "text for a number": lambda text: lying(text, set_to("num_parameters", "1")),
    "flag for a number": lambda text: lying(text, set_to("seed", True)),
    "fraction": lambda text: lying(text, set_to("assembly_version", 2.0)),
    "negative": lambda text: lying(text, set_to("num_parameters", -1)),
    "huge number": lambda text: lying(text, set_to("num_parameters", 10**4000)),
    "larger number": lambda text: text.replace(b'"seed": 7', b'"seed": 7' + b"0" * 10_000),
    "infinity": lambda text: text.replace(b'"seed": 7', b'"seed": 1e999'),
    "not a number": lambda text: text.replace(b'"seed": 7', b'"seed": NaN'),
    "nesting": lambda text: text.replace(b'"seed": 7', b'"x": ' + b"[" * 100_000, 1),
    "too large": lambda text: text + b" " * build_record.MAX_BYTES,
    "empty": lambda _: b"",
    "no object": lambda _: b"[]",
    "another encoding": lambda text: text.decode().encode("utf-16"),
    "absolute source": lambda text: lying(
        text, lambda record: record["sources"]["encoder"].update(name="/etc", commit=None)
    ),
    "source of another alphabet": lambda text: lying(
        text, set_to("sources/encoder/name", "t\u0435am/vit")
    ),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_verify_refuses_a_record_that_is_not_one(
    name: str, verify: Verify, directory: Path, changed: Publish
) -> None:
    file = directory / "ved.json"
    file.write_bytes(BAD_RECORDS[name](file.read_bytes()))
    for subject in (directory, changed({"ved.json": file.read_bytes()})):
        status, _, err = verify(subject)
        assert status == 1
        if name != "publishing key":
            assert err.rstrip().endswith(ErrorCode.RECORD_NOT_READABLE.url)


# Sources that the caller does not trust


@pytest.fixture
def private_directory(tmp_path: Path) -> Path:
    checkpoints.gpt2(tmp_path / "private-gpt2")
    (tmp_path / "work").mkdir()
    return tmp_path / "private-gpt2"


@pytest.mark.parametrize("as_config", [False, True])
@pytest.mark.parametrize("name", ["../private-gpt2", "./private-gpt2", "private-gpt2", "..", "."])
def test_verify_reads_no_directory_that_a_record_names(
    name: str,
    as_config: bool,
    verify: Verify,
    directory: Path,
    private_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lie(record: dict[str, Any]) -> None:
        source = record["sources"]["decoder"]
        if not as_config:
            source.update(name=name, commit=None)
            source["config"] = {"name": name}
        else:
            source["config"] = {"name": name}

    file = directory / "ved.json"
    file.write_bytes(lying(file.read_bytes(), lie))
    for folder in (private_directory.parent, private_directory.parent / "work"):
        monkeypatch.chdir(folder)
        status, _, err = verify(directory)
        assert status == 1
        assert err.rstrip().endswith(ErrorCode.LOCAL_SOURCE.url)


def test_verify_of_local_sources_follows_no_link_out_of_them(
    verify: Verify, hub: LocalHub, private_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = private_directory.parent / "work"
    monkeypatch.chdir(work)
    entry = pair("owner/x", decoder="../private-gpt2")
    built = build_locally(hub, entry, work / "out")
    assert verify(built)[0] == 1
    assert verify(built, "--allow-local")[0] == 0
    weights = private_directory / "model.safetensors"
    weights.rename(work / "weights")
    weights.symlink_to(work / "weights")
    status, _, err = verify(built, "--allow-local")
    assert status == 1
    assert err.rstrip().endswith(ErrorCode.LOCAL_FILE_REFUSED.url)


def test_verify_names_private_sources(
    verify: Verify, hub: LocalHub, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, "team/private-vit", sources["vit"], private=True)
    result = build_pair(hub, pair("owner/of-a-private-source", encoder="team/private-vit"))
    assert result.action == "built"
    status, _, err = verify("owner/of-a-private-source")
    assert status == 1
    assert err.rstrip().endswith(ErrorCode.NO_SUCH_REPO.url)
    monkeypatch.setenv("HF_TOKEN", "hf_the_owners_token")
    status, out, _ = verify("owner/of-a-private-source")
    assert status == 0
    (note,) = [line for line in out.splitlines() if "private:" in line or "is private" in line]
    assert "team/private-vit@" in note


def test_verify_lists_its_sources(verify: Verify, hub: LocalHub, published: str) -> None:
    _, out, _ = verify(published)
    api: HfApi = client(hub)
    for name in ("team/vit", "team/gpt2"):
        assert f"{name}@{api.model_info(name).sha}" in out


# What a name means


def test_verify_takes_a_name_for_a_repo_and_never_for_a_folder(
    verify: Verify,
    published: str,
    directory: Path,
    changed: Publish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(directory, folder / published)
    monkeypatch.chdir(folder)
    assert verify(published)[1].startswith(f"{published}@")
    assert verify(f"./{published}")[1].startswith(f"./{published}:")
    changed({"config.json": b"{}"})
    shutil.copytree(directory, folder / f"{published}@changed")
    assert verify(f"{published}@changed")[0] == 1
    assert verify(f"./{published}@changed")[0] == 0


@pytest.mark.parametrize("name", ["owner/only-here", "only-here", "a/b/only here", "only-here/"])
def test_verify_explains_how_to_name_a_folder(
    name: str, verify: Verify, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(directory, tmp_path / "work" / name)
    monkeypatch.chdir(tmp_path / "work")
    status, _, err = verify(name)
    assert status == 2
    assert f"./{name}" in err
    assert err.rstrip().endswith(ErrorCode.WRONG_INPUT.url)
    assert verify(f"./{name}")[0] == 0


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_assemble_takes_a_name_for_a_repo_and_never_for_a_folder(
    role: str, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("vit", "gpt2"):
        (tmp_path / "team" / name).mkdir(parents=True)
    arguments = ["assemble", "--output-dir", "out", "--endpoint", hub.endpoint]
    arguments += ["--encoder-model-name-or-path", "team/vit"]
    arguments += ["--decoder-model-name-or-path", "team/gpt2"]
    assert cli.main(arguments) == 0
    checkpoints.vit(tmp_path / "only-here")
    arguments[arguments.index(f"--{role}-model-name-or-path") + 1] = "only-here"
    assert cli.main(arguments) == 2
