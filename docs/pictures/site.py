"""Take the pictures of the site: `make site`, then `python -m docs.pictures.site`."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from docs.pictures import browser

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/site/html"


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def main() -> None:
    """Write both pictures."""
    handler = partial(_QuietHandler, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for theme in ("light", "dark"):
            picture = ROOT / f"docs/images/site-{theme}.png"
            url = f"http://127.0.0.1:{server.server_port}/"
            browser.take(url, picture, width=1280, height=900, dark=theme == "dark")
            print(picture)
        server.shutdown()


if __name__ == "__main__":
    main()
