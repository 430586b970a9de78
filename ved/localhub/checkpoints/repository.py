"""The files that repositories of every family hold."""

from pathlib import Path
from typing import Any

from ved.localhub.checkpoints.options import Options
from ved.localhub.checkpoints.weights import Tensors, write_weights


def write_model(
    directory: Path,
    options: Options,
    config: Any,
    tensors: Tensors,
    *,
    license: str,
    language: str | None = None,
) -> None:
    """Write config.json, the weights and README.md; `license` where none was asked for."""
    config.save_pretrained(directory)
    write_weights(directory, options, config, tensors)
    metadata = {
        "language": language,
        "license": license if options.license is None else options.license,
    }
    lines = [f"{key}: {value}" for key, value in metadata.items() if value]
    note = "Tiny, with random weights: for demonstrations and tests only."
    text = "\n".join(["---", *lines, "---", "", f"# {config.model_type}", "", note, ""])
    (directory / "README.md").write_text(text)
