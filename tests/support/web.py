"""The tests' own HTTP clients. The Hubs of the tests are not encrypted."""

import ssl

import httpx2
from huggingface_hub.utils._http import hf_request_event_hook

_TRUST_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Each client would load the authorities to trust, which takes as long as ten requests."""

web = httpx2.Client(
    follow_redirects=True,
    timeout=30,
    trust_env=False,
    limits=httpx2.Limits(max_keepalive_connections=0),
    verify=_TRUST_NOBODY,
)
"""Sends requests without huggingface_hub: each on a connection of its own."""


def default_client() -> httpx2.Client:
    """Return a client for huggingface_hub: its default one, which trusts nobody."""
    return httpx2.Client(
        event_hooks={"request": [hf_request_event_hook]},
        follow_redirects=True,
        timeout=None,
        verify=_TRUST_NOBODY,
    )
