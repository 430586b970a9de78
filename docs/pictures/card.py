"""Take the pictures of a model card, light and dark: `python -m docs.pictures.card`.

The sources are samples on a local Hub, as large as ViT-base and GPT-2, but with a small vocabulary.
"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ved import environment

environment.prepare()  # before the imports that read it

from huggingface_hub import HfApi  # noqa: E402

from docs.pictures import github  # noqa: E402
from ved.commands import RunOptions, build  # noqa: E402
from ved.localhub import LocalHub, samples  # noqa: E402
from ved.localhub.samples import SampleOptions  # noqa: E402
from ved.manifest.loading import loads  # noqa: E402
from ved.record import card  # noqa: E402

FOLDER = Path(__file__).parents[1] / "images"
TOKEN = "hf_pictures"  # noqa: S105 - only for the local Hub
LAYERS = {"num_hidden_layers": 12, "num_attention_heads": 12}
VIT = SampleOptions(
    hidden_size=768,
    config={**LAYERS, "image_size": 224, "patch_size": 16, "intermediate_size": 3072},
)
GPT2 = SampleOptions(hidden_size=768, config={**LAYERS, "max_position_embeddings": 1024})
SOURCES = {
    "google/vit-base-patch16-224-in21k": partial(samples.vit, VIT),
    "openai-community/gpt2": partial(samples.gpt2, GPT2),
}
MANIFEST = b"""\
pairs:
  - repo: my-org/vit-gpt2
    encoder: google/vit-base-patch16-224-in21k
    decoder: openai-community/gpt2
    license: apache-2.0
    description: For captions of plants.
"""


def checkpoint(folder: Path) -> Path:
    """Build the pair of the manifest in a folder, and return the checkpoint's directory."""
    with LocalHub() as hub:
        hub.add_user("reader", token=TOKEN)
        samples.publish(hub, SOURCES)
        options = RunOptions(output_directory=folder, push=False)
        (result,) = build(loads(MANIFEST), options, HfApi(hub.endpoint, token=TOKEN))
    return folder / result.pair.repo


def take(directory: Path, pictures: Mapping[str, Path], height: int) -> None:
    """Write pictures of a checkpoint's card as the Hub displays it, without the metadata.

    Args:
        directory: the checkpoint.
        pictures: the PNG file to write for each theme, "light" or "dark".
        height: the most that a picture can have, in CSS pixels.
    """
    _, _, text = (directory / card.FILE_NAME).read_text("utf-8").split("---\n", 2)
    for theme, picture in pictures.items():
        github.take(text, picture, base=directory, height=height, dark=theme == "dark")
        print(picture)


def main() -> None:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as name:
        pictures = {theme: FOLDER / f"card-{theme}.png" for theme in ("light", "dark")}
        take(checkpoint(Path(name) / "built"), pictures, 866)


if __name__ == "__main__":
    main()
