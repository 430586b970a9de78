"""The picture on a model card: the parts of one checkpoint, and which of them need training.

It is a file beside the card. A picture at another address would be missing for a private Hub, and
would tell a third party who reads the card.
"""

from typing import NamedTuple

from ved.families.family import Role
from ved.record import snippets
from ved.record.build_record import BuildRecord

FILE_NAME = "architecture.svg"


class _Part(NamedTuple):
    """A half in the picture. The numbers are texts of `_count`, empty if there are none."""

    name: str
    layers: int
    copied: str
    new: str


def render_picture(record: BuildRecord) -> str:
    """Return the picture of a checkpoint, as SVG for light and dark pages."""
    return _rendered("architecture.svg", record)


def describe_picture(record: BuildRecord) -> str:
    """Return a description of the picture, for people who do not see it."""
    return _rendered("architecture.txt", record)


def _rendered(name: str, record: BuildRecord) -> str:
    return (
        snippets.environment()
        .get_template(f"{name}.jinja")
        .render(
            is_new="cross-attention" in record.ledger["decoder"].initialized.values(),
            has_projection="projection" in record.ledger,
            encoder=_part(record, "encoder"),
            decoder=_part(record, "decoder"),
        )
    )


def _part(record: BuildRecord, role: Role) -> _Part:
    source, summary = record.sources[role], record.ledger[role].summary
    return _Part(
        name=source.published_family,
        layers=source.architecture.num_hidden_layers,
        copied=_count(summary.num_copied),
        new=_count(summary.num_initialized) if summary.num_initialized else "",
    )


def _count(number: int) -> str:
    """Return a number of parameters as people say it: 86.4 million."""
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number:,}"
