# SPDX-License-Identifier: Apache-2.0
"""OpenSSF signatures: what they hold, and that the private key is on no disk."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from fedxdr.core.errors import BadSignature
from fedxdr.core.ids import sha256
from fedxdr.crypto.envelope import pre_authentication_encoding
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.storage import openssf

KEY = PublisherKey(seed=bytes(range(32)))
BESIDE = ("sig", "beside")


@pytest.fixture
def signed(tmp_path):
    place = tmp_path / "name"
    place.mkdir()
    for name, data in (("a", b"1"), (".gitignore", b"2"), ("beside", b"3")):
        (place / name).write_bytes(data)
    (tmp_path / "key.pem").write_bytes(KEY.public_pem)
    openssf.sign(place, place / "sig", key=KEY, beside=BESIDE)
    return place


def verify(place):
    openssf.verify(
        place, place / "sig", public_key=place.parent / "key.pem", beside=BESIDE
    )


def test_the_signature_is_an_in_toto_statement_over_all_files_but_those_named(signed):
    """Read without the library: DSSE envelope, key's name, subject, files."""
    bundle = json.loads((signed / "sig").read_bytes())
    hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    assert hint == KEY.public.fingerprint
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    (signature,) = envelope["signatures"]
    KEY.public.verify(
        pre_authentication_encoding(envelope["payloadType"], payload),
        base64.b64decode(signature["sig"]),
    )
    statement = json.loads(payload)
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert [subject["name"] for subject in statement["subject"]] == ["name"]
    files = {f["name"]: f["digest"] for f in statement["predicate"]["resources"]}
    assert files == {"a": sha256(b"1"), ".gitignore": sha256(b"2")}
    verify(signed)


def test_what_is_named_may_change_and_nothing_else(signed):
    (signed / "beside").write_bytes(b"other")
    verify(signed)
    (signed / ".gitignore").write_bytes(b"other")
    with pytest.raises(BadSignature, match="sig does not verify"):
        verify(signed)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b"null", b'{"verificationMaterial":{}}']
)
def test_what_is_no_signature_is_refused(signed, data):
    (signed / "sig").write_bytes(data)
    with pytest.raises(BadSignature):
        verify(signed)


def test_the_private_key_lies_in_memory_for_one_call(signed, monkeypatch):
    seen = []
    honest = openssf.signing.Config.use_elliptic_key_signer

    def watched(self, *, private_key, password=None):
        seen.append((private_key, str(Path(private_key).readlink())))
        assert Path(private_key).read_bytes() == KEY.private_pem()
        return honest(self, private_key=private_key, password=password)

    monkeypatch.setattr(openssf.signing.Config, "use_elliptic_key_signer", watched)
    openssf.sign(signed, signed / "sig", key=KEY, beside=BESIDE)
    ((path, target),) = seen
    assert target.startswith("/memfd:publisher")
    assert not Path(path).exists() or str(Path(path).readlink()) != target
    verify(signed)
