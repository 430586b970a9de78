"""Licences: what the card of a checkpoint may say, given what its two sources say.

One rule: what is made of a source with a permissive licence may be published under any licence,
any other licence of a source has to be the one that the checkpoint states, and one that allows no
derivatives allows no checkpoint. What a source does not say is never guessed. The rule finds
contradictions; it does not find that all is well, and it is no legal advice.

A card states the manifest's licence or none, also where both sources have the same permissive one:
to grant a licence is the publisher's act, and such sources leave the choice open. Without a
statement, the sources' own licences still hold for what is copied from them, and the card says so.

Ids are the Hub's: https://huggingface.co/docs/hub/repositories-licenses
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ved.manifest.fields import LICENSE_PATTERN

NO_DERIVATIVES = frozenset(("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"))
"""Those that allow copies, and nothing that is made of them."""

# Those that ask for attribution, and for notices and their own text to be kept.
PERMISSIVE = frozenset(
    (
        "afl-3.0",
        "apache-2.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "bsl-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc0-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "ecl-2.0",
        "etalab-2.0",
        "isc",
        "mit",
        "ncsa",
        "odc-by",
        "pddl",
        "postgresql",
        "unlicense",
        "wtfpl",
        "zlib",
    )
)

OTHER = "other"
"""The Hub's id for a licence that has none."""

# The Hub's id for not knowing.
_UNKNOWN = "unknown"


def of_card(value: object) -> str | None:
    """Return the one licence that a repo's card states, as its id; None where it does not.

    Args:
        value: ``license`` of the card, which is a stranger's: text or a list in most cards.
    """
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if not isinstance(value, str) or not re.fullmatch(LICENSE_PATTERN, value.lower()):
        return None
    return None if value.lower() == _UNKNOWN else value.lower()


@dataclass(frozen=True)
class LicenseProblem:
    """What keeps a licence from being stated with a good conscience.

    Attributes:
        cause: what it is, for whoever reads the card.
        remedy: what the manifest's author is to do.
    """

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.remedy}."


def license_problems(stated: str | None, sources: Mapping[str, str | None]) -> list[LicenseProblem]:
    """Return the sources that say nothing, then those that bind and are not heeded.

    Args:
        stated: the licence in the manifest; None where it names none, and then nor does the card.
        sources: the licence of each source, as `of_card` returns it, by the source's name.
    """
    known = {name: found for name, found in sources.items() if found is not None}
    binding = _binding(known)
    silent = [_not_known(name, stated) for name in sources if name not in known]
    forbidding = {name: found for name, found in binding.items() if found in NO_DERIVATIVES}
    if forbidding:
        return silent + [_forbidden(name, found) for name, found in forbidding.items()]
    ids = list(binding.values())
    # Under the same "other" two sources may have different terms.
    if len(set(ids)) > 1 or ids.count(OTHER) > 1:
        return [*silent, _conflict(binding)]
    return silent + [
        _not_stated(name, found, stated) for name, found in binding.items() if found != stated
    ]


def reasoning(stated: str | None, sources: Mapping[str, str | None]) -> str:
    """Say why no `problems` are found of sources that all state a licence, in sentences.

    Args:
        stated: the licence in the manifest; None where it names none.
        sources: as in `problems`.
    """
    known = {name: found for name, found in sources.items() if found is not None}
    binding = _binding(known)
    if binding:
        names, found = " and ".join(binding), next(iter(binding.values()))
        if found == OTHER:
            return (
                f"{names} is under {_terms(OTHER)}, which its page has. The checkpoint states"
                " license: other, too, which names no terms of its own."
            )
        are = "are" if len(binding) > 1 else "is"
        return (
            f"{names} {are} under {found}, which may ask for more than attribution, and the"
            " checkpoint states the same."
        )
    ids = [*dict.fromkeys(known.values())]
    are, their = ("are", "their") if len(ids) > 1 else ("is", "its")
    permissive = (
        f"{' and '.join(ids)} {are} permissive: what is made of a model may be published under"
        f" another licence, where {their} conditions are kept for what is copied, such as"
        " attribution and the licence's text."
    )
    if stated is not None:
        return permissive
    return f"{permissive} Which one that is here, only the publisher can say: it is not guessed."


def _binding(known: Mapping[str, str]) -> dict[str, str]:
    return {name: found for name, found in known.items() if found not in PERMISSIVE}


def _not_known(name: str, stated: str | None) -> LicenseProblem:
    if stated is None:
        remedy = "find out which holds, and say it with license: in the pair"
    else:
        remedy = f"make sure that its authors allow {stated}, which the pair states"
    return LicenseProblem(f"{name} does not state one licence, and none is guessed", remedy)


def _not_stated(name: str, found: str, stated: str | None) -> LicenseProblem:
    return LicenseProblem(
        f"{name} is under {_terms(found)}, which may ask for more than attribution, and the"
        f" checkpoint states {stated or 'no licence'}",
        f"read its terms, and if they allow this checkpoint, say license: {found} in the pair",
    )


def _forbidden(name: str, found: str) -> LicenseProblem:
    return LicenseProblem(
        f"{name} is under {found}, which allows nothing that is made of it to be published",
        "ask its authors, or take another source",
    )


def _conflict(binding: Mapping[str, str]) -> LicenseProblem:
    each = " and ".join(f"{name} is under {_terms(found)}" for name, found in binding.items())
    return LicenseProblem(
        f"{each}, and one may forbid what the other demands",
        "read the terms of both, and publish this checkpoint only if they allow it together",
    )


def _terms(found: str) -> str:
    return "terms of its own (license: other)" if found == OTHER else found
