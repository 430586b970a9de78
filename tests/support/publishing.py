"""What the tests of publishing share: sources, pairs, and a look at what became of the Hub."""

import hashlib
import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from dulwich.refs import Ref
from dulwich.repo import Repo
from huggingface_hub import HfApi
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests import checkpoints
from ved.commands import RunOptions, build
from ved.localhub import LocalHub
from ved.manifest.loading import Manifest, loads
from ved.results.result import Result

TOKEN = "hf_the_owners_token"

SAMPLES: Mapping[str, Callable[[Path], Path]] = {
    "vit": checkpoints.vit,
    "gpt2": checkpoints.gpt2,
    "bert": checkpoints.bert,
    "roberta": checkpoints.roberta,
    "bart": checkpoints.bart,
}
"""The sources that `team` has on the Hub, by name."""


def publish_samples(hub: LocalHub, folder: Path) -> dict[str, Path]:
    """Write the sample sources, publish each as `team/<name>`, and return their directories."""
    directories = {name: make(folder / name) for name, make in SAMPLES.items()}
    for name, directory in directories.items():
        publish(hub, f"team/{name}", directory)
    return directories


def client(hub: LocalHub, token: str | None = TOKEN) -> HfApi:
    """Return the Hub's client, by default with the owner's token."""
    return HfApi(hub.endpoint, token=token)


def publish(
    hub: LocalHub, repo: str, directory: Path, *, token: str = TOKEN, private: bool = False
) -> str:
    """Make a repo with a directory's files, and return its commit."""
    api = client(hub, token)
    api.create_repo(repo, private=private)
    return api.upload_folder(repo_id=repo, folder_path=directory).oid


def pair(repo: str, **keys: Any) -> dict[str, Any]:
    """Return a manifest's entry, of team/vit and team/gpt2 unless said otherwise."""
    return {"repo": repo, "encoder": "team/vit", "decoder": "team/gpt2", **keys}


def manifest(*pairs: Mapping[str, Any], folder: Path = Path()) -> Manifest:
    """Return a manifest of pairs, whose local directories are relative to a folder."""
    return loads(json.dumps({"pairs": pairs}).encode(), folder=folder)


def build_pair(
    hub: LocalHub, entry: Mapping[str, Any], *, token: str | None = TOKEN, folder: Path = Path()
) -> Result:
    """Build one pair, publish it, and return what became of it."""
    (result,) = build(manifest(entry, folder=folder), RunOptions(), client(hub, token))
    return result


def build_locally(hub: LocalHub, entry: Mapping[str, Any], directory: Path) -> Path:
    """Build one pair without publishing it, and return its checkpoint below the directory."""
    directory.mkdir()
    options = RunOptions(output_directory=directory, push=False)
    (result,) = build(manifest(entry), options, client(hub))
    assert result.action == "built", result.reason
    return directory / result.pair.repo


def heads(hub: LocalHub) -> dict[str, str]:
    """Return the newest commit of every repo, read from the disk."""
    found = {}
    for path in hub.repository_path("team/vit").parents[1].glob("*/*.git"):
        with Repo(str(path)) as repository:
            commit = repository.refs[Ref(b"refs/heads/main")]
        found[f"{path.parent.name}/{path.stem}"] = commit.decode()
    return found


def download(hub: LocalHub, repo: str, folder: Path, **options: Any) -> dict[str, bytes]:
    """Return a repo's files by name, as the Hub serves them to somebody who has none of them."""
    path = Path(client(hub).snapshot_download(repo, cache_dir=folder / "downloaded", **options))
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def files_of(directory: Path) -> dict[str, bytes]:
    """Return a directory's files by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def asked_for(hub: LocalHub, repo: str) -> set[str]:
    """Return the names of a repo's files that anybody asked the Hub for."""
    start = f"/{repo}/resolve/"
    return {
        exchange.path.removeprefix(start).split("/", 1)[1]
        for exchange in hub.requests
        if exchange.path.startswith(start)
    }


def sent(hub: LocalHub, weights: Path) -> int:
    """Return how many bytes the Hub has sent of a weight file that it stores outside git."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return sum(exchange.bytes_out for exchange in hub.requests if exchange.path.endswith(digest))


def header_size(weights: Path) -> int:
    """Return how many bytes of a safetensors file come before its tensors."""
    length = 8
    return length + int.from_bytes(weights.read_bytes()[:length], "little")


def markdown(text: str) -> list[Token]:
    """Return what a Markdown text is made of, in order, spans after the block they are in."""
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    return [token for block in blocks for token in (block, *(block.children or ()))]


def tables(text: str) -> dict[tuple[str, ...], list[list[str]]]:
    """Return a Markdown text's tables: by their headers, the cells of the rows below."""
    rows: list[list[str]] = []
    found = {}
    tokens = markdown(text)
    for token, following in pairwise(tokens):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append("".join(span.content for span in following.children or ()))
        elif token.type == "tbody_close":
            headers, *below = rows
            found[tuple(headers)] = below
    return found


def flip_bit(path: Path, place: int = -1) -> None:
    """Flip a bit of the byte at a place of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def damage(hub: LocalHub, repo: str) -> None:
    """Flip a bit of the newest file that the Hub stores outside git for a repo."""
    objects = (hub.repository_path(repo) / "lfs" / "objects").rglob("*")
    flip_bit(
        max((each for each in objects if each.is_file()), key=lambda each: each.stat().st_ctime)
    )
