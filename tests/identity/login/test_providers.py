from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.config.limits import Limits
from proxy.config.mistake import Mistake
from proxy.config.schema import Identity
from proxy.identity.issuers import Issuers, build_issuers
from proxy.identity.login.provider import Provider
from proxy.identity.login.providers import build_providers

URL = "https://idp.example.org"


def build(
    login: dict[str, Any], previous: dict[str, Provider] | None = None, issuers: Issuers | None = None, **identity: Any
) -> tuple[dict[str, Provider], list[Mistake], Issuers]:
    config = Identity.model_validate({"issuers": {"corp": {"issuer": URL, "login": login}}, **identity})
    built, mistakes = build_issuers(config, Limits(), issuers, lambda *_: None)
    assert not mistakes
    return *build_providers(config, built, previous or {}), built


def key_file(folder: Path, key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    file = folder / "client.key"
    file.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
    return str(file)


def test_a_provider_is_called_by_its_title_else_by_its_name() -> None:
    assert build({"client_id": "a", "title": "Example SSO"})[0]["corp"].title == "Example SSO"
    assert build({"client_id": "a"})[0]["corp"].title == "corp"


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_is_read(tmp_path: Path, form: PrivateFormat) -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())):
        providers, mistakes, _ = build({"client_id": "a", "client_key_file": key_file(tmp_path, key, form)})
        assert "corp" in providers
        assert not mistakes


def test_what_cannot_be_read_is_a_mistake_where_it_is_named(tmp_path: Path) -> None:
    absent, edwards = str(tmp_path / "absent"), key_file(tmp_path, ed25519.Ed25519PrivateKey.generate())
    for login, place in (
        ({"client_secret_file": absent}, "client_secret_file"),
        ({"client_key_file": absent}, "client_key_file"),
        ({"client_key_file": edwards}, "client_key_file"),
    ):
        providers, mistakes, _ = build({"client_id": "a", **login})
        assert not providers
        assert [mistake.path for mistake in mistakes] == [f"identity.issuers.corp.login.{place}"]
    _, mistakes, _ = build({"client_id": "a"}, groups_file=absent)
    assert [mistake.path for mistake in mistakes] == ["identity.groups_file"]


def test_a_reload_goes_on_with_what_is_known_of_a_provider() -> None:
    providers, _, issuers = build({"client_id": "a"})
    again, _, _ = build({"client_id": "b"}, providers, issuers)
    assert again["corp"].directory is providers["corp"].directory
    other, _, _ = build({"client_id": "b"}, providers)
    assert other["corp"].directory is not providers["corp"].directory
