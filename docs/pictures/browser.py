"""Take pictures of HTML pages with Chromium: light or dark, without a connection."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

_MARGIN = 48
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-sync", "--force-device-scale-factor=2"),
    "--allow-file-access-from-files",
)


def take(url: str, picture: Path, *, width: int, height: int, dark: bool = False) -> None:
    """Write a picture of a page, without the empty space below its content.

    Args:
        url: the address of the page.
        picture: the PNG file to write.
        width: of the window, in CSS pixels; the picture has two pixels for each.
        height: of the window, in CSS pixels: the most that the picture can have.
        dark: whether the page gets the dark color scheme.

    Raises:
        RuntimeError: there is no Chromium.
        subprocess.CalledProcessError: Chromium failed.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        raise RuntimeError(f"Install one of {', '.join(_PROGRAMS)} to take pictures.")
    scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(  # noqa: S603
            [
                *(program, *_OPTIONS, *scheme, f"--user-data-dir={profile}"),
                *(f"--window-size={width},{height}", f"--screenshot={picture}", url),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
    _shrink(picture)


def _shrink(picture: Path) -> None:
    """Cut off the empty space at the bottom, and store fewer colors: pictures are in git."""
    with Image.open(picture) as image:
        image = image.convert("RGB")
    corner = image.getpixel((0, image.height - 1))
    content = ImageChops.difference(image, Image.new("RGB", image.size, corner)).getbbox()
    bottom = min(image.height, content[3] + _MARGIN) if content else image.height
    cut = image.crop((0, 0, image.width, bottom))
    cut.quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)
