"""The code on a model card: runs as it stands, and prints what shows that it worked.

Each is Python without its fences. The templates are in `templates/`; what differs between
checkpoints is decided here, so that the code has no case that is not this checkpoint's.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ved.families.lookup import find_family
from ved.markdown import code_span
from ved.record.build_record import BuildRecord


def flax_snippet(record: BuildRecord) -> str:
    """Return code that loads a checkpoint in Flax and generates text for an image."""
    return _rendered("flax", record)


def flax_training_snippet(record: BuildRecord) -> str:
    """Return code that trains a checkpoint in Flax for ten steps."""
    return _rendered("flax_training", record)


def pytorch_snippet(record: BuildRecord) -> str:
    """Return code that loads a checkpoint in PyTorch and generates text for an image.

    It has to have PyTorch's weights: see `has_pytorch`.
    """
    return _rendered("pytorch", record)


def pytorch_training_snippet(record: BuildRecord) -> str:
    """Return code that trains a checkpoint in PyTorch for ten steps; see `pytorch_snippet`."""
    return _rendered("pytorch_training", record)


def has_pytorch(record: BuildRecord) -> bool:
    """Tell whether PyTorch can read a checkpoint."""
    return "safetensors" in record.weights


def needs_ved(record: BuildRecord) -> bool:
    """Tell whether transformers' own Flax class fails, or gives other numbers than PyTorch's."""
    families = (find_family(role, each.family, role) for role, each in record.sources.items())
    return any(each.generate_fails or each.flax_differs for each in families)


@cache
def environment() -> Environment:
    """Return what renders the templates of a card."""
    # The card is Markdown, where HTML escapes would be shown as they are; `code` does the escaping.
    made = Environment(  # noqa: S701
        loader=PackageLoader("ved.record"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["code"] = code_span
    return made


def _rendered(name: str, record: BuildRecord) -> str:
    assert record.pair is not None
    return (
        environment()
        .get_template(f"{name}.py.jinja")
        .render(
            repo=record.pair.repo,
            module="ved.modeling" if needs_ved(record) else "transformers",
            is_float32=record.dtypes == {"float32"},
        )
    )
