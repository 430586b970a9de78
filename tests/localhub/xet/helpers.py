"""Functions that the tests of Xet share: data, uploads, downloads, and raw requests."""

from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from huggingface_hub import HfApi, hf_hub_download

from tests.support.web import web
from ved.localhub import Exchange, LocalHub
from ved.localhub.xet import hashes


def random_bytes(size: int, *seed: object) -> bytes:
    return np.random.default_rng(list(repr(seed).encode())).bytes(size)


WEIGHTS = random_bytes(1_000_000)


def upload(api: HfApi, repo: str, content: bytes, name: str = "model.safetensors") -> None:
    api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repo)


def download(hub: LocalHub, repo: str, name: str = "model.safetensors") -> bytes:
    return Path(hf_hub_download(repo, name, endpoint=hub.endpoint)).read_bytes()


def matching(hub: LocalHub, method: str, path: str) -> list[Exchange]:
    return [e for e in hub.requests if e.method == method and path in e.path]


def sent(hub: LocalHub) -> int:
    """Return the bytes of all xorbs and LFS objects that clients sent."""
    return sum(e.bytes_in for e in hub.requests if e.method == "PUT" or "/v1/xorbs/" in e.path)


def stored_xorbs(hub: LocalHub, repo: str) -> list[Path]:
    root = hub.repository_path(repo).parents[3]
    return sorted((root / "xet" / "xorbs").glob("*/*"))


class Cas:
    """Requests to the CAS with the token of a repo that a token of the Hub gets."""

    def __init__(self, hub: LocalHub, repo: str, token: str | None, scope: str = "read") -> None:
        url = f"{hub.endpoint}/api/models/{repo}/xet-{scope}-token/main"
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = web.get(url, headers=headers)
        answer.raise_for_status()
        self.url: str = answer.json()["casUrl"]
        self.headers = {"authorization": f"Bearer {answer.json()['accessToken']}"}

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = self.headers | options.pop("headers", {})
        return web.request(method, self.url + path, headers=headers, **options)


def xet_hash(hub: LocalHub, repo: str, name: str = "model.safetensors") -> str:
    url = f"{hub.endpoint}/{repo}/resolve/main/{name}"
    return web.head(follow_redirects=False, url=url).headers["X-Xet-Hash"]


def plain_xorb(chunks: list[bytes]) -> bytes:
    """Return a xorb of chunks that are not compressed."""
    sizes = [len(chunk).to_bytes(3, "little") for chunk in chunks]
    headers = [b"\0" + size + b"\0" + size for size in sizes]
    return b"".join(header + chunk for header, chunk in zip(headers, chunks, strict=True))


def xorb_name(chunks: list[bytes]) -> str:
    nodes = [(hashes.chunk_hash(chunk), len(chunk)) for chunk in chunks]
    return hashes.to_text(hashes.xorb_hash(nodes))
