# SPDX-License-Identifier: Apache-2.0
"""A round redone from its package and the ledger alone."""

import dataclasses

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage, NotFound, VerificationFailed
from fedxdr.federation.floor import Floor
from fedxdr.federation.sessions import Step
from fedxdr.parties import replaying


def packaged(federation):
    """Return package and blocks of the newest round, as a member fetches them."""
    link = federation.links[federation.orgs[0]]
    recorder = federation.orchestrator.recorder
    blocks = recorder.blocks(begin=0, end=recorder.size())
    name = federation.round.announcement.round_id
    return replaying.collect(link, name, blocks=blocks), blocks


@pytest.fixture
def settled(world):
    """Return a federation after two rounds."""
    federation = world(n=4)
    for _ in range(2):
        federation.start()
        federation.go_on()
    return federation


def test_a_round_comes_out_as_its_block_says(settled):
    package, blocks = packaged(settled)
    opened = replaying.replay(package, blocks=blocks)
    assert opened.model_hash == blocks[-1].block.model_hash
    assert opened.sum_digest == blocks[-1].block.entry.sum_digest


def test_a_package_has_one_form(settled):
    package, _ = packaged(settled)
    data = package.to_bytes()
    assert replaying.Package.from_bytes(data) == package
    for wrong in (b"", b"\xa0", data + b"\x00", data[:-1], cbor2.dumps([1])):
        with pytest.raises(MalformedMessage):
            replaying.Package.from_bytes(wrong)


@pytest.mark.parametrize("mode", ["clear", "committee"])
def test_other_modes_are_redone_as_well(world, mode):
    plan = {"collection_mode": mode, "max_weight_exponent": 0}
    if mode == "clear":
        plan = {"collection_mode": mode, "acknowledge_clear": True}
    if mode == "committee":
        plan["helpers"] = ("org-a", "org-b")
    federation = world(n=4, plan=plan, floor=Floor(modes=("secagg", mode)))
    federation.start()
    federation.go_on()
    package, blocks = packaged(federation)
    assert replaying.replay(package, blocks=blocks).model_hash


def test_every_changed_vector_is_found(settled):
    package, blocks = packaged(settled)
    for name, vector in package.vectors.items():
        for place in (0, len(vector) // 2, len(vector) - 1):
            wrong = bytearray(vector)
            wrong[place] ^= 1
            told = dataclasses.replace(
                package, vectors={**package.vectors, name: bytes(wrong)}
            )
            with pytest.raises(VerificationFailed, match="13 replay"):
                replaying.replay(told, blocks=blocks)


def test_what_is_missing_or_of_another_round_is_found(settled):
    package, blocks = packaged(settled)
    first = blocks[-1].block.entry.contributions
    lacking = {n: v for n, v in package.vectors.items() if n != min(first.values())}
    for wrong in (
        dataclasses.replace(package, vectors=lacking),
        dataclasses.replace(package, parent=package.parent + b"\x00"),
        dataclasses.replace(package, fetched={}),
        dataclasses.replace(package, evidence=b"{}"),
        dataclasses.replace(
            package,
            fetched={**package.fetched, Step.KEY_LIST: b"[]"},
        ),
    ):
        with pytest.raises(VerificationFailed, match="13 replay"):
            replaying.replay(wrong, blocks=blocks)
    unknown = dataclasses.replace(package, round_id="round-9")
    with pytest.raises(NotFound):
        replaying.replay(unknown, blocks=blocks)


def test_other_figures_than_the_blocks_are_found(settled):
    package, blocks = packaged(settled)
    newest = blocks[-1]
    metrics = dict(newest.block.aggregation_metrics)
    metrics["convergence"] *= 1.001
    lying = dataclasses.replace(
        newest, block=dataclasses.replace(newest.block, aggregation_metrics=metrics)
    )
    with pytest.raises(VerificationFailed, match="convergence"):
        replaying.replay(package, blocks=[*blocks[:-1], lying])


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_changed_byte_of_a_package_is_missed_or_crashes(kept, place, flip):
    package, blocks = kept
    data = bytearray(package.to_bytes())
    data[int(place * len(data))] ^= flip
    try:
        changed = replaying.Package.from_bytes(bytes(data))
    except MalformedMessage:
        return
    try:
        opened = replaying.replay(changed, blocks=blocks)
    except (VerificationFailed, NotFound):
        return
    # (signatures that a replay does not need may change; what comes out may not)
    assert opened.model_hash == blocks[-1].block.model_hash


@pytest.fixture(scope="module")
def kept(plain_world):
    """Return package and blocks of one round."""
    federation = plain_world(n=4)
    federation.start()
    federation.go_on()
    return packaged(federation)
