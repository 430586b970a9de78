"""List the error codes of docs/troubleshooting.md by section, with links."""

import re

from docs.tables import code, table
from ved.errors import ErrorCode


def error_codes(page: str) -> str:
    """Return a table of all codes.

    Args:
        page: the page, with a heading of the third level for each code.
    """
    rows = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        headings = re.findall(r"^### (.+)$", section, re.MULTILINE)
        codes = [heading.lower().replace(" ", "-") for heading in headings]
        links = [f"[{code(ErrorCode(each))}](#{each})" for each in codes]
        rows.append((section.partition("\n")[0], ", ".join(links)))
    return table(("errors of", "codes"), rows)
