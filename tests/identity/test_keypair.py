"""Keys are written for their owner alone, and never over another one by accident."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from proxy.identity.keypair import pair_of, read_key_pair, refuse_existing, write_key_pair
from tests.identity.forge import HOUR, NOW, forge

AT = ("listeners", 0, "tls")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_stem_names_a_certificate_and_a_key() -> None:
    assert pair_of(Path("pki/web.v2")) == (Path("pki/web.v2.pem"), Path("pki/web.v2.key"))


def test_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    certificate, key = write_key_pair(tmp_path / "web", b"certificate", b"key")
    assert (certificate.read_bytes(), key.read_bytes()) == (b"certificate", b"key")
    assert mode_of(key) == 0o600
    assert mode_of(certificate) & 0o022 == 0


@pytest.mark.parametrize("existing", ["web.pem", "web.key"])
def test_what_exists_is_not_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_bytes(b"mine")
    with pytest.raises(FileExistsError) as raised:
        write_key_pair(tmp_path / "web", b"certificate", b"key")
    assert raised.value.filename == str(tmp_path / existing)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"mine"]


def test_a_dangling_link_exists_too(tmp_path: Path) -> None:
    (tmp_path / "web.key").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        refuse_existing(pair_of(tmp_path / "web"))


def test_force_replaces_the_file_and_not_what_a_link_points_at(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    other.chmod(0o644)
    (tmp_path / "web.key").symlink_to(other)
    _, key = write_key_pair(tmp_path / "web", b"certificate", b"key", force=True)
    assert other.read_bytes() == b"other"
    assert not key.is_symlink()
    assert mode_of(key) == 0o600


def test_force_does_not_keep_a_mode_that_let_others_read(tmp_path: Path) -> None:
    (tmp_path / "web.key").write_bytes(b"old")
    (tmp_path / "web.key").chmod(0o644)
    _, key = write_key_pair(tmp_path / "web", b"certificate", b"key", force=True)
    assert mode_of(key) == 0o600


def test_a_pair_that_was_read_serves_without_its_files(tmp_path: Path) -> None:
    forged = forge()
    certificate, key = forged.issued().write(tmp_path / "web")
    pair, mistakes = read_key_pair(certificate, key, AT, NOW.timestamp())
    assert pair is not None
    assert mistakes == []
    assert pair.not_after == (NOW + HOUR).timestamp()
    assert "PRIVATE KEY" not in repr(pair)
    certificate.unlink()
    key.unlink()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair.load_into(context)


def test_an_encrypted_key_is_a_mistake_and_not_a_question_on_the_terminal(tmp_path: Path) -> None:
    forged = forge()
    certificate, key = forged.issued().write(tmp_path / "web")
    key.write_bytes(forged.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    pair, [mistake] = read_key_pair(certificate, key, AT, NOW.timestamp())
    assert pair is None
    assert mistake.path == "listeners[0].tls.key"
    assert "must not be encrypted" in mistake.rule


def test_a_mistake_of_the_certificate_does_not_hide_one_of_the_key(tmp_path: Path) -> None:
    pair, mistakes = read_key_pair(tmp_path / "absent.pem", tmp_path / "absent.key", AT, NOW.timestamp())
    assert pair is None
    assert [mistake.path for mistake in mistakes] == ["listeners[0].tls.certificate", "listeners[0].tls.key"]


def test_a_directory_is_no_certificate(tmp_path: Path) -> None:
    _, mistakes = read_key_pair(tmp_path, tmp_path, AT, NOW.timestamp())
    assert all("must be readable" in mistake.rule for mistake in mistakes)
