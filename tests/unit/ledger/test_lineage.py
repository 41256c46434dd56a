# SPDX-License-Identifier: Apache-2.0
"""From a model back to the Genesis, without gap and without branch."""

import dataclasses

import pytest

from fedxdr.core.errors import NotFound, VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.ledger.lineage import lineage
from fedxdr.ledger.steps import Step

MODELS = [sha256(b"model %d" % i) for i in range(4)]


@pytest.fixture
def blocks(federation):
    told = federation().founded().commit().fail("round-x").commit().commit()
    return [signed.block for signed in told.blocks]


def test_newest_first_and_back_to_the_genesis(blocks):
    walk = lineage(blocks, MODELS[3])
    assert [step.model_hash for step in walk] == MODELS[::-1]
    assert [step.parent_model for step in walk] == [*MODELS[2::-1], None]
    assert [step.block_height for step in walk] == [5, 4, 2, 0]
    assert [step.model_version for step in walk] == ["v3", "v2", "v1", "v0"]
    assert walk[0].training_orgs == ("alpha", "bravo", "charlie")
    assert walk[0].round_id == "round-3"
    assert walk[-1].round_id is None
    assert walk[-1].training_orgs == ()


def test_an_older_model_has_the_shorter_lineage(blocks):
    whole = lineage(blocks, MODELS[3])
    assert lineage(blocks, MODELS[1]) == whole[2:]
    assert lineage(blocks, MODELS[0]) == whole[3:]


def test_a_round_that_leaves_the_model_as_it_is_adds_no_generation(federation):
    told = federation().founded().commit(model=b"model 0").commit()
    walk = lineage([s.block for s in told.blocks], sha256(b"model 2"))
    assert [step.block_height for step in walk] == [3, 0]


def test_a_model_that_came_back_has_its_own_lineage_and_so_have_its_children(
    federation,
):
    told = federation().founded().commit().commit()
    told.retire(b"model 2", b"model 1").commit()
    found = [s.block for s in told.blocks]
    walk = lineage(found, sha256(b"model 3"))
    assert [step.block_height for step in walk] == [5, 2, 0]
    walk = lineage(found, sha256(b"model 2"))
    assert [step.block_height for step in walk] == [3, 2, 0]


def test_an_unknown_model_is_not_found(blocks):
    with pytest.raises(NotFound):
        lineage(blocks, sha256(b"another model"))
    with pytest.raises(NotFound):
        lineage([], MODELS[0])


@pytest.mark.parametrize("gap", [0, 2, 4])
def test_a_gap_is_refused(blocks, gap):
    left = [block for block in blocks if block.height != gap]
    with pytest.raises(VerificationFailed, match="no earlier block") as caught:
        lineage(left, MODELS[3])
    assert caught.value.step == Step.LINEAGE


def test_a_branch_is_refused(blocks):
    again = dataclasses.replace(blocks[4], height=6)
    with pytest.raises(VerificationFailed, match="in force before") as caught:
        lineage([*blocks, again], MODELS[3])
    assert caught.value.height == 6


def test_a_circle_is_refused(blocks):
    first, last = blocks[2], blocks[5]
    made = dataclasses.replace(first.provenance, parent_model=last.model_hash)
    blocks[2] = dataclasses.replace(first, provenance=made)
    with pytest.raises(VerificationFailed, match="no earlier block"):
        lineage(blocks, MODELS[3])
