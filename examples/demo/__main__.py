"""The main job, from sources to checkpoints, on a Hub of this machine's own."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ved import environment

environment.prepare(progress_bars=False)  # before the imports that read it

from huggingface_hub import hf_hub_download  # noqa: E402

from examples.demo.runner import run_action  # noqa: E402
from ved.localhub import LocalHub, checkpoints, samples  # noqa: E402

TOKEN = "hf_demo"  # noqa: S105 - of the local Hub alone
SOURCES: Mapping[str, Callable[[Path], Path]] = {
    "sources/vit": checkpoints.vit,
    "sources/gpt2": partial(checkpoints.gpt2, tokenizer="transformers5"),
    "sources/beit": partial(checkpoints.beit, hidden_size=48),
    "sources/bert": partial(checkpoints.bert, dtype="float16"),
    "sources/dinov2": partial(checkpoints.dinov2, layout="flax"),
    "sources/bart": partial(checkpoints.bart, layout="sharded"),
}
"""As awkward as real ones."""


def main() -> int:
    """Run the demo, and return its exit status."""
    with tempfile.TemporaryDirectory(prefix="ved-demo-") as name, LocalHub() as hub:
        folder = Path(name)
        hub.add_user("demo", token=TOKEN)
        _say(f"A Hub of our own at {hub.endpoint}, with tiny source checkpoints on it")
        print(*samples.publish(hub, SOURCES), sep="\n")
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
