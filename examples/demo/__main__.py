"""The demo: the action publishes three checkpoints to a Hub on this machine."""

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

environment.prepare()  # before the imports that read it

from huggingface_hub import hf_hub_download  # noqa: E402

from examples.demo.reading import print_summary, readable_log  # noqa: E402
from examples.demo.runner import run_action  # noqa: E402
from ved.localhub import LocalHub, samples  # noqa: E402
from ved.localhub.samples import SampleCheckpoint, SampleOptions  # noqa: E402

TOKEN = "hf_demo"  # noqa: S105 - only for the local Hub
SOURCES: Mapping[str, Callable[[], SampleCheckpoint]] = {
    "sources/vit": samples.vit,
    "sources/gpt2": partial(samples.gpt2, SampleOptions(tokenizer_format="transformers5")),
    "sources/beit": partial(samples.beit, SampleOptions(hidden_size=48)),
    "sources/bert": partial(samples.bert, SampleOptions(dtype="float16")),
    "sources/dinov2": partial(samples.dinov2, SampleOptions(layout="flax")),
    "sources/bart": partial(samples.bart, SampleOptions(layout="sharded")),
}
"""Real checkpoints differ in layout, dtype and tokenizer files, and so do these."""


def main() -> int:
    """Run the demo, and return its exit status."""
    with (
        tempfile.TemporaryDirectory(prefix="ved-demo-") as name,
        LocalHub(like_production=True) as hub,
    ):
        folder = Path(name)
        hub.add_user("demo", token=TOKEN)
        _print_heading(f"A local Hub at {hub.endpoint}, with tiny source checkpoints")
        print(*samples.publish(hub, SOURCES), sep="\n")
        return _demonstrate(hub.endpoint, folder)


def _demonstrate(endpoint: str, folder: Path) -> int:
    _print_heading("The action publishes the pairs of examples/demo/pairs.yaml")
    workspace = folder / "workspace"
    shutil.copytree(Path(__file__).parent, workspace)
    inputs = {"manifest": "pairs.yaml", "token": TOKEN, "endpoint": endpoint}
    run = run_action(inputs, workspace, folder)
    print(readable_log(run.log))
    _print_heading("The job summary")
    print_summary(run.summary)
    if run.status:
        return run.status
    _print_heading("The first snippet of the model card of demo/vit-gpt2, and its output")
    status = _run_snippet("demo/vit-gpt2", endpoint, folder)
    if not status:
        print("\nA checkpoint writes noise until you train it. Next: docs/tutorial.md")
    return status


def _run_snippet(repo: str, endpoint: str, folder: Path) -> int:
    card = hf_hub_download(repo, "README.md", endpoint=endpoint, cache_dir=folder, token=TOKEN)
    snippet = re.findall(r"```python\n(.*?)```", Path(card).read_text(), re.DOTALL)[0]
    print(snippet)
    variables = reader_variables(endpoint, folder)
    return subprocess.run([sys.executable, "-c", snippet], env=variables, check=False).returncode  # noqa: S603


def reader_variables(endpoint: str, folder: Path) -> dict[str, str]:
    """Return the environment of a reader: the user's own token is not for the local Hub."""
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "reader"), "HF_TOKEN": TOKEN}
    return {**os.environ, **own}


def _print_heading(text: str) -> None:
    print(f"\n=== {text} ===\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
