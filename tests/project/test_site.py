"""The site of the documentation: its pages, their links, and its navigation."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs import site

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
NAMES = site.sources()


def navigated(items: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the files of a navigation, in order."""
    for item in items:
        for value in item.values():
            if isinstance(value, str):
                yield value
            else:
                yield from navigated(value)


def test_site_navigation_has_each_page_once() -> None:
    assert sorted(navigated(CONFIG["nav"])) == sorted(NAMES.values())


@pytest.mark.parametrize("path", NAMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_site_links_stay_on_site_or_lead_to_github(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", site.convert(path.read_text("utf-8"), path, NAMES))
    for link in links:
        file = link.partition("#")[0]
        is_picture = (ROOT / "docs" / file).is_file() and file.startswith("images/")
        assert ":" in link or not file or file in NAMES.values() or is_picture, link


def test_site_links_lead_to_pages_files_and_folders() -> None:
    page = ROOT / "docs/runs.md"
    text = "[a](action.md#inputs) [b](../ved/limits.py#L1) [c](../examples/repository) [d](#x)"
    github = f"{site.REPOSITORY}/{{}}/main"
    assert site.convert(text, page, NAMES) == (
        f"[a](action.md#inputs) [b]({github.format('blob')}/ved/limits.py#L1)"
        f" [c]({github.format('tree')}/examples/repository) [d](#x)"
    )
    with pytest.raises(FileNotFoundError):
        site.convert("[a](missing.md)", page, NAMES)


def test_site_has_readme_picture_for_both_themes() -> None:
    readme = ROOT / "README.md"
    text = site.convert(readme.read_text("utf-8"), readme, NAMES)
    for name in ("warm-start-light.svg", "warm-start-dark.svg", "summary-dark.png"):
        assert f"(images/{name})" in text
        assert (ROOT / "docs/images" / name).exists()
    assert "<picture>" not in text


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 150


def test_site_loads_no_foreign_fonts() -> None:
    assert CONFIG["theme"]["font"] is False


def test_site_is_published_to_address_of_its_config() -> None:
    workflow = (ROOT / ".github/workflows/pages.yml").read_text("utf-8")
    assert f"url: {CONFIG['site_url']}\n" in workflow
