"""Write the pages of the site: `make site` runs this, and builds the site from them.

The pages are those that GitHub displays. Only their links differ: a link to another page of the
site leads there, and a link to any other file of the repository leads to GitHub.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build/site/pages"
REPOSITORY = "https://github.com/ved-action/ved"

# Pages for people who change VED stay on GitHub, which draws their diagrams.
NOT_ON_SITE = ("architecture.md", "releasing.md")

CSS = """\
/* Pictures, in the theme that the reader chose. */
[data-md-color-scheme="slate"] img[src*="-light."],
[data-md-color-scheme="default"] img[src*="-dark."] { display: none }
.md-typeset table:not([class]) td:first-child code { white-space: nowrap }
"""

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_PICTURE = re.compile(r'<picture>.*?src="(.*?)-light\.(\w+)" alt="(.*?)">\s*</picture>', re.DOTALL)
_BADGES = re.compile(r"^\[!\[.*\n", re.MULTILINE)


def sources() -> dict[Path, str]:
    """Return the file of each page, with the page's name on the site."""
    pages = {
        ROOT / "README.md": "index.md",
        ROOT / "CHANGELOG.md": "changes.md",
        ROOT / "UPGRADING.md": "upgrading.md",
        ROOT / "SECURITY.md": "security.md",
        ROOT / "CONTRIBUTING.md": "contributing.md",
        ROOT / "examples/repository/README.md": "example-repository.md",
    }
    for path in sorted((ROOT / "docs").glob("*.md")):
        if path.name not in NOT_ON_SITE:
            pages[path] = path.name
    return pages


def convert(text: str, path: Path, names: Mapping[Path, str]) -> str:
    """Return a page with the links of the site.

    Args:
        text: the page, as on GitHub.
        path: the file of the page.
        names: the name of each page on the site, by its file.

    Raises:
        FileNotFoundError: a link leads to a file that does not exist.
    """

    def link(match: re.Match[str]) -> str:
        target = (path.parent / match[1]).resolve()
        heading = match[2] or ""
        if target in names:
            return names[target] + heading
        if not target.exists():
            raise FileNotFoundError(f"{path}: {match[1]}")
        inside = target.relative_to(ROOT).as_posix()
        if inside.startswith("docs/images/"):
            return inside.removeprefix("docs/")
        return f"{REPOSITORY}/{'tree' if target.is_dir() else 'blob'}/main/{inside}{heading}"

    text = _BADGES.sub("", text)
    # GitHub chooses the picture by the system's theme; on the site, readers choose a theme.
    text = _PICTURE.sub(r"![\3](\1-light.\2) ![\3](\1-dark.\2)", text)
    return _LINK.sub(link, text)


def write() -> None:
    """Write all pages and pictures into the folder that the site is built from."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs/images", PAGES / "images")
    (PAGES / "site.css").write_text(CSS, encoding="utf-8")
    names = sources()
    for path, name in names.items():
        (PAGES / name).write_text(convert(path.read_text("utf-8"), path, names), "utf-8")


if __name__ == "__main__":
    write()
