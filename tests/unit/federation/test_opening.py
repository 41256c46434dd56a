# SPDX-License-Identifier: Apache-2.0
"""From contributions to the model, against a slow float64 reference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import (
    InvalidShare,
    InvalidUpdate,
    TooFewParticipants,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.core.randomness import generator
from fedxdr.core.update import Update
from fedxdr.federation import opening
from fedxdr.federation.messages import (
    KeysMessage,
    ShareMessage,
    SurvivorSet,
    UnmaskingMessage,
)
from fedxdr.models import snapshot
from fedxdr.secagg import client, packing, quantise
from fedxdr.secagg.derivation import derive_secrets
from fedxdr.secagg.stages import Partition

ROUND, TRANSCRIPT = RoundId("round-1"), sha256(b"transcript")
CLEAR = {
    "collection_mode": "clear",
    "acknowledge_clear": True,
    "aggregation_method": "FedAvg",
}
TASKS = ("training", "statistics")
HALF = {"held_out_accuracy": 0.5}


def file_of(plan, values=None) -> bytes:
    vector = np.zeros(plan.layout.size) if values is None else values
    return snapshot.save(
        np.asarray(vector, dtype=np.float32),
        layout=plan.layout,
        architecture=plan.architecture,
    )


def key_list(exponents, secrets=None) -> dict[OrgId, KeysMessage]:
    return {
        OrgId(f"org-{i:02d}"): KeysMessage(
            round_id=ROUND,
            org=OrgId(f"org-{i:02d}"),
            announcement=sha256(b"announcement"),
            sample_exponent=exponent,
            keys=None if secrets is None else secrets[i].round_keys,
        )
        for i, exponent in enumerate(exponents)
    }


# What is sent.


def test_the_vector_holds_the_update_and_then_the_metrics(plan):
    made = plan()
    assert opening.vector_size(made, "training") == 3 + 1
    assert opening.vector_size(made, "statistics") == 2
    update = Update(values=np.array([1, 2, 3], dtype=np.float32), samples=1)
    found = opening.payload(made, "training", update, {"held_out_accuracy": 0.25})
    assert found.dtype == np.float32
    assert found.tolist() == [1, 2, 3, 0.25]


@settings(max_examples=60)
@given(
    values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3),
    clip=st.sampled_from([1e-3, 0.7, 10.0, 1e6]),
)
def test_an_update_never_leaves_the_ball(values, clip, plan):
    made = plan(clip_norm=clip)
    update = Update(values=np.array(values, dtype=np.float32), samples=1)
    found = opening.payload(made, "training", update, {"held_out_accuracy": 0.0})
    norm = np.linalg.norm(found[:3].astype(np.float64))
    assert norm <= clip
    before = update.values.astype(np.float64)
    if np.linalg.norm(before) <= clip:
        assert np.array_equal(found[:3], update.values)
    else:
        # the direction stays, the length is the bound
        want = before * (clip / np.linalg.norm(before))
        assert np.allclose(found[:3], want, rtol=1e-4, atol=clip * 1e-6)


def test_statistics_are_cut_number_by_number(plan):
    made = plan(statistics_bound=2.0)
    update = Update(values=np.array([-5, 1.5], dtype=np.float32), samples=1)
    assert opening.payload(made, "statistics", update, {}).tolist() == [-2, 1.5]


@pytest.mark.parametrize("size", [2, 4, 5])
def test_an_update_of_another_length_is_refused(plan, size):
    update = Update(values=np.zeros(size, dtype=np.float32), samples=1)
    with pytest.raises(InvalidUpdate, match=r"want \(3,\)"):
        opening.payload(plan(), "training", update, HALF)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_metric_out_of_range_is_refused(plan, value):
    update = Update(values=np.zeros(3, dtype=np.float32), samples=1)
    with pytest.raises(InvalidUpdate, match="metric"):
        opening.payload(plan(), "training", update, {"held_out_accuracy": value})


def test_a_metric_that_is_missing_is_refused(plan):
    update = Update(values=np.zeros(3, dtype=np.float32), samples=1)
    with pytest.raises(InvalidUpdate, match="held_out_accuracy"):
        opening.payload(plan(), "training", update, {})


def test_a_metric_that_nobody_asked_for_is_refused(plan):
    update = Update(values=np.zeros(3, dtype=np.float32), samples=1)
    with pytest.raises(InvalidUpdate, match="epsilon"):
        opening.payload(plan(), "training", update, {**HALF, "epsilon": 0.1})


def test_metrics_survive_a_clip_norm_below_one(plan):
    made = plan(n=4, clip_norm=0.25, **CLEAR)
    keys = key_list([1, 1, 1, 1])
    update = Update(values=np.zeros(3, dtype=np.float32), samples=1)
    found = [0.0, 0.25, 0.75, 1.0]
    vectors = {
        org: opening.payload(made, "training", update, {"held_out_accuracy": value})
        .astype("<f4")
        .tobytes()
        for org, value in zip(keys, found, strict=True)
    }
    opened = opening.open_clear(
        plan=made,
        task="training",
        parent=file_of(made),
        keys=keys,
        survivors=tuple(keys),
        vector_of=vectors.__getitem__,
    )
    assert opened.metrics["held_out_accuracy"] == pytest.approx(0.5)


def test_weights_are_buckets_capped_over_the_median(plan):
    keys = key_list([0, 3, 4, 16])
    found = opening.effective_weights(plan(weight_cap_over_median=2), keys)
    assert list(found.values()) == [1, 8, 16, 16]


def test_without_keys_nobody_is_in_the_roster(plan):
    secrets = [derive_secrets(bytes([i]) * 32) for i in range(4)]
    keys = key_list([1, 1, 1, 1], secrets)
    roster = opening.roster_of(plan(), keys, TRANSCRIPT)
    assert list(roster.keys) == list(keys)
    assert roster.threshold == 3
    assert roster.transcript.hex() == TRANSCRIPT


# Opening a masked sum.


class Masked:
    """A masked round made with the organisations' own functions."""

    def __init__(self, plan, task, exponents, *, survivors, seed=0) -> None:
        self.plan, self.task = plan, task
        n = len(exponents)
        self.secrets = [derive_secrets(bytes([seed, i]) * 16) for i in range(n)]
        self.keys = key_list(exponents, self.secrets)
        self.orgs = list(self.keys)
        self.weights = opening.effective_weights(plan, self.keys)
        size = opening.vector_size(plan, task)
        coins = generator(seed, 7)
        bound = plan.bound(task)
        values = coins.normal(size=(n, size)) * bound / 4
        if task == "training":
            values[:, -1] = coins.uniform(size=n)
            norms = np.linalg.norm(values[:, :-1], axis=1, keepdims=True)
            values[:, :-1] *= np.minimum(1, bound / norms) * 0.999
        else:
            values = np.clip(values, -bound, bound)
        self.values = values.astype(np.float32)
        roster = opening.roster_of(plan, self.keys, TRANSCRIPT)
        self.members = {
            org: client.join(secret, roster=roster, me=org)
            for org, secret in zip(self.orgs, self.secrets, strict=True)
        }
        mails = [
            m for member in self.members.values() for m in client.make_mail(member)
        ]
        self.shares = [
            ShareMessage(round_id=ROUND, transcript=TRANSCRIPT, mail=m) for m in mails
        ]
        opened = {
            org: client.open_mail(member, [m for m in mails if m.recipient == org])
            for org, member in self.members.items()
        }
        self.survivors = tuple(self.orgs[i] for i in survivors)
        dropouts = tuple(o for o in self.orgs if o not in self.survivors)
        partition = Partition(survivors=self.survivors, dropouts=dropouts)
        self.quantised, self.vectors = {}, {}
        for i, org in enumerate(self.orgs):
            words = quantise.quantise(
                self.values[i],
                bound=plan.bound(task),
                bits=plan.quantisation_bits,
                participants=n,
                weight=self.weights[org],
                total_weight=sum(self.weights.values()),
                seed=bytes([i]) * 32,
            )
            self.quantised[org] = words
            masked = client.mask(self.members[org], opened[org], words)
            width = opening.upload_width(self.plan)
            self.vectors[org] = packing.pack(masked, width=width)
        self.set = SurvivorSet(
            round_id=ROUND,
            transcript=TRANSCRIPT,
            survivors=self.survivors,
            dropouts=dropouts,
            contributions={o: sha256(self.vectors[o]) for o in self.survivors},
        )
        self.answers = {}
        for org in self.survivors[: plan.threshold]:
            answer = client.answer_unmasking(self.members[org], opened[org], partition)
            self.answers[org] = UnmaskingMessage(
                round_id=ROUND,
                org=org,
                survivor_set=sha256(b"set"),
                self_shares=dict(answer.self_shares),
                key_shares=dict(answer.key_shares),
            )

    def open(self, parent: bytes, **changed) -> opening.Opened:
        how = {
            "plan": self.plan,
            "task": self.task,
            "parent": parent,
            "keys": self.keys,
            "survivor_set": self.set,
            "answers": self.answers,
            "shares": self.shares,
            "vector_of": self.vectors.__getitem__,
            **changed,
        }
        return opening.open_masked(**how)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("survivors", [(0, 1, 2, 3, 4), (0, 2, 3, 4), (1, 2, 3, 4)])
def test_the_model_is_the_weighted_mean(plan, task, survivors):
    made = plan(n=5)
    masked = Masked(made, task, [0, 2, 3, 3, 5], survivors=survivors)
    old = np.linspace(-1, 1, made.layout.size).astype(np.float32)
    opened = masked.open(file_of(made, old))
    # exact in integers
    plain = sum(
        masked.quantised[o].view(np.int32).astype(np.int64) for o in masked.survivors
    )
    assert np.array_equal(opened.sum, plain)
    assert opened.sum.dtype == np.int64
    assert opened.sum_digest == sha256(plain.astype("<i8").tobytes())
    # the mean, by definition in float64, within one quantisation step per survivor
    share = np.array([masked.weights[o] for o in masked.survivors], dtype=np.float64)
    rows = masked.values[list(survivors)].astype(np.float64)
    mean = (share[:, None] * rows).sum(axis=0) / share.sum()
    assert opened.survivors_weight == share.sum()
    scale = quantise.scale_of(
        bound=made.bound(task), bits=made.quantisation_bits, participants=5
    )
    total = sum(masked.weights.values())
    step = (len(survivors) + 1) / (scale * share.sum() / total)
    new = snapshot.load(opened.snapshot).vector.astype(np.float64)
    if task == "training":
        assert np.array_equal(new[:2], old[:2])
        assert np.abs(new[2:] - (old[2:] + mean[:3])).max() < step + 1e-6
        assert abs(opened.metrics["held_out_accuracy"] - mean[3]) < step
        assert opened.gradient_norm == pytest.approx(
            np.linalg.norm(mean[:3]), abs=2 * step
        )
    else:
        assert np.array_equal(new[2:], old[2:])
        assert np.abs(new[:2] - mean).max() < step + 1e-5
        assert opened.metrics == {}
    assert opened.convergence == pytest.approx(np.linalg.norm(new - old), rel=1e-9)
    assert opened.model_hash == sha256(opened.snapshot)


def test_whoever_opens_it_again_gets_the_same_bits(plan):
    made = plan(n=5)
    masked = Masked(made, "training", [1, 2, 3, 4, 5], survivors=(0, 1, 3, 4))
    parent = file_of(made)
    first = masked.open(parent)
    shuffled = masked.open(
        parent,
        answers=dict(reversed(masked.answers.items())),
        shares=reversed(masked.shares),
        keys=dict(reversed(masked.keys.items())),
    )
    assert first.snapshot == shuffled.snapshot
    assert first.sum_digest == shuffled.sum_digest


def test_another_vector_gives_another_model(plan):
    made = plan(n=4)
    masked = Masked(made, "training", [1, 1, 1, 1], survivors=(0, 1, 2, 3))
    org = masked.orgs[0]
    changed = bytearray(masked.vectors[org])
    changed[0] ^= 1
    vectors = {**masked.vectors, org: bytes(changed)}
    parent = file_of(made)
    assert (
        masked.open(parent).sum_digest
        != masked.open(parent, vector_of=vectors.__getitem__).sum_digest
    )


def test_what_does_not_open_is_refused(plan):
    made = plan(n=5)
    masked = Masked(made, "training", [1] * 5, survivors=(0, 1, 2, 3))
    parent = file_of(made)
    few = dict(list(masked.answers.items())[:3])
    with pytest.raises(TooFewParticipants):
        masked.open(parent, answers=few)
    org = masked.orgs[0]
    wrong = dataclasses.replace(
        masked.answers[org],
        self_shares={o: bytes(33) for o in masked.answers[org].self_shares},
    )
    with pytest.raises(InvalidShare):
        masked.open(parent, answers={**masked.answers, org: wrong})
    short = {**masked.vectors, org: masked.vectors[org][:-4]}
    with pytest.raises(InvalidUpdate, match="org-00"):
        masked.open(parent, vector_of=short.__getitem__)


# Mode clear.


def clear_round(plan, task="training", **how):
    made = plan(n=4, **{**CLEAR, **how})
    keys = key_list([0, 2, 3, 3])
    size = opening.vector_size(made, task)
    values = generator(5).normal(size=(4, size)).astype(np.float32)
    if task == "training":
        values[:, -1] = 0.5
    vectors = dict(
        zip(keys, (row.astype("<f4").tobytes() for row in values), strict=True)
    )
    return made, keys, values, vectors


@pytest.mark.parametrize("task", TASKS)
def test_updates_in_the_clear_give_the_weighted_mean(plan, task):
    made, keys, values, vectors = clear_round(plan, task)
    survivors = tuple(sorted(keys))[:3]
    opened = opening.open_clear(
        plan=made,
        task=task,
        parent=file_of(made),
        keys=keys,
        survivors=survivors,
        vector_of=vectors.__getitem__,
    )
    weights = opening.effective_weights(made, keys)
    share = np.array([weights[o] for o in survivors], dtype=np.float64)
    mean = (share[:, None] * values[:3].astype(np.float64)).sum(axis=0) / share.sum()
    new = snapshot.load(opened.snapshot).vector
    part = new[2:] if task == "training" else new[:2]
    assert np.allclose(part, mean[: len(part)], atol=1e-6)
    assert opened.survivors_weight == share.sum()


def test_a_robust_rule_works_in_the_clear_and_statistics_are_averaged(plan):
    how = {"aggregation_method": "RobustAggregator", "robust_method": "median"}
    made, keys, values, vectors = clear_round(plan, **how)
    opened = opening.open_clear(
        plan=made,
        task="training",
        parent=file_of(made),
        keys=keys,
        survivors=tuple(keys),
        vector_of=vectors.__getitem__,
    )
    new = snapshot.load(opened.snapshot).vector
    assert np.allclose(new[2:], np.median(values, axis=0)[:3], atol=1e-6)
    made, keys, values, vectors = clear_round(plan, "statistics", **how)
    opened = opening.open_clear(
        plan=made,
        task="statistics",
        parent=file_of(made),
        keys=keys,
        survivors=tuple(keys),
        vector_of=vectors.__getitem__,
    )
    share = np.array(list(opening.effective_weights(made, keys).values()))
    mean = (share[:, None] * values.astype(np.float64)).sum(axis=0) / share.sum()
    assert np.allclose(snapshot.load(opened.snapshot).vector[:2], mean, atol=1e-6)


def test_whoever_is_not_on_the_key_list_has_no_weight(plan):
    made, keys, _, vectors = clear_round(plan)
    stranger = OrgId("stranger")
    vectors[stranger] = vectors[OrgId("org-00")]
    with pytest.raises(InvalidUpdate, match="stranger: not on the key list"):
        opening.open_clear(
            plan=made,
            task="training",
            parent=file_of(made),
            keys=keys,
            survivors=(*keys, stranger),
            vector_of=vectors.__getitem__,
        )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e9, -1e9])
def test_screening_refuses_what_may_not_be_aggregated(plan, task, wrong):
    made = plan(**CLEAR)
    values = np.zeros(opening.vector_size(made, task), dtype="<f4")
    assert np.array_equal(opening.screen(made, task, values.tobytes()), values)
    values[0] = wrong
    with pytest.raises(InvalidUpdate):
        opening.screen(made, task, values.tobytes())


def test_screening_takes_the_bound_itself_and_what_was_clipped_to_it(plan):
    made = plan(clip_norm=0.3, **CLEAR)
    update = Update(values=np.full(3, 7.0, dtype=np.float32), samples=1)
    clipped = opening.payload(made, "training", update, {"held_out_accuracy": 1.0})
    assert opening.screen(made, "training", clipped.astype("<f4").tobytes()).size == 4
    for norm, is_good in ((0.3, True), (0.3001, False)):
        values = np.array([norm, 0, 0, 0], dtype="<f4")
        if is_good:
            opening.screen(made, "training", values.tobytes())
        else:
            with pytest.raises(InvalidUpdate, match=r"over-bound: got norm 0\.3001"):
                opening.screen(made, "training", values.tobytes())


@pytest.mark.parametrize("metric", [-0.1, 1.1])
def test_screening_refuses_metrics_out_of_range(plan, metric):
    values = np.array([0, 0, 0, metric], dtype="<f4")
    with pytest.raises(InvalidUpdate, match="metric"):
        opening.screen(plan(**CLEAR), "training", values.tobytes())


@pytest.mark.parametrize("size", [0, 3, 12, 15, 20])
def test_screening_refuses_another_length(plan, size):
    with pytest.raises(InvalidUpdate, match="want 16"):
        opening.screen(plan(**CLEAR), "training", bytes(size))


def test_a_contribution_is_named_by_its_bytes():
    assert opening.contribution_digest(b"x") == sha256(b"x")
