"""The book on a Redis server over TLS: a certificate that is trusted opens it, and any other is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tokmagic.core.errors import ConfigurationError, LedgerError
from tokmagic.core.limits import Admitted
from tokmagic.ledgers.redis import RedisLedger
from tokmagic.ledgers.registry import open_ledger

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Desk

    Start = Callable[..., subprocess.Popen[bytes]]

SECRET = "hunter2"
HERE, ELSEWHERE = x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("book.example.org")


@dataclass
class Authority:
    """Who signs certificates, and the folder they lie in."""

    folder: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    path: Path

    @classmethod
    def found(cls, folder: Path, called: str) -> Authority:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
        authority = cls(folder, name, ec.generate_private_key(ec.SECP256R1()), folder / f"{called}.pem")
        signing = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = _certificate(name, authority, authority.key)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(signing, critical=True)
        authority._write(authority.path, made)
        return authority

    def sign(self, called: str, *hosts: x509.GeneralName) -> tuple[Path, Path]:
        """Make a certificate for these hosts; where it lies, and where its key does."""
        key, at = ec.generate_private_key(ec.SECP256R1()), self.folder / f"{called}.pem"
        made = _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)]), self, key)
        made = made.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        self._write(at, made.add_extension(identifier, critical=False))
        kept = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{called}.key").write_bytes(kept)
        return at, self.folder / f"{called}.key"

    def _write(self, at: Path, made: x509.CertificateBuilder) -> None:
        at.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _certificate(subject: x509.Name, authority: Authority, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("tls"), "ours")


@contextmanager
def secured(
    start: Start, port: int, authority: Authority, host: x509.GeneralName = HERE, asks: str = "no"
) -> Iterator[str]:
    """The host and port of a server that speaks TLS only, and whether it asks for its visitors' certificates."""
    certificate, key = authority.sign(f"server-{port}", host)
    shown = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(authority.path))
    options = ("--port", "0", "--tls-port", str(port), *shown, "--tls-auth-clients", asks, "--requirepass", SECRET)
    try:
        server = start(port, str(authority.folder), *options)
    except ChildProcessError:
        pytest.fail("redis-server does not speak TLS: install one that was built with it, as Debian's is")
    try:
        yield f":{SECRET}@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


def test_a_book_opens_over_tls_where_its_ca_is_named_and_works(
    ours: Authority, port: int, start_redis: Start, memory_desk: Desk
) -> None:
    with secured(start_redis, port, ours) as where:
        url = f"rediss://{where}?prefix=team&ssl_ca_certs={ours.path}"
        ledger = open_ledger(url, memory_desk.clock)
        entry, day = memory_desk.entry(5), memory_desk.account("10 usd/day")
        assert ledger.reserve(entry, [day], entry.id) == Admitted()
        ledger.settle(replace(entry, used=entry.charge, nanousd=5, quality="exact"))
        with_another = open_ledger(url, memory_desk.clock)
        assert [(level.spent, level.held) for level in with_another.levels([day])] == [(5, 0)]
        assert [(each.id, each.nanousd) for each in with_another.entries()] == [(entry.id, 5)]
        ledger.close()
        with_another.close()


def refused(url: str, match: str) -> None:
    """It is, in one line that keeps the password."""
    with pytest.raises(LedgerError, match=match) as error:
        RedisLedger(url)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_certificate_of_an_unknown_ca_is_refused_with_the_way_to_name_it(
    ours: Authority, port: int, start_redis: Start
) -> None:
    other = Authority.found(ours.folder, "other")
    with secured(start_redis, port, ours) as where:
        for known in ("", f"?ssl_ca_certs={other.path}"):
            refused(f"rediss://{where}{known}", r"is not trusted \(.*\): .* name that in the URL: \?ssl_ca_certs=")


def test_a_certificate_of_another_host_is_refused_with_the_host_it_should_be_for(
    ours: Authority, port: int, start_redis: Start
) -> None:
    with secured(start_redis, port, ours, ELSEWHERE) as where:
        refused(
            f"rediss://{where}?ssl_ca_certs={ours.path}", r"not valid for '127\.0\.0\.1'.*use the host name it is for"
        )


def test_a_server_that_asks_for_a_certificate_gets_the_one_the_url_names(
    ours: Authority, port: int, start_redis: Start
) -> None:
    certificate, key = ours.sign("visitor", HERE)
    with secured(start_redis, port, ours, asks="yes") as where:
        trusting = f"rediss://{where}?ssl_ca_certs={ours.path}"
        refused(trusting, r"name yours in the URL: \?ssl_certfile=")
        RedisLedger(f"{trusting}&ssl_certfile={certificate}&ssl_keyfile={key}").close()


def test_a_url_without_tls_is_told_of_it_where_the_server_speaks_nothing_else(
    ours: Authority, port: int, start_redis: Start
) -> None:
    with secured(start_redis, port, ours) as where:
        refused(f"redis://{where}", "where it speaks TLS, begin the URL with rediss://")


def test_a_file_that_is_not_there_and_an_option_without_tls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"as its ssl_ca_certs, and there is no such file"):
        RedisLedger(f"rediss://127.0.0.1:1?ssl_ca_certs={tmp_path / 'ca.pem'}")
    with pytest.raises(ConfigurationError, match="ssl_keyfile, which is for TLS: begin it with rediss://"):
        RedisLedger("redis://127.0.0.1:1?ssl_keyfile=key.pem")
