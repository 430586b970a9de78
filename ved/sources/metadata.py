"""What the authors of a source state of it, and what of that a checkpoint's card may say, too.

Licences have a module of their own, `ved.licenses`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ved.manifest import fields
from ved.sources import licenses

if TYPE_CHECKING:
    # Importing it takes long, and a manifest is checked without the Hub.
    from huggingface_hub import ModelCardData, ModelInfo

from ved.manifest.fields import LANGUAGE_PATTERN

MAX_VALUES = 200
"""How many languages, or tags, of a source are recorded: XLM-RoBERTa has a hundred languages."""

# The Hub itself makes tags with a colon of other metadata (license:mit, dataset:x), which would
# state a licence or a dataset of this checkpoint. These are words only.
_TAG = r"[A-Za-z0-9](?:[A-Za-z0-9 ._+-]{0,98}[A-Za-z0-9+])?"

# Tags that tell of a repo's files, which are others here.
_OF_FILES = frozenset(
    ("flax", "jax", "keras", "onnx", "pytorch", "rust", "safetensors", "tensorflow", "tf", "tflite")
)

Gated = Literal[False, "auto", "manual"]


class SourceMetadata(BaseModel):
    """What a repo on the Hub states of itself; nothing of it for a local directory.

    Attributes:
        license: the id of its licence, as `ved.licenses.of_card` returns it.
        gated: whether its files go to everybody (False), to all who accept its terms ("auto"), or
            to those whom its authors admit one by one ("manual").
        language: the codes of its languages.
        tags: its authors' own tags.
    """

    model_config = ConfigDict(frozen=True)

    license: Annotated[str, Field(pattern=f"^(?:{fields.LICENSE_PATTERN})$")] | None = None
    gated: Gated = False
    language: tuple[Annotated[str, Field(pattern=f"^(?:{LANGUAGE_PATTERN})$")], ...] = ()
    tags: tuple[Annotated[str, Field(pattern=f"^(?:{_TAG})$")], ...] = ()

    @classmethod
    def of(cls, info: "ModelInfo") -> "SourceMetadata":
        """Return what a repo's card and its settings state; what is not well-formed is nothing."""
        card: ModelCardData | dict[str, object] = info.card_data or {}
        gated: Gated = "auto" if info.gated == "auto" else "manual" if info.gated else False
        return cls(
            license=licenses.of_card(card.get("license")),
            gated=gated,
            language=_well_formed(card.get("language"), LANGUAGE_PATTERN),
            tags=_well_formed(card.get("tags"), _TAG),
        )


def merge_languages(own: Sequence[str], sources: Iterable[SourceMetadata]) -> list[str]:
    """Return the languages of a checkpoint's card.

    Those that the manifest names, if it names any, and no others. If it names none, those that the
    sources agree on: a source without a language, as most encoders are, is silent and has no say;
    of the others, each has to state it. Where all are silent, or none is common, the card is
    silent.
    """
    if own:
        return list(own)
    return _common([each.language for each in sources if each.language])


def merge_tags(own: Sequence[str], sources: Iterable[SourceMetadata]) -> list[str]:
    """Return the tags of a checkpoint's card, besides those that VED gives to all.

    Those that every source has, then the manifest's. A tag tells of a model as a whole, so here a
    silent source does count: what one source alone is tagged with says nothing of the checkpoint.
    Neither do tags that the Hub makes of other metadata, and those that name a format of files.
    """
    common = _common([each.tags for each in sources])
    return list(dict.fromkeys((*(tag for tag in common if tag.lower() not in _OF_FILES), *own)))


def _common(statements: Sequence[Sequence[str]]) -> list[str]:
    first, *others = statements or [()]
    return [each for each in first if all(each in other for other in others)]


def _well_formed(value: object, pattern: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    found = (each for each in values if isinstance(each, str) and re.fullmatch(pattern, each))
    return tuple(dict.fromkeys(found))[:MAX_VALUES]
