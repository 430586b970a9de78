"""The sockets that a hub listens on."""

import ipaddress
import socket

from ved.errors import ErrorCode, VedError


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket that listens on an IPv4 address.

    Raises:
        OSError: the port is taken, or not allowed.
    """
    sock = with_protocol(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        # Linux lets two sockets with SO_REUSEADDR bind one port; only one of them can listen.
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def with_protocol(sock: socket.socket) -> socket.socket:
    """Return a TCP socket whose `proto` is set, and detach the given one.

    asyncio sends without delay (TCP_NODELAY) only if the listening socket names its protocol.
    """
    return socket.socket(sock.family, sock.type, socket.IPPROTO_TCP, fileno=sock.detach())


def require_loopback(host: str) -> None:
    """Refuse an address that other machines can reach.

    Raises:
        VedError: the host is not an IPv4 loopback address.
    """
    try:
        is_loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise VedError(
            f"The local Hub does not serve {host!r}, because it protects nothing from the network.",
            "Use 127.0.0.1.",
            code=ErrorCode.LOCAL_HUB,
        )
