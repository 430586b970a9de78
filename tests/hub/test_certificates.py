"""Certificates: a Hub whose certificate is not trusted, and the variable that names others."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.support.publishing import TOKEN
from tests.support.servers import running
from ved.errors import ErrorCode, RequestError
from ved.hub import account, http
from ved.hub.rights import Rights

OPENSSL = shutil.which("openssl")

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificate")


class _NoHub(BaseHTTPRequestHandler):
    """Answers every request with an error, which nobody retries."""

    def do_GET(self) -> None:
        self.send_error(501)

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a new certificate for 127.0.0.1 and its key."""
    assert OPENSSL is not None
    directory = tmp_path_factory.mktemp("certificate")
    parts = [directory / name for name in ("certificate.pem", "key.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=a Hub", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(parts[0]), "-keyout", str(parts[1])]
    subprocess.run(
        [OPENSSL, "req", "-x509", *kind, *names, *files], check=True, capture_output=True
    )
    file = directory / "both.pem"
    file.write_text("".join(part.read_text() for part in parts))
    return file


@pytest.fixture
def encrypted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve by TLS on loopback, and yield the address, which is the endpoint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), _NoHub) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with running(server):
            url = f"https://127.0.0.1:{server.server_port}"
            monkeypatch.setattr(constants, "ENDPOINT", url)
            for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
                monkeypatch.delenv(name, raising=False)
            yield url


def rights(endpoint: str) -> Rights | None:
    api = http.connect(TOKEN)
    api.endpoint = endpoint
    return account.writing_rights(api)


def test_unknown_authority_is_explained_and_not_retried(
    encrypted: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ved.hub.retries.sleep", pytest.fail)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with pytest.raises(RequestError) as caught:
        rights(encrypted)
    assert caught.value.code == ErrorCode.CERTIFICATE_NOT_TRUSTED
    assert "127.0.0.1" in caught.value.cause
    assert "SSL_CERT_FILE" in (caught.value.remedy or "")


def test_authority_of_the_variable_is_trusted(
    encrypted: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert rights(encrypted) is None  # the server answered


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_file_without_certificates_is_explained(
    content: str | None, encrypted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(RequestError) as caught:
        rights(encrypted)
    assert caught.value.code == ErrorCode.CERTIFICATE_NOT_TRUSTED
    assert "SSL_CERT_FILE" in caught.value.cause
