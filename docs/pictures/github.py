"""Render Markdown as GitHub does, with its style sheet and its drawings of Mermaid.

`python -m docs.pictures.github README.md README.png [dark]` takes a picture of a page.
"""

import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

from docs.pictures import browser

ROOT = Path(__file__).parents[2]
_PACKAGES = ("github-markdown-css@5", "mermaid@11")

_PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<base href="{base}">
<link rel="stylesheet" href="{css}">
<style>
  body {{ margin: 0 auto; padding: 32px; max-width: {width}px; background: {background} }}
  .mermaid {{ text-align: center }}
</style>
</head>
<body class="markdown-body">
{content}
<script src="{mermaid}"></script>
<script>mermaid.initialize({{ theme: "{theme}", startOnLoad: true }})</script>
</body>
</html>
"""


def take(
    markdown: str, picture: Path, *, base: Path = ROOT, height: int, width: int = 960, dark: bool
) -> None:
    """Write a picture of a Markdown page.

    Args:
        markdown: the page.
        picture: the PNG file to write.
        base: the folder that relative addresses of the page start from.
        height: of the picture, in CSS pixels.
        width: of the column of text, in CSS pixels.
        dark: whether to use the dark theme.
    """
    with tempfile.TemporaryDirectory() as folder:
        modules = _install(Path(folder))
        html = Path(folder) / "page.html"
        name = "github-markdown-dark.css" if dark else "github-markdown-light.css"
        text = _PAGE.format(
            base=f"{base.as_uri()}/",
            css=(modules / "github-markdown-css" / name).as_uri(),
            mermaid=(modules / "mermaid/dist/mermaid.min.js").as_uri(),
            background="#0d1117" if dark else "#ffffff",
            theme="dark" if dark else "default",
            content=_html(markdown),
            width=width,
        )
        html.write_text(text, encoding="utf-8")
        browser.take(html.as_uri(), picture, width=width + 64, height=height, dark=dark)


def _html(markdown: str) -> str:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    default = parser.renderer.rules["fence"]

    def fence(tokens, index, options, environment):  # type: ignore[no-untyped-def]
        if tokens[index].info == "mermaid":
            return f'<pre class="mermaid">{escape(tokens[index].content)}</pre>'
        return default(tokens, index, options, environment)

    parser.renderer.rules["fence"] = fence
    return str(parser.render(markdown))


def _install(folder: Path) -> Path:
    command = ["npm", "install", "--silent", "--prefix", str(folder), *_PACKAGES]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return folder / "node_modules"


if __name__ == "__main__":
    page = Path(sys.argv[1]).resolve()
    take(
        page.read_text("utf-8"),
        Path(sys.argv[2]).resolve(),
        base=page.parent,
        height=3600,
        dark="dark" in sys.argv[3:],
    )
