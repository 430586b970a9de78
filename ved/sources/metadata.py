"""The metadata of a source, as its authors state it, and the part that a card repeats.

Licenses have their own module, `ved.sources.licenses`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ved.hub.repo_info import RepoInfo
from ved.manifest.fields import LANGUAGE_PATTERN, LICENSE_PATTERN
from ved.manifest.hub_ids import languages
from ved.sources.licenses import parse_license

MAX_VALUES = 200
"""How many languages, or tags, of a source are recorded. XLM-RoBERTa has a hundred languages."""

# The Hub itself makes tags with a colon from other metadata (license:mit, dataset:x). Such a tag
# would state a license or a dataset of the checkpoint.
_TAG = r"[A-Za-z0-9](?:[A-Za-z0-9 ._+-]{0,98}[A-Za-z0-9+])?"

# Tags about the files of a repo. The checkpoint has other files.
_FORMATS = frozenset(
    ("flax", "jax", "keras", "onnx", "pytorch", "rust", "safetensors", "tensorflow", "tf", "tflite")
)

Gated = Literal[False, "auto", "manual"]


class SourceMetadata(BaseModel):
    """The metadata of a repo on the Hub; empty for a local directory.

    Attributes:
        license: the id of the license, as `ved.sources.licenses.parse_license` returns it.
        gated: whether everybody can download the files (False), everybody who accepts the terms
            ("auto"), or only people whom the authors approve ("manual").
        language: the codes of the languages.
        tags: the authors' own tags.
        moved_to: the present id of a repo that has moved since the manifest named it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    license: Annotated[str, Field(pattern=f"^(?:{LICENSE_PATTERN})$")] | None = None
    gated: Gated = False
    language: tuple[Annotated[str, Field(pattern=f"^(?:{LANGUAGE_PATTERN})$")], ...] = ()
    tags: tuple[Annotated[str, Field(pattern=f"^(?:{_TAG})$")], ...] = ()

    moved_to: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")] | None = None

    @classmethod
    def of(cls, info: RepoInfo, moved_to: str | None = None) -> "SourceMetadata":
        """Return what a repo's card and settings state. Ignores values that are not well-formed."""
        card = info.card
        gated: Gated = "auto" if info.gated == "auto" else "manual" if info.gated else False
        return cls(
            license=parse_license(card.get("license")),
            gated=gated,
            language=tuple(
                each
                for each in _well_formed(card.get("language"), LANGUAGE_PATTERN)
                if each in languages()
            ),
            tags=_well_formed(card.get("tags"), _TAG),
            moved_to=moved_to,
        )


def merge_languages(own: Sequence[str], sources: Iterable[SourceMetadata]) -> list[str]:
    """Return the languages for a checkpoint's card.

    Returns the manifest's languages if it names any. Otherwise, returns the languages that all
    sources with a language state. Most encoders state none, so they do not count.

    Args:
        own: the languages in the manifest.
        sources: the metadata of the sources.
    """
    if own:
        return list(own)
    return _common([each.language for each in sources if each.language])


def merge_tags(own: Sequence[str], sources: Iterable[SourceMetadata]) -> list[str]:
    """Return the tags for a checkpoint's card, without those that VED adds to every card.

    Returns the tags that every source has, then the manifest's. A tag describes a whole model, so
    the tag of one source alone does not describe the checkpoint. Tags of file formats are removed.

    Args:
        own: the tags in the manifest.
        sources: the metadata of the sources.
    """
    common = _common([each.tags for each in sources])
    return list(dict.fromkeys((*(tag for tag in common if tag.lower() not in _FORMATS), *own)))


def _common(statements: Sequence[Sequence[str]]) -> list[str]:
    first, *others = statements or [()]
    return [each for each in first if all(each in other for other in others)]


def _well_formed(value: object, pattern: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    found = (each for each in values if isinstance(each, str) and re.fullmatch(pattern, each))
    return tuple(dict.fromkeys(found))[:MAX_VALUES]
