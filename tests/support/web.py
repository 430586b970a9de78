"""Requests of the tests' own, without huggingface_hub: each on a connection of its own."""

import ssl

import httpx2

web = httpx2.Client(
    follow_redirects=True,
    timeout=30,
    trust_env=False,
    limits=httpx2.Limits(max_keepalive_connections=0),
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # the authorities take a while to load
)
