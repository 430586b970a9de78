"""Take pictures of HTML pages with Chromium: light or dark, without a connection."""

import shutil
import subprocess
import tempfile
from pathlib import Path

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-sync", "--force-device-scale-factor=2"),
    "--allow-file-access-from-files",
)


def take(page: Path, picture: Path, *, width: int, height: int, dark: bool = False) -> None:
    """Write a picture of a page.

    Args:
        page: an HTML file.
        picture: the PNG file to write.
        width: of the window, in CSS pixels; the picture has two pixels for each.
        height: of the window, in CSS pixels.
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
                *(f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
