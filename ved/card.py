"""The model card: metadata that the Hub understands, and a text that is true of this checkpoint."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from ved.manifest import Pair
from ved.markdown import code
from ved.source import ResolvedSource, Source

if TYPE_CHECKING:
    # Importing it imports jax and transformers, which what needs only FILE_NAME does not.
    from ved.assemble import Checkpoint

FILE_NAME = "README.md"
TAGS = ("vision-encoder-decoder", "warm-start", "ved")


def write(
    pair: Pair, encoder: Source, decoder: Source, checkpoint: "Checkpoint", endpoint: str
) -> None:
    """Write the card into the checkpoint's directory; it links to sources at the Hub's endpoint."""
    # The card is Markdown, where HTML escapes would be shown as they are; `code` does the escaping.
    environment = Environment(  # noqa: S701
        loader=PackageLoader("ved", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code
    text = environment.get_template("card.md.jinja").render(
        pair=pair,
        endpoint=endpoint,
        sources={"encoder": encoder.resolved, "decoder": decoder.resolved},
        checkpoint=checkpoint,
        fresh=_fresh(checkpoint),
        left_out={
            f"{ledger.role}: {name}": reason
            for ledger in checkpoint.ledgers
            for name, reason in ledger.left_out_groups().items()
        },
        remarks=(*encoder.resolved.family.remarks, *decoder.resolved.family.remarks),
        generates=decoder.resolved.family.generates,
        transformers_version=version("transformers"),
    )
    content = f"---\n{metadata(pair, encoder.resolved, decoder.resolved)}\n---\n\n{text}"
    (checkpoint.directory / FILE_NAME).write_text(content, encoding="utf-8")


def metadata(pair: Pair, encoder: ResolvedSource, decoder: ResolvedSource) -> str:
    """Return what the card tells the Hub, as YAML."""
    sources = (encoder.snapshot, decoder.snapshot)
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-to-text",
        base_model=[source.name for source in sources if source.commit] or None,
        license=pair.license,
        language=list(pair.language) or None,
        tags=list(dict.fromkeys((*TAGS, *pair.tags))),
    )
    return str(data.to_yaml())


def _fresh(checkpoint: "Checkpoint") -> dict[str, str]:
    """Return the groups of fresh parameters by their path in the checkpoint, and why."""
    return {
        group if ledger.role == "projection" else f"{ledger.role}/{group}": reason
        for ledger in checkpoint.ledgers
        for group, reason in ledger.fresh_groups().items()
    }
