# SPDX-License-Identifier: Apache-2.0
"""A slow one-shot committee and a slow k-regular graph, written from the definitions.

Python integers and bytes throughout, with HKDF, the AES streams and the pair masks of
test_secagg_reference.py: what is uploaded, what a helper answers, who is whose
neighbour and what a masked vector is must be the same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import generator
from fedxdr.crypto.sealing import open_sealed
from fedxdr.secagg import client, committee, graph, server
from fedxdr.secagg.committee_stages import Committee
from fedxdr.secagg.derivation import derive_secrets
from fedxdr.secagg.stages import Partition, Roster


@pytest.fixture(scope="module")
def slow() -> ModuleType:
    path = Path(__file__).with_name("test_secagg_reference.py")
    spec = importlib.util.spec_from_file_location("secagg_definition", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["secagg_definition"] = module
    spec.loader.exec_module(module)
    return module


def packed(words: list[int], width: int) -> bytes:
    """Word i takes the bits from i * width on of one little-endian number."""
    number = sum(word % 2**width << i * width for i, word in enumerate(words))
    return number.to_bytes(-(-len(words) * width // 8), "little")


def names_bytes(sender: str, helper: str) -> bytes:
    return sender.encode() + b"\x00" + helper.encode()


def stream_words(
    slow: ModuleType,
    seed: bytes,
    transcript: bytes,
    sender: str,
    helper: str,
    *,
    d: int,
) -> list[int]:
    """PRG(r_ij): the mask stream of HKDF(r_ij, label, transcript || names)."""
    label = "fedxdr/secagg/committee-mask/v1"
    context = transcript + names_bytes(sender, helper)
    words: list[int] = slow.mask_words(slow.hkdf(seed, label, context), d)
    return words


@settings(max_examples=10, deadline=None)
@given(
    n=st.integers(2, 4),
    k=st.integers(2, 3),
    d=st.integers(1, 9),
    width=st.integers(8, 32),
    seed=st.integers(0, 2**32),
)
def test_the_fast_committee_is_the_slow_one(
    slow: ModuleType, *, n: int, k: int, d: int, width: int, seed: int
) -> None:
    random = generator(seed)
    transcript = random.bytes(32)
    names = tuple(OrgId(f"o-{index}") for index in range(n))
    secrets = {
        OrgId(f"h-{index}"): committee.derive_helper(random.bytes(32))
        for index in range(k)
    }
    agreed = Committee(
        helpers={name: secret.key for name, secret in secrets.items()},
        contributors=names,
        transcript=transcript,
        min_survivors=2,
        width=width,
    )
    plain, uploads, masks = {}, {}, {}
    for name in names:
        entropy = random.bytes(32)
        plain[name] = random.integers(0, 2**32, d, dtype=np.uint32)
        uploads[name] = committee.make_upload(
            plain[name], entropy=entropy, committee=agreed, me=name
        )
        # Seeds from entropy, vector, transcript and names; y = x - masks.
        raw = b"".join(int(word).to_bytes(4, "little") for word in plain[name])
        total = [int(word) for word in plain[name]]
        for helper, secret in secrets.items():
            r = slow.hkdf(
                entropy,
                "fedxdr/secagg/committee-seed/v1",
                hashlib.sha256(raw).digest() + transcript + names_bytes(name, helper),
            )
            masks[name, helper] = stream_words(slow, r, transcript, name, helper, d=d)
            total = [x - p for x, p in zip(total, masks[name, helper], strict=True)]
            context = (
                b"fedxdr/secagg/committee-box/v1\x00"
                + transcript
                + hashlib.sha256(uploads[name].vector).digest()
                + names_bytes(name, helper)
            )
            box = uploads[name].header.boxes[helper]
            assert open_sealed(secret.pair, box, context=context) == r
        assert uploads[name].vector == packed(total, width)

    headers = [upload.header for upload in uploads.values()]
    opened = {
        helper: committee.open_seeds(secret, headers, committee=agreed, me=helper)
        for helper, secret in secrets.items()
    }
    included = committee.close(agreed, {h: o.report for h, o in opened.items()})
    answers = {
        helper: committee.answer(held, included, size=d, committee=agreed)
        for helper, held in opened.items()
    }
    for helper, answer in answers.items():
        total = [sum(masks[name, helper][i] for name in names) for i in range(d)]
        assert answer.masks == packed(total, width)
    got = committee.open_sum(
        [(name, upload.vector) for name, upload in uploads.items()],
        size=d,
        committee=agreed,
        included=included,
        answers=answers,
    )
    for i in range(d):
        want = sum(int(plain[name][i]) for name in names) % 2**width
        assert int(got[i]) == want - (2**width if want >> (width - 1) else 0)


def neighbours_by_definition(
    names: list[str], coin: bytes, degree: int
) -> dict[str, set[str]]:
    """Within k/2 steps on the circle of names in the order of their hashes."""
    label = b"fedxdr/secagg/graph-order/v1\x00"
    rank = {
        name: hashlib.sha256(label + coin + name.encode()).hexdigest() for name in names
    }
    place = {name: i for i, name in enumerate(sorted(names, key=rank.__getitem__))}
    n = len(names)

    def steps(one: str, two: str) -> int:
        around = (place[one] - place[two]) % n
        return min(around, n - around)

    return {
        one: {two for two in names if one != two and steps(one, two) <= degree // 2}
        for one in names
    }


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(5, 40),
    half=st.integers(1, 6),
    coin=st.binary(min_size=32, max_size=32),
)
def test_the_fast_graph_is_the_slow_one(n: int, half: int, coin: bytes) -> None:
    names = [f"o-{index}" for index in range(n)]
    if 2 * half >= n - 1:
        return
    got = graph.neighbours([OrgId(name) for name in names], coin, degree=2 * half)
    want = neighbours_by_definition(names, coin, 2 * half)
    assert {name: set(near) for name, near in got.items()} == want


def test_a_masked_vector_on_a_graph_is_the_defined_one(slow: ModuleType) -> None:
    n, degree, d = 33, 4, 5
    random = generator(4)
    transcript = random.bytes(32)
    names = [OrgId(f"o-{index:02}") for index in range(n)]
    entropy = {name: random.bytes(32) for name in names}
    secrets = {name: derive_secrets(entropy[name]) for name in names}
    roster = Roster(
        keys={name: secrets[name].round_keys for name in names},
        transcript=transcript,
        threshold=23,
        min_survivors=3,
        degree=degree,
    )
    coin = hashlib.sha256(b"fedxdr/secagg/graph-coin/v1\x00" + transcript).digest()
    near = neighbours_by_definition(list(names), coin, degree)
    members = {
        name: client.join(secrets[name], roster=roster, me=name) for name in names
    }
    mails = [mail for name in names for mail in client.make_mail(members[name])]
    opened = {
        name: client.open_mail(
            members[name], [mail for mail in mails if mail.recipient == name]
        )
        for name in names
    }
    plain = {name: random.integers(0, 2**32, d, dtype=np.uint32) for name in names}
    masked = {
        name: client.mask(members[name], opened[name], plain[name]) for name in names
    }
    party = {name: slow.Party(name, entropy[name]) for name in names}
    for name in names[:3]:
        peers = [party[peer] for peer in sorted(near[name])]
        want = slow.masked_by_definition(
            party[name], peers, plain[name].tolist(), transcript
        )
        assert masked[name].tolist() == want
    # Shares: threshold 4 of a closed neighbourhood of 5, at the points of the roster.
    me = names[7]
    shares = slow.shares_by_definition(
        party[me].b,
        party[me].coefficients,
        kind="self",
        t=4,
        n=n,
        transcript=transcript,
    )
    for helper in near[me]:
        held = opened[OrgId(helper)].held[me].self_share
        assert int.from_bytes(held) == shares[names.index(OrgId(helper))]
    partition = Partition(survivors=tuple(names))
    answers = {
        name: client.answer_unmasking(members[name], opened[name], partition)
        for name in names
    }
    total = server.open_sum(
        masked.items(),
        size=d,
        roster=roster,
        partition=partition,
        revealed=server.recover(roster, partition, answers).revealed,
        mails=mails,
    )
    for i in range(d):
        assert int(total[i]) % 2**32 == sum(int(plain[v][i]) for v in names) % 2**32
