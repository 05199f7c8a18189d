"""TLS of a node: its certificate, whom it accepts, and why a connection failed.

A certificate admits a node to the network and names it (URI `sealscore://NAME`); it never proves a party to another
party: that is what pinned identities are for.
"""
from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from protocols.errors import ConfigError, TrustError
from protocols.node.identity_files import read_private
from protocols.node.protection import in_memory_file
from protocols.wire.codec import MAX_FRAME_BYTES, is_name

URI_PREFIX = "sealscore://"
_MESSAGE_LIMIT = MAX_FRAME_BYTES + 64 * 1024  # larger ones are refused by the codec, with a sentence
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0), ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000), ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, repr=False)
class NodeTls:
    """What HOME/tls holds, checked: PEM bytes and the node's name."""

    home: Path
    name: str
    ca: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def load(cls, home: Path) -> NodeTls:
        """Read and check; TrustError names the file and says expired, wrong authority, wrong key or no name."""
        directory = home / "tls"
        ca_pem, pem = _read(directory / "ca.crt"), _read(directory / "node.crt")
        key = read_private(directory / "node.key")
        ca, certificate = _parse(directory / "ca.crt", ca_pem), _parse(directory / "node.crt", pem)
        check_dates(ca, str(directory / "ca.crt"))
        check_dates(certificate, str(directory / "node.crt"))
        _check_issuer(certificate, ca, directory)
        _check_key(certificate, key, directory)
        return cls(home, _certificate_name(certificate, directory / "node.crt"), ca_pem, pem, key)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Mutual TLS for a server: every client needs a certificate of the same authority."""
        return grpc.ssl_server_credentials([(self.key, self.certificate)], self.ca, require_client_auth=True)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Mutual TLS for a client."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)

    def ssl_context(self) -> ssl.SSLContext:
        """The same for a plain TLS client that speaks HTTP/2."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.decode())
        with in_memory_file(self.key) as key:
            context.load_cert_chain(self.home / "tls" / "node.crt", key)
        context.set_alpn_protocols(["h2"])
        return context

    def __repr__(self) -> str:
        return f"NodeTls({self.name!r}, REDACTED)"


def peer_name(auth_context: Mapping[str, Iterable[bytes]]) -> str:
    """The node name in the certificate of a gRPC peer; TrustError unless there is exactly one."""
    names = [uri.removeprefix(URI_PREFIX) for uri in (v.decode(errors="replace") for v in _uris(auth_context))
             if uri.startswith(URI_PREFIX)]
    if len(names) != 1 or not is_name(names[0]):
        raise TrustError("expected a client certificate with one sealscore:// name")
    return names[0]


def _uris(auth_context: Mapping[str, Iterable[bytes]]) -> Iterable[bytes]:
    return auth_context.get("peer_uri", ())


def split_address(address: str) -> tuple[str, int]:
    """HOST:PORT as its two parts; ConfigError otherwise."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"address {address!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def diagnose(address: str, tls: NodeTls, timeout_s: float = 2.0) -> str | None:
    """Why TLS with a server does not work, as one sentence; None if it does or the server cannot be reached."""
    try:
        if not _closes_at_once(address, tls, timeout_s):
            return None
        time.sleep(0.5)  # a server that is just stopping looks the same: ask again
        refused = _closes_at_once(address, tls, timeout_s)
    except ssl.SSLCertVerificationError as error:
        return (f"the certificate that {address} shows is not accepted here ({error.verify_message}); check the "
                f"clock, {tls.home / 'tls' / 'ca.crt'} and the server's certificate")
    except OSError as error:
        refused = isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")
    return (f"{address} does not accept this node's certificate; both need certificates of the same authority that "
            f"have not expired") if refused else None


def _closes_at_once(address: str, tls: NodeTls, timeout_s: float) -> bool:
    """True if a server ends the connection after the handshake: with TLS 1.3 that is how it refuses a certificate."""
    host, port = split_address(address)
    family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # wrapped before it connects: a connection that is reset while it is wrapped would leave its socket open
    with tls.ssl_context().wrap_socket(socket.socket(family, kind), server_hostname=host,
                                       do_handshake_on_connect=False) as secured:
        secured.settimeout(timeout_s)
        secured.connect(place)
        if secured.getsockname() == secured.getpeername():
            return False  # a free local port connected to itself: nobody is there
        secured.do_handshake()
        return secured.recv(1) == b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrustError(f"cannot read {path} ({error.strerror}); make it with `sealscore certs init`") from None


def _parse(path: Path, pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise TrustError(f"{path} is not a PEM certificate; restore it or make new ones") from None


def check_dates(certificate: x509.Certificate, label: str) -> None:
    """TrustError if a certificate has expired or does not hold yet."""
    now = dt.datetime.now(dt.UTC)
    if now > certificate.not_valid_after_utc:
        raise TrustError(f"certificate {label} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
                         f"get a new one from the federation's authority")
    if now < certificate.not_valid_before_utc:
        raise TrustError(f"certificate {label} does not hold before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} "
                         f"UTC; check this machine's clock")


def _check_issuer(certificate: x509.Certificate, ca: x509.Certificate, directory: Path) -> None:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        raise TrustError(f"certificate {directory / 'node.crt'} is not signed by the authority in "
                         f"{directory / 'ca.crt'}; take both from the same federation") from None


def _check_key(certificate: x509.Certificate, pem: bytes, directory: Path) -> None:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise TrustError(f"{directory / 'node.key'} is not an unencrypted PEM key") from None
    if key.public_key() != certificate.public_key():
        raise TrustError(f"{directory / 'node.key'} is not the key of {directory / 'node.crt'}")


def _certificate_name(certificate: x509.Certificate, path: Path) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return peer_name({"peer_uri": [uri.encode() for uri in uris]}) if uris else _no_name(path)


def _no_name(path: Path) -> str:
    raise TrustError(f"certificate {path} names no node (URI {URI_PREFIX}NAME)")
