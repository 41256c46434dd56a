# SPDX-License-Identifier: Apache-2.0
"""Offline proofs: the published form, every changed byte, other leaves and heads."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    MalformedMessage,
    VerificationFailed,
)
from fedxdr.ledger import cosignature, note, policy, proofs
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.merkle import Tree, leaf_hash
from fedxdr.ledger.note import Note
from fedxdr.ledger.proofs import TlogProof

ORIGIN = "example.com/fancylog"
LOG = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
LOG_PUBLIC = LOG.public_key().public_bytes_raw()
WITNESS_PUBLIC = WITNESS.public_key().public_bytes_raw()
LOG_KEY = note.verifier_key(name=ORIGIN, kind=1, public_key=LOG_PUBLIC)
WITNESS_KEY = note.verifier_key(name="w.example", kind=4, public_key=WITNESS_PUBLIC)
POLICY = policy.parse(f"log {LOG_KEY}\nwitness w {WITNESS_KEY}\nquorum w\n".encode())
ENTRIES = [b"entry %d" % i for i in range(100)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
TREE = Tree(LEAVES)


def head(size, *, root=None, origin=ORIGIN, cosigned=True):
    found = Checkpoint(origin=origin, size=size, root=root or TREE.root(size))
    body = found.body()
    lines = [
        cosignature.sign_log(body, name=ORIGIN, sign=LOG.sign, public_key=LOG_PUBLIC)
    ]
    if cosigned:
        lines.append(
            cosignature.sign_ed25519(
                body,
                name="w.example",
                timestamp=7,
                sign=WITNESS.sign,
                public_key=WITNESS_PUBLIC,
            )
        )
    return found, Note(text=body, signatures=tuple(lines)).to_bytes()


def proof(index, size, *, extra=None, **changes):
    given = {
        "index": index,
        "path": TREE.inclusion_proof(index, size),
        "checkpoint": head(size)[1],
        "extra": extra,
    }
    return proofs.write(**(given | changes))


def moved(index):
    path = TREE.inclusion_proof(41, 100)
    return proofs.write(index=index, path=path, checkpoint=head(100)[1])


# C2SP tlog-proof v1, its example; the signatures stand shortened there and are whole
# ones of other notes here.
PUBLISHED = """c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJwAAAAA=
— witness1.example mJirIklj
""".encode()


def test_the_published_form():
    found = proofs.parse(PUBLISHED)
    assert (found.index, len(found.path)) == (73894, 5)
    assert found.path[0].hex().startswith("8122b25e86195206")
    assert found.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")
    assert found.checkpoint.startswith(b"example.com/fancylog\n109482\n")
    assert found.to_bytes() == PUBLISHED


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65, 100])
def test_each_entry_of_a_log_is_proved(size):
    for index in range(size):
        data = proof(index, size)
        found = proofs.verify(data, leaf_hash=LEAVES[index], policy=POLICY)
        assert found == head(size)[0]
        assert proofs.parse(data).to_bytes() == data


def test_a_proof_as_its_bytes():
    assert proof(0, 1) == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + head(1)[1]
    with_extra = proof(0, 1, extra=b"\0\xff")
    assert with_extra.startswith(b"c2sp.org/tlog-proof@v1\nextra AP8=\nindex 0\n\n")
    assert proofs.parse(with_extra).extra == b"\0\xff"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_refused(draw):
    data = proof(41, 100)
    at = draw.draw(st.integers(0, len(data) - 1))
    byte = draw.draw(st.integers(0, 255).filter(lambda b: b != data[at]))
    with pytest.raises(InvalidInput):
        proofs.verify(
            data[:at] + bytes([byte]) + data[at + 1 :],
            leaf_hash=LEAVES[41],
            policy=POLICY,
        )


def test_every_byte_that_goes_or_comes_is_refused():
    data = proof(41, 100)
    for at in range(len(data)):
        for changed in (data[:at] + data[at + 1 :], data[:at] + b"\n" + data[at:]):
            with pytest.raises(InvalidInput):
                proofs.verify(changed, leaf_hash=LEAVES[41], policy=POLICY)


def test_extra_data_is_not_authenticated():
    plain, extra = proof(41, 100), proof(41, 100, extra=b"whatever")
    for data in (plain, extra):
        proofs.verify(data, leaf_hash=LEAVES[41], policy=POLICY)


def test_a_proof_of_one_entry_proves_no_other():
    data = proof(41, 100)
    for index, leaf in enumerate(LEAVES):
        if index != 41:
            with pytest.raises(VerificationFailed):
                proofs.verify(data, leaf_hash=leaf, policy=POLICY)
    for index in (40, 42, 99, 100, 2**62):
        with pytest.raises(VerificationFailed):
            proofs.verify(moved(index), leaf_hash=LEAVES[41], policy=POLICY)


def test_a_path_under_another_head_is_refused():
    for size in (42, 99):
        data = proof(41, 100, checkpoint=head(size)[1])
        with pytest.raises(VerificationFailed):
            proofs.verify(data, leaf_hash=LEAVES[41], policy=POLICY)
    forged = head(100, root=bytes(32))[1]
    with pytest.raises(VerificationFailed):
        proofs.verify(
            proof(41, 100, checkpoint=forged), leaf_hash=LEAVES[41], policy=POLICY
        )


def test_a_head_that_does_not_count_proves_nothing():
    for checkpoint in (
        head(100, cosigned=False)[1],
        head(100, origin="example.com/otherlog")[1],
    ):
        data = proof(41, 100, checkpoint=checkpoint)
        with pytest.raises(BadSignature):
            proofs.verify(data, leaf_hash=LEAVES[41], policy=POLICY)
    strict = policy.parse(f"log {LOG_KEY}\nquorum none\n".encode())
    proofs.verify(
        proof(41, 100, checkpoint=head(100, cosigned=False)[1]),
        leaf_hash=LEAVES[41],
        policy=strict,
    )


HEAD = head(1)[1]


# Cases with a star: transparency-dev/formats at 0b850f1, proof/tlog_proof_test.go.
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"wrong-header\nindex 0\n\n" + HEAD, id="header *"),
        pytest.param(b"c2sp.org/tlog-proof@v2\nindex 0\n\n" + HEAD, id="version"),
        pytest.param(b"c2sp.org/tlog-proof@v1 \nindex 0\n\n" + HEAD, id="space"),
        pytest.param(b"index 0\n\n" + HEAD, id="no header"),
        pytest.param(b"V\nextra !!notbase64!!\nindex 0\n\n" + HEAD, id="extra *"),
        pytest.param(b"V\nextra \nindex 0\n\n" + HEAD, id="empty extra"),
        pytest.param(b"V\nextra\nindex 0\n\n" + HEAD, id="bare extra"),
        pytest.param(b"V\nextra AP9=\nindex 0\n\n" + HEAD, id="extra, spare bits"),
        pytest.param(b"V\nindex 0\nextra AP8=\n\n" + HEAD, id="extra behind"),
        pytest.param(b"V\nextra AP8=\nextra AP8=\nindex 0\n\n" + HEAD, id="two extras"),
        pytest.param(b"V\n\n\n" + HEAD, id="no index *"),
        pytest.param(b"V\n\n" + HEAD, id="no index"),
        pytest.param(b"V\nindex notanumber\n\n" + HEAD, id="no number *"),
        pytest.param(b"V\nindex -5\n\n" + HEAD, id="negative *"),
        pytest.param(b"V\nindex 00\n\n" + HEAD, id="leading zero"),
        pytest.param(b"V\nindex  0\n\n" + HEAD, id="two spaces"),
        pytest.param(b"V\nindex 0 \n\n" + HEAD, id="space behind"),
        pytest.param(b"V\nindex\n\n" + HEAD, id="bare index"),
        pytest.param(b"V\nindex 9223372036854775808\n\n" + HEAD, id="2^63"),
        pytest.param(b"V\nIndex 0\n\n" + HEAD, id="capital"),
        pytest.param(b"V\nindex 0\n!!notbase64!!\n\n" + HEAD, id="hash *"),
        pytest.param(
            b"V\nindex 0\n" + b"A" * 86 + b"==\n\n" + HEAD, id="hash of 64 bytes *"
        ),
        pytest.param(b"V\nindex 0\n" + b"a" * 65 * 1024 + b"\n", id="long line *"),
        pytest.param(
            b"V\nindex 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + HEAD, id="64 hashes"
        ),
        pytest.param(b"V\nindex 0\n" + b"A" * 43 + b"\n\n" + HEAD, id="no padding"),
        pytest.param(b"V\nindex 0\n" + HEAD, id="no empty line"),
        pytest.param(b"V\nindex 0\n\n\n" + HEAD, id="two empty lines"),
        pytest.param(b"V\r\nindex 0\r\n\r\n" + HEAD, id="carriage returns"),
        pytest.param(b"V\nindex 0\n\n", id="no checkpoint"),
        pytest.param(b"V\nindex 0\n\ncheckpoint\n", id="other text"),
        pytest.param(b"V\nindex 0\n\n" + head(1)[0].body(), id="no signatures"),
        pytest.param(b"V\nindex 0\n\n" + HEAD[:-1], id="no last newline"),
        pytest.param(b"V\nindex 0\n\n" + HEAD + b"\n", id="one more newline"),
        pytest.param(b"V\xff\nindex 0\n\n" + HEAD, id="no UTF-8"),
        pytest.param(b"V", id="header alone"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_malformed_proofs_are_refused(data):
    whole = data.replace(b"V", b"c2sp.org/tlog-proof@v1", 1)
    for malformed in (data, whole):
        with pytest.raises(MalformedMessage):
            proofs.parse(malformed)
        with pytest.raises(MalformedMessage):
            proofs.verify(malformed, leaf_hash=LEAVES[0], policy=POLICY)


def test_the_cases_above_are_malformed_for_their_own_fault_only():
    proofs.parse(b"c2sp.org/tlog-proof@v1\nextra AP8=\nindex 0\n\n" + HEAD)
    hashes = (b"A" * 43 + b"=\n") * 63
    proofs.parse(b"c2sp.org/tlog-proof@v1\nindex 0\n" + hashes + b"\n" + HEAD)


@pytest.mark.parametrize(
    "wrong",
    [
        {"index": -1},
        {"index": 2**63 - 1},
        {"path": (bytes(31),)},
        {"path": (bytes(32),) * 64},
        {"extra": b""},
        {"extra": bytes(65_536)},
        {"checkpoint": b""},
        {"checkpoint": head(1)[0].body()},
        {"checkpoint": b"some text\n\n" + "— a AAAAAAE=\n".encode()},
    ],
)
def test_no_such_proof_can_be_made(wrong):
    right = {"index": 0, "path": (), "checkpoint": HEAD}
    TlogProof(**right)
    with pytest.raises(MalformedMessage):
        TlogProof(**(right | wrong))


def test_a_proof_has_a_limit():
    with pytest.raises(MalformedMessage, match="at most"):
        proofs.parse(proof(0, 1) + bytes(1_100_000))


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_with_our_error_only(data):
    for foreign in (data, b"c2sp.org/tlog-proof@v1\n" + data, data + proof(0, 1)):
        if data:
            with pytest.raises(InvalidInput):
                proofs.verify(foreign, leaf_hash=LEAVES[0], policy=POLICY)
