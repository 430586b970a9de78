"""Publish to a hub and read from it, as a program that runs with any version of the client.

Usage: client_scenario.py REPO TOKEN_OF_ANOTHER_USER. The client reads HF_ENDPOINT, HF_TOKEN and
HF_HOME from the environment. The results are printed as JSON and are the same for every version.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

REPO = sys.argv[1]
OTHERS_TOKEN = sys.argv[2]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }


def write_folder() -> Path:
    folder = Path(tempfile.mkdtemp())
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# Card\n")
    (folder / "config.json").write_text("{}")
    (folder / "sub").mkdir()
    (folder / "sub" / "small.msgpack").write_bytes(bytes(1000))
    (folder / "model.safetensors").write_bytes(bytes(range(250)) * 1000)
    return folder


def failure(attempt: object, *arguments: object, **options: object) -> list[object]:
    assert callable(attempt)
    try:
        attempt(*arguments, **options)
    except HfHubHTTPError as error:
        kind = type(error).__name__.replace("RemoteEntry", "Entry")
        return [kind, error.response.status_code if error.response is not None else None]
    return []


def publish(api: HfApi, folder: Path) -> dict[str, object]:
    url = api.create_repo(REPO)
    begin = api.model_info(REPO).sha
    commit = api.upload_folder(repo_id=REPO, folder_path=folder)
    unchanged = api.upload_folder(repo_id=REPO, folder_path=folder)
    stale = [CommitOperationAdd("stale", b"stale")]
    api.create_tag(REPO, tag="v1")
    return {
        "user": api.whoami()["name"],
        "created": url.repo_id,
        "head is the commit": api.model_info(REPO).sha == commit.oid,
        "unchanged files are no commit": unchanged.oid == commit.oid,
        "committed to": [commit.repo_url.repo_id, commit.repo_url.repo_type],
        "stale": failure(
            api.create_commit, REPO, stale, commit_message="stale", parent_commit=begin
        ),
        "exists": failure(api.create_repo, REPO),
        "commits": [c.title for c in api.list_repo_commits(REPO)],
        "tags": [ref.ref for ref in api.list_repo_refs(REPO).tags],
    }


def read(api: HfApi, folder: Path) -> dict[str, object]:
    info = api.model_info(REPO, files_metadata=True)
    return {
        "bit-exact": digests(Path(snapshot_download(REPO))).items() >= digests(folder).items(),
        "in a folder": Path(
            hf_hub_download(REPO, "sub/small.msgpack", revision="v1", local_dir=tempfile.mkdtemp())
        ).read_bytes()
        == bytes(1000),
        "tags": info.tags,
        "siblings": [
            [file.rfilename, file.size, file.lfs is not None] for file in info.siblings or []
        ],
        "tree": [entry.path for entry in api.list_repo_tree(REPO, recursive=True)],
        "paths": [entry.path for entry in api.get_paths_info(REPO, ["config.json", "nothing"])],
        "listed": [model.id for model in api.list_models(author=REPO.split("/")[0])],
        "no file": failure(hf_hub_download, REPO, "nothing"),
        "no revision": failure(hf_hub_download, REPO, "config.json", revision="nowhere"),
        "no repo": failure(api.model_info, REPO + "-nothing"),
        "bad token": failure(HfApi(token="hf_bad").model_info, REPO),
    }


def close(api: HfApi) -> dict[str, object]:
    stranger, nobody = HfApi(token=OTHERS_TOKEN), HfApi(token=False)
    api.update_repo_settings(REPO, gated="manual")
    seen: dict[str, object] = {
        "gated to others": failure(
            hf_hub_download, REPO, "config.json", token=OTHERS_TOKEN, cache_dir=tempfile.mkdtemp()
        ),
        "gated to nobody": failure(nobody.auth_check, REPO),
        "not theirs": failure(stranger.delete_repo, REPO),
    }
    api.update_repo_settings(REPO, private=True)
    seen |= {
        "private to others": failure(stranger.model_info, REPO),
        "private to nobody": failure(nobody.model_info, REPO),
        "private to me": api.model_info(REPO).private,
    }
    api.delete_repo(REPO)
    return seen | {"deleted": not api.repo_exists(REPO)}


def main() -> None:
    api, folder = HfApi(), write_folder()
    print(
        json.dumps({"publish": publish(api, folder), "read": read(api, folder), "end": close(api)})
    )


if __name__ == "__main__":
    main()
