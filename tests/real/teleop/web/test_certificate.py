from __future__ import annotations

import datetime
import os

import pytest
from cryptography import x509

from real.teleop.web.certificate import FILE, ensure, own_names

NAMES = frozenset({"localhost", "127.0.0.1", "192.0.2.7", "::1"})


def read(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_it_names_every_address_and_is_secret(tmp_path):
    path = ensure(tmp_path / "new", NAMES)
    held = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in held} == NAMES
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [FILE]


def test_it_stays_as_long_as_it_serves(tmp_path):
    before = ensure(tmp_path, NAMES).read_bytes()
    assert ensure(tmp_path, NAMES - {"192.0.2.7"}).read_bytes() == before


def test_it_is_renewed_when_an_address_is_new(tmp_path):
    before = ensure(tmp_path, NAMES).read_bytes()
    assert ensure(tmp_path, NAMES | {"192.0.2.8"}).read_bytes() != before


def test_it_is_renewed_a_month_before_it_ends(tmp_path):
    before = ensure(tmp_path, NAMES).read_bytes()
    now = datetime.datetime.now(datetime.UTC)
    assert ensure(tmp_path, NAMES, now + datetime.timedelta(days=330)).read_bytes() == before
    after = ensure(tmp_path, NAMES, now + datetime.timedelta(days=340))
    assert after.read_bytes() != before
    assert read(after).not_valid_after_utc > now + datetime.timedelta(days=600)


def test_a_key_that_others_could_read_is_replaced(tmp_path):
    path = ensure(tmp_path, NAMES)
    before = path.read_bytes()
    os.chmod(path, 0o644)
    assert ensure(tmp_path, NAMES).read_bytes() != before
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN CERTIFICATE-----\nno\n", b"\x80\x04pickle"])
def test_a_damaged_file_is_replaced(tmp_path, damage):
    path = ensure(tmp_path, NAMES)
    path.write_bytes(damage)
    assert read(ensure(tmp_path, NAMES))


def test_a_file_in_the_folders_place_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="a file, not a folder"):
        ensure(tmp_path / "file", NAMES)


def test_the_names_of_this_computer_include_loopback():
    assert {"localhost", "127.0.0.1", "::1"} <= own_names()
