"""Licenses: which license a checkpoint's card may state, given the licenses of its two sources.

There is one rule. A checkpoint of sources with permissive licenses may have any license. Any other
license of a source must be the license that the checkpoint states. A license without derivatives
allows no checkpoint. VED never guesses a license that a source does not state. The rule finds
contradictions; it does not prove that all is well, and it is not legal advice.

A card states the manifest's license or none, even if both sources have the same permissive one:
only the publisher can grant a license, and such sources leave the choice open. The sources' own
licenses hold for the copied parts in any case, and the card says so.

Ids are the Hub's: https://huggingface.co/docs/hub/repositories-licenses
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ved.manifest.fields import LICENSE_PATTERN

NO_DERIVATIVES = frozenset(("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"))
"""Licenses that allow copies, but no derivatives."""

# Licenses that ask for attribution only, and to keep notices and the text of the license.
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
"""The Hub's id for a license that has no id of its own."""

_UNKNOWN = "unknown"
"""The Hub's id for a license that is not known."""


def parse_license(value: object) -> str | None:
    """Return the id of the one license that a card states; None if it states none, or several.

    Args:
        value: `license` in the metadata of the card, in any form: text or a list in most cards.
    """
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if not isinstance(value, str) or not re.fullmatch(LICENSE_PATTERN, value.lower()):
        return None
    return None if value.lower() == _UNKNOWN else value.lower()


@dataclass(frozen=True)
class LicenseProblem:
    """A reason not to state a license.

    Attributes:
        cause: what is wrong, for readers of the card. A sentence without its full stop.
        remedy: what the author of the manifest can do. A sentence without its full stop.
    """

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}. {self.remedy}."


def license_problems(own: str | None, sources: Mapping[str, str | None]) -> list[LicenseProblem]:
    """Return the sources without a license, then the contradictions between licenses.

    Args:
        own: the license in the manifest, which becomes the card's; None if it states none.
        sources: the license of each source, as `parse_license` returns it, by the source's name.
    """
    known = {name: found for name, found in sources.items() if found is not None}
    binding = _binding(known)
    unknown = [_not_known(name, own) for name in sources if name not in known]
    forbidding = {name: found for name, found in binding.items() if found in NO_DERIVATIVES}
    if forbidding:
        return unknown + [_forbidden(name, found) for name, found in forbidding.items()]
    ids = list(binding.values())
    # Two sources under "other" may have different terms.
    if len(set(ids)) > 1 or ids.count(OTHER) > 1:
        return [*unknown, _conflict(binding)]
    return unknown + [
        _not_stated(name, found, own) for name, found in binding.items() if found != own
    ]


def reasoning(own: str | None, sources: Mapping[str, str | None]) -> str:
    """Return as sentences why `license_problems` finds none, for sources that all have a license.

    Args:
        own: the license in the manifest; None if it states none.
        sources: the license of each source, by the source's name.
    """
    known = {name: found for name, found in sources.items() if found is not None}
    binding = _binding(known)
    if binding:
        names, found = " and ".join(binding), next(iter(binding.values()))
        if found == OTHER:
            return (
                f"{names} is under {_terms(OTHER)}, which its page states. The checkpoint states"
                " license: other, too, which names no terms of its own."
            )
        are = "are" if len(binding) > 1 else "is"
        return (
            f"{names} {are} under {found}, which may ask for more than attribution. The checkpoint"
            " states the same license."
        )
    ids = [*dict.fromkeys(known.values())]
    are, their = ("are", "their") if len(ids) > 1 else ("is", "its")
    permissive = (
        f"{' and '.join(ids)} {are} permissive: a derived model may have another license. The"
        f" copied parts stay under {their} conditions, such as attribution and the license's text."
    )
    if own is not None:
        return permissive
    return f"{permissive} Only the publisher can choose the checkpoint's license: none is guessed."


def _binding(known: Mapping[str, str]) -> dict[str, str]:
    return {name: found for name, found in known.items() if found not in PERMISSIVE}


def _not_known(name: str, own: str | None) -> LicenseProblem:
    if own is None:
        remedy = "Find out its license, and state the checkpoint's with license: in the pair"
    else:
        remedy = f"Make sure that its authors allow {own}, which the pair states"
    return LicenseProblem(f"{name} states no license, or more than one", remedy)


def _not_stated(name: str, found: str, own: str | None) -> LicenseProblem:
    return LicenseProblem(
        f"{name} is under {_terms(found)}, which may ask for more than attribution, and the"
        f" checkpoint states {own or 'no license'}",
        f"Read its terms. If they allow this checkpoint, set license: {found} in the pair",
    )


def _forbidden(name: str, found: str) -> LicenseProblem:
    return LicenseProblem(
        f"{name} is under {found}, which does not allow publishing derivatives",
        "Ask its authors, or use another source",
    )


def _conflict(binding: Mapping[str, str]) -> LicenseProblem:
    each = " and ".join(f"{name} is under {_terms(found)}" for name, found in binding.items())
    return LicenseProblem(
        f"{each}, and one license may forbid what the other requires",
        "Read the terms of both. Publish this checkpoint only if they allow it together",
    )


def _terms(found: str) -> str:
    return "terms of its own (license: other)" if found == OTHER else found
