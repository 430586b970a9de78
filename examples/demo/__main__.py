"""The main job, from sources to checkpoints, on a Hub of this machine's own."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ved import environment

environment.prepare(progress_bars=False)  # before the imports that read it

from huggingface_hub import HfApi, hf_hub_download  # noqa: E402

from examples.demo.runner import run_action  # noqa: E402
from ved.localhub import LocalHub, checkpoints  # noqa: E402

TOKEN = "hf_demo"  # noqa: S105 - of the local Hub alone


def main() -> int:
    """Run the demo, and return its exit status."""
    with tempfile.TemporaryDirectory(prefix="ved-demo-") as name, LocalHub() as hub:
        folder = Path(name)
        hub.add_user("demo", token=TOKEN, organisations=("sources",))
        _say(f"A Hub of our own at {hub.endpoint}, with tiny source checkpoints on it")
        _publish_sources(folder / "sources", HfApi(hub.endpoint, token=TOKEN))
        return _demonstrate(hub.endpoint, folder)


def _demonstrate(endpoint: str, folder: Path) -> int:
    _say("The action, run on examples/demo/pairs.yaml as a GitHub runner would")
    workspace = folder / "workspace"
    shutil.copytree(Path(__file__).parent, workspace)
    inputs = {"manifest": "pairs.yaml", "token": TOKEN, "endpoint": endpoint}
    run = run_action(inputs, workspace, folder)
    print(run.log)
    _say("The job summary")
    print(run.summary)
    if run.status:
        return run.status
    _say("The snippet from the model card of demo/vit-gpt2, as a researcher would run it")
    return _run_snippet("demo/vit-gpt2", endpoint, folder)


def _publish_sources(folder: Path, api: HfApi) -> None:
    """Put source checkpoints on the Hub that are as awkward as real ones."""
    sources = {
        "vit": checkpoints.vit(folder / "vit"),
        "gpt2": checkpoints.gpt2(folder / "gpt2", tokenizer="transformers5"),
        "beit": checkpoints.beit(folder / "beit", hidden_size=48),
        "bert": checkpoints.bert(folder / "bert", dtype="float16"),
        "dinov2": checkpoints.dinov2(folder / "dinov2", layout="flax"),
        "bart": checkpoints.bart(folder / "bart", layout="sharded"),
    }
    for name, directory in sources.items():
        repo = api.create_repo(f"sources/{name}").repo_id
        commit = api.upload_folder(repo_id=repo, folder_path=directory)
        print(f"{repo} at {commit.oid[:12]}")


def _run_snippet(repo: str, endpoint: str, folder: Path) -> int:
    card = hf_hub_download(repo, "README.md", endpoint=endpoint, cache_dir=folder, token=TOKEN)
    snippet = re.findall(r"```python\n(.*?)```", Path(card).read_text(), re.DOTALL)[0]
    print(snippet)
    variables = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "reader")}
    return subprocess.run([sys.executable, "-c", snippet], env=variables, check=False).returncode  # noqa: S603


def _say(what: str) -> None:
    print(f"\n=== {what} ===\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
