"""The container: build the Dockerfile, and run the image as a GitHub runner does.

VED_CONTAINER_RUNNER names the program for that: `PROGRAM CONTEXT -e KEY=VALUE... -w WORKSPACE
-o OUTPUT`. It writes the runner's files to OUTPUT/file_commands.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests import checkpoints
from tests.conftest import TOKEN
from ved.localhub import LocalHub

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RUNNER = os.environ.get("VED_CONTAINER_RUNNER")


@pytest.mark.skipif(RUNNER is None, reason="VED_CONTAINER_RUNNER is not set")
def test_container_publishes_to_hub_on_host_loopback(module_hub: LocalHub, tmp_path: Path) -> None:
    api = HfApi(module_hub.endpoint, token=TOKEN)
    for source in (checkpoints.vit(tmp_path / "vit"), checkpoints.gpt2(tmp_path / "gpt2")):
        api.create_repo(f"team/container-{source.name}")
        api.upload_folder(repo_id=f"team/container-{source.name}", folder_path=source)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "pairs.yaml").write_text(
        "pairs:\n"
        "  - repo: owner/from-container\n"
        "    encoder: team/container-vit\n"
        "    decoder: team/container-gpt2\n"
    )
    inputs = {"MANIFEST": "pairs.yaml", "TOKEN": TOKEN, "ENDPOINT": module_hub.endpoint}
    settings = [word for key, value in inputs.items() for word in ("-e", f"INPUT_{key}={value}")]

    assert RUNNER is not None
    output = tmp_path / "output"
    run = subprocess.run(
        [ROOT / RUNNER, ROOT, *settings, "-w", workspace, "-o", output],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "**1 built.**" in (output / "file_commands" / "step_summary").read_text()
    (line,) = [
        line
        for line in (output / "file_commands" / "output").read_text().splitlines()
        if line.startswith("[{")
    ]
    (result,) = json.loads(line)
    published = api.model_info("owner/from-container")
    assert result["commit"] == published.sha
    assert {"model.safetensors", "ved.json", "README.md"} <= {
        file.rfilename for file in published.siblings or ()
    }
