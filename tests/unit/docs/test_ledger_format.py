# SPDX-License-Identifier: Apache-2.0
"""docs/reference/ledger-format.md names what the code writes; strangers build on it."""

import dataclasses
import re
from pathlib import Path

import pytest

from fedxdr.crypto import keys
from fedxdr.ledger import block, bundle, entries, forms, note_form, provenance
from fedxdr.ledger import statements as stated
from fedxdr.ledger.block import Block, Provenance
from fedxdr.ledger.entries import MemberKeys
from fedxdr.ledger.round_rules import METRICS
from fedxdr.ledger.statements import PrivacyClaim
from fedxdr.ledger.steps import Step

TEXT = (Path(__file__).parents[3] / "docs/reference/ledger-format.md").read_text()
ROWS = {
    cells[0].strip("` "): " | ".join(cells[1:])
    for line in TEXT.splitlines()
    if line.startswith("|")
    for cells in [line.replace("\\|", "¦").strip("|").split("|")]
}


def fields(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def named(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_]+)\??`", text))


def section(number: int) -> str:
    return TEXT.split(f"\n## {number}. ")[1].split("\n## ")[0]


@pytest.mark.parametrize("tag", entries._KINDS)
def test_every_entry_is_there_with_its_fields(tag: str) -> None:
    known = fields(entries._KINDS[tag]) - {"type"}
    words = {"training", "statistics"}
    assert named(ROWS[tag]) - words == known


def test_no_other_entry_is_there() -> None:
    written = set(re.findall(r"^\| `(fedxdr/[a-z-]+/v\d)`", TEXT, flags=re.MULTILINE))
    assert written == set(entries._KINDS)


@pytest.mark.parametrize("kind", list(stated._PAYLOAD_TYPES))
def test_every_statement_is_there_with_its_fields(kind: type) -> None:
    (row,) = (r for r in ROWS.values() if f"`{stated._PAYLOAD_TYPES[kind]}`" in r)
    if kind is stated.AcceptanceStatement:
        words = set(re.findall("[A-Za-z_]+", section(5)))
        # (two fields stand there under the names that in-toto statements give them)
        assert fields(kind) - words == {"data_volume", "privacy_params"}
        assert {"dataVolume", "privacy"} <= words
        return
    assert named(row) == fields(kind)


@pytest.mark.parametrize(
    ("kind", "at"), [(Block, 3), (Provenance, 3), (PrivacyClaim, 3), (MemberKeys, 4)]
)
def test_every_field_of_a_block_is_there(kind: type, at: int) -> None:
    assert fields(kind) <= named(section(at))


def test_labels_limits_and_names_are_those_of_the_code() -> None:
    for text in (
        entries.ENTRY_LABEL,
        entries.PLAN_LABEL,
        entries.CEREMONY_LABEL,
        forms._P256.hex(),
        bundle.FORMAT,
        provenance.STATEMENT,
        provenance.ACCEPTED,
        provenance.REJECTED,
        provenance.BUILD_TYPE,
        provenance.SUBJECT,
        f"{block.BLOCK_BYTES_LIMIT:,} bytes",
        f"at most {forms.NESTING_LIMIT} objects and lists",
        f"1 to {forms.TEXT_LIMIT} characters",
        f"{note_form.MAX_NOTE_BYTES:,} bytes",
        f"{note_form.MAX_SIGNATURES:,} signature lines",
        f"integer 0 to {stated.SAMPLE_EXPONENT_MAX}",
        *METRICS,
    ):
        assert text in TEXT, text
    for name, size in keys._SIZES.items():
        assert f"`{name}`: bytes({size})" in " ".join(TEXT.split())


def test_every_step_has_its_checks() -> None:
    checks = section(8)
    for step in Step:
        number = step.split()[0]
        assert re.search(rf"^\| {number}\b|\({number}\)", checks, re.MULTILINE), step


def test_the_digests_are_those_of_the_code() -> None:
    public = keys.PublicIdentity(
        ed25519=bytes(32),
        ml_dsa_65=bytes(1952),
        tlog_ed25519=bytes(32),
        tlog_ml_dsa_44=bytes(1312),
    )
    hashed = {
        "fingerprint of keys": (public.fingerprint, bytes(32 + 1952 + 32 + 1312)),
        "keyid, Ed25519": (public.keyid, bytes(32)),
        "keyid, ML-DSA-65": (public.ml_dsa_keyid, bytes(1952)),
    }
    for name, (found, after) in hashed.items():
        label = re.search(r"`(fedxdr/[^`]+)`", ROWS[name])[1]
        assert found == block.sha256(label.encode(), b"\x00", after), name
