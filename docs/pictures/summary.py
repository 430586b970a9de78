"""Take the pictures of a job summary, light and dark: `python -m docs.pictures.summary`.

The action runs twice on a local Hub. Between the runs, the manifest changes so that the second run
has a pair for each action. The samples are wider than usual, so that each step takes some time.
"""

import os
import tempfile
from pathlib import Path

from ved import environment

environment.prepare()  # before the imports that read it

from docs.pictures import github  # noqa: E402
from docs.pictures.wide_samples import SOURCES  # noqa: E402
from examples.demo.runner import run_action  # noqa: E402
from ved.localhub import LocalHub, samples  # noqa: E402

FOLDER = Path(__file__).parents[1] / "images"
TOKEN = "hf_pictures"  # noqa: S105 - only for the local Hub

BEFORE = """\
namespace: my-org
defaults: {license: apache-2.0, language: en}
pairs:
  - {repo: vit-gpt2, encoder: google/vit-base-patch16-224-in21k, decoder: openai-community/gpt2}
  - {repo: dinov2-gpt2, encoder: facebook/dinov2-base, decoder: openai-community/gpt2}
  - repo: vit-bert
    encoder: google/vit-base-patch16-224-in21k
    decoder: google-bert/bert-base-uncased
"""
AFTER = """\
namespace: my-org
defaults: {license: apache-2.0, language: en}
pairs:
  - repo: vit-gpt2
    encoder: google/vit-base-patch16-224-in21k
    decoder: openai-community/gpt2
    description: For captions of plants.
  - {repo: dinov2-gpt2, encoder: facebook/dinov2-base, decoder: openai-community/gpt2}
  - repo: vit-bert
    encoder: google/vit-base-patch16-224-in21k
    decoder: google-bert/bert-base-uncased
    seed: 1
  - repo: vit-roberta
    encoder: google/vit-base-patch16-224-in21k
    decoder: FacebookAI/roberta-base
  - {repo: dinov2-roberta, encoder: facebook/dinov2-base, decoder: FacebookAI/roberta-base}
  - {repo: vit-misspelled, encoder: google/vit-bse, decoder: openai-community/gpt2}
"""


def summary() -> str:
    """Return the job summary of the second run."""
    with tempfile.TemporaryDirectory() as name, LocalHub(xet=True) as hub:
        folder = Path(name)
        hub.add_user("reader", token=TOKEN, organizations=("my-org",))
        os.environ.update(HF_HOME=str(folder / "cache"))
        samples.publish(hub, SOURCES)
        workspace = folder / "workspace"
        workspace.mkdir()
        inputs = {"token": TOKEN, "endpoint": hub.endpoint}
        for manifest in (BEFORE, AFTER):
            (workspace / "pairs.yaml").write_text(manifest)
            ran = run_action(inputs, workspace, folder)
        return ran.summary


def main() -> None:
    """Write both pictures."""
    markdown = summary()
    for theme in ("light", "dark"):
        picture = FOLDER / f"summary-{theme}.png"
        github.take(markdown, picture, width=1180, height=2000, dark=theme == "dark")
        print(picture)


if __name__ == "__main__":
    main()
