"""Read JSON from the Hub's API: one answer, or a list that the Hub divides into pages."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ved.hub.answers import MalformedAnswerError

MAX_PAGES = 1000
"""How many pages of a list to read, at most. A page has up to 1,000 repos, or 100 collections."""

MAX_LIST_BYTES = 256 * 2**20
"""How many bytes of a list to read, at most. A page of 1,000 checkpoints has about two million."""


def fetch_json(url: str, options: Mapping[str, Any], api: HfApi) -> Any:
    """Return the JSON that the Hub answers.

    Args:
        url: an address of the Hub's API.
        options: the query.
        api: the client.

    Raises:
        HfHubHTTPError: the Hub refuses.
        MalformedAnswerError: the answer is not JSON.
    """
    return _parse(_get(url, options, api))


def fetch_pages(url: str, options: Mapping[str, Any], api: HfApi) -> Iterator[Any]:
    """Yield the entries of a list, page by page.

    Each page names the address of the next one in its header `Link`, as in RFC 8288. The session
    decides whether VED may send a request there, as for a redirect.

    Args:
        url: an address of the Hub's API.
        options: the query of the first page. The addresses of the others have their own.
        api: the client.

    Raises:
        HfHubHTTPError: the Hub refuses.
        MalformedAnswerError: a page is not a list in JSON, or names an earlier page as the next,
            or there are more than `MAX_PAGES` or `MAX_LIST_BYTES`.
    """
    read, size = set(), 0
    response = _get(url, options, api)
    while True:
        entries = _parse(response)
        if not isinstance(entries, list):
            raise MalformedAnswerError("a page of the list is not a list")
        yield from entries
        read.add(str(response.url))
        size += len(response.content)
        following = response.links.get("next", {}).get("url")
        if following is None:
            return
        following = urljoin(str(response.url), following)
        if following in read or len(read) >= MAX_PAGES or size > MAX_LIST_BYTES:
            raise MalformedAnswerError("the list has no end")
        response = _get(following, {}, api)


def _get(url: str, options: Mapping[str, Any], api: HfApi) -> httpx2.Response:
    headers = build_hf_headers(token=api.token)
    response = get_session().get(url, params=dict(options) or None, headers=headers)
    hf_raise_for_status(response)
    return response


def _parse(response: httpx2.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"not JSON: {type(error).__name__}") from error
