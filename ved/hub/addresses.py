"""Which addresses VED sends requests to: the endpoint, and the addresses that a Hub names.

A Hub answers with addresses: redirects, the next page of a list, where to upload and to download.
A Hub that is not honest could lead VED to a service inside of the runner's network, and have its
answer published. So these addresses have to be public, or as private as the Hub's own address.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Set
from enum import StrEnum
from urllib.parse import urlsplit

from ved.errors import ErrorCode, RequestError
from ved.hub.answers import RefusedAnswerError
from ved.text import quoted

_URL_CHARACTERS = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+"  # RFC 3986, section 2
_HOST = r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+"

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")  # RFC 1122


class AddressClass(StrEnum):
    """The kind of network that an IP address belongs to."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    SPECIAL = "special"
    """Link-local, multicast, unspecified or reserved. Clouds have their metadata services there."""


def is_address(url: str) -> bool:
    """Return whether a text is an http or https URL that every library reads the same way.

    Refuses names and passwords before the host, and every character that a URL must not have, such
    as a backslash, a space or a control character.
    """
    if not re.fullmatch(_URL_CHARACTERS, url):
        return False
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return False
    host = parts.hostname or ""
    return is_complete and "@" not in parts.netloc and re.fullmatch(_HOST, host) is not None


def is_endpoint(url: str) -> bool:
    """Return whether a text can be the endpoint of a Hub: an address without query and fragment."""
    return is_address(url) and "?" not in url and "#" not in url


def check_endpoint(url: str) -> None:
    """Check that a text can be the endpoint of a Hub.

    Raises:
        RequestError: it cannot. The error quotes the text only if it has no password.
    """
    if is_endpoint(url):
        return
    if "://" not in url and is_endpoint(f"https://{url}"):
        scheme = "http" if is_loopback(f"http://{url}") else "https"
        cause = f"The endpoint {quoted(url)} does not begin with https:// or http://."
        remedy = f"Write {scheme}://{url}."
    else:
        cause = "The endpoint is not the address of a Hub."
        remedy = (
            "Correct the endpoint. It begins with https:// or http://, and has no user name, "
            "password, query, fragment or character that an address cannot have."
        )
    raise RequestError(cause, remedy, code=ErrorCode.WRONG_INPUT)


def is_encrypted_or_loopback(url: str) -> bool:
    """Return whether nobody on the network can read what is sent to an address."""
    scheme = urlsplit(url).scheme
    return scheme == "https" or (scheme == "http" and is_loopback(url))


def is_loopback(url: str) -> bool:
    """Return whether an address literally names the machine itself, such as 127.0.0.1."""
    return literal_class(urlsplit(url).hostname or "") == AddressClass.LOOPBACK


def classify(address: str) -> AddressClass:
    """Return the class of an IP address.

    Args:
        address: as `socket.getaddrinfo` returns it, with or without the scope of IPv6.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return classify(str(inner))
    if ip.is_loopback:
        return AddressClass.LOOPBACK
    is_local_network = ip in (_THIS_NETWORK if ip.version == 4 else _LOCAL_NAT64)
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or is_local_network:
        return AddressClass.SPECIAL
    if ip.is_reserved:
        return AddressClass.SPECIAL
    return AddressClass.PUBLIC if ip.is_global else AddressClass.PRIVATE


def literal_class(host: str) -> AddressClass | None:
    """Return the class of a host that is an IP address; None for a name.

    Args:
        host: an address in any notation that the system understands, such as 127.1, or a name.
    """
    if host.lower().rstrip(".").rpartition(".")[2] == "localhost":
        return AddressClass.LOOPBACK
    try:
        return classify(host.strip("[]"))
    except ValueError:
        pass
    try:
        return classify(socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, ValueError):
        return None


class AddressPolicy:
    """Decides which addresses a Hub may name. The sessions of all threads share it.

    Args:
        endpoint: the address of the Hub.
    """

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        literal = literal_class(parts.hostname or "")
        self.is_encrypted = parts.scheme == "https"
        self.hub_classes: Set[AddressClass] = {literal} if literal else set()

    def check_url(self, url: str) -> None:
        """Check an address that the Hub named, as far as the text shows.

        Raises:
            RefusedAnswerError: VED sends no request there.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            raise unsafe_redirect(url, "which is not an address") from None
        if parts.scheme not in ("http", "https"):
            raise unsafe_redirect(url, "which is not the address of a web server")
        if parts.scheme == "http" and self.is_encrypted:
            raise unsafe_redirect(url, "where the connection would not be encrypted")
        if literal := literal_class(host):
            self._check_classes(url, [literal])

    def check_hub(self, host: str, addresses: Iterable[str]) -> None:
        """Check the IP addresses of the Hub's host.

        The owner of the endpoint chooses them. But a name that changes from a public to a private
        address during a run would have VED read a service inside of the runner's network.

        Raises:
            RefusedAnswerError: the addresses are more private than at the first connection.
        """
        classes = {classify(address) for address in addresses}
        self.hub_classes = self.hub_classes or classes
        self._check_classes(host, classes)

    def check_other(self, host: str, addresses: Iterable[str]) -> None:
        """Check the IP addresses of a host that the Hub named.

        Raises:
            RefusedAnswerError: an address is not public, and the Hub is not in the same network.
        """
        self._check_classes(host, [classify(address) for address in addresses])

    def _check_classes(self, place: str, classes: Iterable[AddressClass]) -> None:
        for each in classes:
            if each != AddressClass.PUBLIC and each not in self.hub_classes:
                raise unsafe_redirect(place, f"which is a {each} address")


def unsafe_redirect(place: str, reason: str) -> RefusedAnswerError:
    """Return the error of an address that the Hub names, and where VED sends no request.

    Args:
        place: the URL or the host.
        reason: the rest of a sentence about it.
    """
    return RefusedAnswerError(
        f"the Hub refers to {quoted(place.partition('?')[0])}, {reason}",
        "Check the endpoint. Do not trust this Hub or proxy without knowing the reason.",
        ErrorCode.UNSAFE_REDIRECT,
    )


_REPO_PATH = re.compile(r"/api/models/([\w.-]{1,96}/[\w.-]{1,96})/", re.ASCII)


def check_same_repo(url: str, location: str) -> None:
    """Check that the Hub does not redirect a change of a repo to another repo.

    Args:
        url: the address of the request.
        location: the address of the redirect.

    Raises:
        RefusedAnswerError: the repo has another name now.
    """
    before, after = (_REPO_PATH.match(urlsplit(each).path) for each in (url, location))
    if before and after and before[1].lower() != after[1].lower():
        raise RefusedAnswerError(
            f"it has moved: its name is now {after[1]}",
            f"Write {after[1]} in the manifest, or choose a name that no repo had before.",
            ErrorCode.REPO_MOVED,
        )
