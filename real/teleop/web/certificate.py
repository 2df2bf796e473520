"""The server's certificate: made at first start, for all addresses of this computer, and renewed when those change.

Browsers offer WebXR over HTTPS alone, or at localhost, and refuse a certificate that does not name the address. Nobody
signs this one, so a browser warns once.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import stat
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dexscrew_envs.files import check_folder, replacing

FILE = "certificate.pem"
"""Holds key and certificate, so that they change together; only its owner may read it."""
_DAYS, _LEFT = 365, 30


def own_names() -> frozenset[str]:
    """Return the names and addresses of this computer, loopback included."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname().lower()}
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family in (socket.AF_INET, socket.AF_INET6) and "%" not in entry.address:
                names.add(str(ipaddress.ip_address(entry.address)))
    return frozenset(name for name in names if name)


def ensure(folder: Path, names: frozenset[str], now: datetime.datetime | None = None) -> Path:
    """Return the file of a certificate that is valid for all names, and for a month or longer; make it if need be.

    Args:
        folder: where it is kept; made if it is missing.
        names: names and addresses by which the server may be called.
        now: the time; by default now.

    Raises:
        ValueError: the folder cannot be written.
        WriteError: the disk is full, or fails.
    """
    check_folder(folder)
    path = folder / FILE
    now = now or datetime.datetime.now(datetime.UTC)
    if not _serves(path, names, now):
        _write(path, names, now)
    return path


def _serves(path: Path, names: frozenset[str], now: datetime.datetime) -> bool:
    """Return whether a file has a certificate for the names that is secret, valid, and has its key beside it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            return False
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        key = serialization.load_pem_private_key(content, None)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    covered = {str(name.value) for name in held}
    lasts = certificate.not_valid_after_utc - now > datetime.timedelta(days=_LEFT)
    began = certificate.not_valid_before_utc <= now
    return covered >= names and lasts and began and key.public_key() == certificate.public_key()


def _write(path: Path, names: frozenset[str], now: datetime.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DexScrew operator's page")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks of headsets differ
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with replacing(path) as beside:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secret + certificate.public_bytes(serialization.Encoding.PEM))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
