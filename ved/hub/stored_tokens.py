"""Find the tokens that huggingface_hub sends by itself."""

import configparser
from contextlib import suppress
from pathlib import Path

from huggingface_hub import constants, get_token
from huggingface_hub.utils import get_stored_tokens


def stored_tokens() -> list[str]:
    """Return the tokens in the environment and in huggingface_hub's files, each once."""
    found = [get_token() or ""]
    # get_token has raised an error by now if it needs a file that is not readable.
    with suppress(OSError, ValueError, configparser.Error):
        found.append(Path(constants.HF_TOKEN_PATH).read_text("utf-8").strip())
    with suppress(OSError, ValueError, configparser.Error):
        found += get_stored_tokens().values()
    return [token for token in dict.fromkeys(found) if token]
