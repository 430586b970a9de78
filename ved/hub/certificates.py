"""The certificates that VED trusts, and what to do about one that it does not trust."""

import ssl

import httpx2

from ved.errors import ErrorCode
from ved.hub.answers import RefusedAnswerError
from ved.text import quoted

_REMEDY = (
    "If a proxy or a Hub of your own has another authority, set SSL_CERT_FILE to a PEM file with "
    "all authorities to trust. REQUESTS_CA_BUNDLE has no effect."
)


def trusted_authorities() -> ssl.SSLContext:
    """Return the settings of encrypted connections: those of SSL_CERT_FILE, or of the system.

    Raises:
        RefusedAnswerError: the file that SSL_CERT_FILE names is missing, or has no certificates.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one, too
        raise RefusedAnswerError(
            f"the certificates of SSL_CERT_FILE cannot be read ({quoted(str(error))})",
            "Set SSL_CERT_FILE to a PEM file that exists where VED runs, such as in the container.",
            ErrorCode.CERTIFICATE_NOT_TRUSTED,
        ) from error


def not_trusted(host: str | None, error: ssl.SSLCertVerificationError) -> RefusedAnswerError:
    """Return the error of a certificate that no trusted authority has issued, or that is not valid.

    Args:
        host: the server that sent the certificate.
        error: the reason.
    """
    return RefusedAnswerError(
        f"the certificate of {quoted(host or 'the server')} is not trusted "
        f"({quoted(error.verify_message)})",
        _REMEDY,
        ErrorCode.CERTIFICATE_NOT_TRUSTED,
    )
