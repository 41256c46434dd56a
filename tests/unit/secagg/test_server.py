# SPDX-License-Identifier: Apache-2.0
"""secagg/server.py: the opened sum is the plain sum; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import (
    InvalidInput,
    InvalidShare,
    InvalidUpdate,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import OrgId
from fedxdr.crypto.sealing import seal_between
from fedxdr.secagg import client, packing, server
from fedxdr.secagg.derivation import box_context
from fedxdr.secagg.masking import self_mask_seed
from fedxdr.secagg.shamir import PRIME
from fedxdr.secagg.stages import (
    Answer,
    Mail,
    Partition,
    SealedSalt,
    commit_salt,
)


def opened_sum(played, recovery, *, mails=None) -> np.ndarray:
    return server.open_sum(
        played.masked.items(),
        size=next(iter(played.plain.values())).size,
        roster=played.roster,
        partition=played.partition,
        revealed=recovery.revealed,
        mails=played.mails if mails is None else mails,
    )


def recover(played, **changed: Answer) -> server.Recovery:
    answers = {**played.answers, **{OrgId(k): v for k, v in changed.items()}}
    return server.recover(played.roster, played.partition, answers)


def with_wrong_share(answer: Answer, target: OrgId) -> Answer:
    """Return the answer with its share for ``target`` one off."""

    def off_by_one(share: bytes) -> bytes:
        return ((int.from_bytes(share) + 1) % PRIME).to_bytes(33)

    return Answer(
        self_shares={
            name: off_by_one(share) if name == target else share
            for name, share in answer.self_shares.items()
        },
        key_shares={
            name: off_by_one(share) if name == target else share
            for name, share in answer.key_shares.items()
        },
    )


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), n=st.integers(3, 8), seed=st.integers(0, 2**32))
def test_the_opened_sum_is_the_plain_sum_whoever_drops_out_when(
    play_round, data: st.DataObject, n: int, seed: int
) -> None:
    threshold = data.draw(st.integers(n // 2 + 1, n), label="threshold")
    everyone = data.draw(st.permutations(range(n)), label="order")
    # Who is silent, at which stage: at most n - threshold in all.
    drops = data.draw(
        st.lists(st.sampled_from(["shares", "vectors", "answers"]), max_size=n)
    )[: n - threshold]
    silent = {
        stage: [who for who, at in zip(everyone, drops, strict=False) if at == stage]
        for stage in ("shares", "vectors", "answers")
    }
    played = play_round(
        n,
        threshold=threshold,
        seed=seed,
        silent_at_shares=silent["shares"],
        silent_at_vectors=silent["vectors"],
        silent_at_answers=silent["answers"],
    )
    recovery = recover(played)
    total = opened_sum(played, recovery)
    assert total.dtype == np.int32
    assert np.array_equal(total, played.plain_sum)
    assert recovery.liars == ()
    assert len(played.answers) == n - len(drops)


def test_below_the_threshold_nothing_opens(play_round) -> None:
    played = play_round(5, threshold=4, silent_at_answers=[0, 1])
    with pytest.raises(TooFewParticipants, match="3 answers, 4 are needed"):
        recover(played)


def test_too_few_survivors_are_not_opened(five) -> None:
    few = Partition(survivors=five.partition.survivors[:3], dropouts=("org-3", "org-4"))
    with pytest.raises(TooFewParticipants, match="3 survivors"):
        server.recover(five.roster, few, five.answers)
    revealed = recover(five).revealed
    with pytest.raises(TooFewParticipants, match="3 survivors"):
        server.open_sum(
            five.masked.items(),
            size=7,
            roster=five.roster,
            partition=few,
            revealed=revealed,
            mails=five.mails,
        )


def test_any_threshold_of_the_answers_reveals_the_same(play_round) -> None:
    played = play_round(5, threshold=3, silent_at_vectors=[2])
    all_of_them = recover(played).revealed
    for some in itertools.combinations(played.answers, 3):
        answers = {name: played.answers[name] for name in some}
        got = server.recover(played.roster, played.partition, answers)
        assert got.revealed == all_of_them
    assert all_of_them.mask_masters == {
        played.names[2]: played.secrets[played.names[2]].mask.master
    }


def test_what_is_revealed_does_not_open_a_single_survivor(five) -> None:
    # The orchestrator's view: masked vectors, all self seeds, m of the drop-out. Taking
    # off a survivor's self mask leaves its vector under masks of pairs of survivors.
    revealed = recover(five).revealed
    for name in five.partition.survivors:
        vector = five.masked[name].copy()
        seed = self_mask_seed(
            revealed.self_seeds[name], transcript=five.roster.transcript
        )
        server.masking.apply(vector, subtract=[seed])
        assert (vector != five.plain[name]).all()
    assert not set(revealed.mask_masters) & set(five.partition.survivors)
    assert not set(revealed.self_seeds) & set(five.partition.dropouts)


@pytest.mark.parametrize("target", ["org-0", "org-2", "org-4"])
@pytest.mark.parametrize("liar", ["org-0", "org-1", "org-3"])
def test_one_liar_is_named_and_the_round_goes_on(
    play_round, target: str, liar: str
) -> None:
    played = play_round(5, threshold=3, silent_at_vectors=[4])
    answer = with_wrong_share(played.answers[OrgId(liar)], OrgId(target))
    recovery = recover(played, **{liar: answer})
    assert recovery.liars == (liar,)
    assert np.array_equal(opened_sum(played, recovery), played.plain_sum)


def test_two_liars_are_named_where_enough_others_agree(play_round) -> None:
    played = play_round(8, threshold=5)
    changed = {
        liar: with_wrong_share(played.answers[OrgId(liar)], OrgId("org-6"))
        for liar in ("org-0", "org-1")
    }
    recovery = recover(played, **changed)
    assert recovery.liars == ("org-0", "org-1")
    assert np.array_equal(opened_sum(played, recovery), played.plain_sum)


def test_without_enough_agreement_the_sum_opens_and_nobody_is_named(play_round) -> None:
    # 5 answers at threshold 3, two of them wrong: 3 agree, and naming 2 needs 4.
    played = play_round(5, threshold=3)
    changed = {
        liar: with_wrong_share(played.answers[OrgId(liar)], OrgId("org-2"))
        for liar in ("org-0", "org-4")
    }
    recovery = recover(played, **changed)
    assert recovery.liars == ()
    assert np.array_equal(opened_sum(played, recovery), played.plain_sum)


def test_two_liars_together_cannot_frame_an_honest_one(play_round) -> None:
    # Their two errors cancel at 0, so the secret fits; the polynomial is another one,
    # and every honest share beside it looks wrong.
    played = play_round(6, threshold=4)
    points = tuple(played.roster.points[n] for n in played.names[:4])
    row = server.shamir.lagrange_row(points, 0)
    target = played.names[5]

    def shifted(answer: Answer, by: int) -> Answer:
        share = (int.from_bytes(answer.self_shares[target]) + by) % PRIME
        return dataclasses.replace(
            answer, self_shares={**answer.self_shares, target: share.to_bytes(33)}
        )

    first, second = played.names[:2]
    by = row[1] * pow(row[0], -1, PRIME) % PRIME
    changed = {
        first: shifted(played.answers[first], -by),
        second: shifted(played.answers[second], 1),
    }
    recovery = recover(played, **changed)
    assert set(recovery.liars) <= {first, second}
    assert np.array_equal(opened_sum(played, recovery), played.plain_sum)


def test_with_just_enough_answers_a_wrong_share_is_noticed(five) -> None:
    for target in ("org-2", "org-4"):
        changed = with_wrong_share(five.answers[OrgId("org-1")], OrgId(target))
        with pytest.raises(InvalidShare, match=f"secret of {target}"):
            recover(five, **{"org-1": changed})


def test_a_wrong_commitment_makes_the_seed_unusable(five) -> None:
    keys = five.roster.keys["org-1"]
    lied = dataclasses.replace(keys, self_seed_commitment=b"x" * 32)
    roster = dataclasses.replace(five.roster, keys={**five.roster.keys, "org-1": lied})
    with pytest.raises(InvalidShare, match="secret of org-1"):
        server.recover(roster, five.partition, five.answers)


def test_a_mask_key_other_than_published_makes_its_master_unusable(five) -> None:
    keys = five.roster.keys["org-4"]
    lied = dataclasses.replace(keys, mask=five.roster.keys["org-0"].mask)
    roster = dataclasses.replace(five.roster, keys={**five.roster.keys, "org-4": lied})
    with pytest.raises(InvalidShare, match="secret of org-4"):
        server.recover(roster, five.partition, five.answers)


def test_answers_of_strangers_or_dropouts_are_refused(five) -> None:
    some = five.answers[OrgId("org-0")]
    with pytest.raises(UnknownSender):
        recover(five, x=some)
    with pytest.raises(UnknownSender):
        recover(five, **{"org-4": some})


def test_answers_for_another_partition_are_refused_by_name(five) -> None:
    good = five.answers[OrgId("org-1")]
    for bad in (
        Answer(self_shares=good.self_shares, key_shares={}),
        Answer(
            self_shares={OrgId("org-0"): good.self_shares[OrgId("org-0")]},
            key_shares=good.key_shares,
        ),
    ):
        with pytest.raises(InvalidInput, match="org-1: an answer for another"):
            recover(five, **{"org-1": bad})
        with pytest.raises(InvalidInput):
            server.check_answer(bad, five.partition)
    server.check_answer(good, five.partition)


def test_a_partition_of_strangers_is_refused(five) -> None:
    strange = Partition(survivors=("org-0", "org-1", "org-2", "x"))
    with pytest.raises(UnknownSender):
        server.recover(five.roster, strange, {})


@pytest.mark.parametrize("kind", ["self_seeds", "mask_masters"])
def test_tampered_revelations_are_refused(five, kind: str) -> None:
    revealed = recover(five).revealed
    server.check(five.roster, five.partition, revealed)
    name = next(iter(getattr(revealed, kind)))
    for wrong in (bytes(32), bytes(31)):
        changed = dataclasses.replace(
            revealed, **{kind: {**getattr(revealed, kind), name: wrong}}
        )
        with pytest.raises(InvalidShare, match=name):
            server.check(five.roster, five.partition, changed)
        with pytest.raises(InvalidShare, match=name):
            opened_sum(five, server.Recovery(revealed=changed, liars=()))


def test_revelations_of_another_partition_are_refused(five) -> None:
    revealed = recover(five).revealed
    for changed in (
        dataclasses.replace(revealed, mask_masters={}),
        dataclasses.replace(revealed, self_seeds={}),
    ):
        with pytest.raises(InvalidInput, match="another partition"):
            server.check(five.roster, five.partition, changed)


def test_each_survivors_vector_is_wanted_once(five) -> None:
    revealed = recover(five).revealed

    def open_with(vectors) -> np.ndarray:
        return server.open_sum(
            vectors,
            size=7,
            roster=five.roster,
            partition=five.partition,
            revealed=revealed,
            mails=five.mails,
        )

    pairs = list(five.masked.items())
    assert np.array_equal(open_with(reversed(pairs)), five.plain_sum)
    with pytest.raises(UnknownSender):
        open_with([*pairs, pairs[0]])
    with pytest.raises(UnknownSender):
        open_with([*pairs[1:], ("org-4", pairs[0][1])])
    with pytest.raises(TooFewParticipants, match="org-3"):
        open_with(pairs[:-1])
    for wrong in (
        pairs[0][1][:-1],
        pairs[0][1].view(np.int32),
        pairs[0][1].reshape(1, 7),
    ):
        with pytest.raises(InvalidUpdate, match="org-0"):
            open_with([("org-0", wrong), *pairs[1:]])


def test_inputs_are_left_as_they_were(five) -> None:
    before = {name: vector.copy() for name, vector in five.masked.items()}
    opened_sum(five, recover(five))
    for name, vector in five.masked.items():
        assert np.array_equal(vector, before[name])


def test_mail_between_survivors_and_dropouts_must_be_there(five) -> None:
    recovery = recover(five)
    needed = [m for m in five.mails if m.recipient == "org-4" and m.sender != "org-4"]
    assert np.array_equal(opened_sum(five, recovery, mails=needed), five.plain_sum)
    for missing in needed:
        rest = [mail for mail in needed if mail != missing]
        with pytest.raises(InvalidInput, match=f"{missing.sender} to org-4"):
            opened_sum(five, recovery, mails=rest)


def test_tampered_salts_to_a_dropout_are_refused(five) -> None:
    recovery = recover(five)

    def changed(mail: Mail) -> Mail:
        if (mail.sender, mail.recipient) != ("org-1", "org-4"):
            return mail
        box = bytes([mail.salt.box[0] ^ 1]) + mail.salt.box[1:]
        return dataclasses.replace(mail, salt=dataclasses.replace(mail.salt, box=box))

    with pytest.raises(InvalidShare, match="from org-1"):
        opened_sum(five, recovery, mails=[changed(mail) for mail in five.mails])


def test_a_dropout_that_sent_another_salt_than_its_key_gives_is_found(
    play_round,
) -> None:
    # org-0 seals a salt of its own choice to org-1 and drops out: org-1's mask is made
    # with it. Recovering m of org-0 gives another salt; without the commitment the sum
    # would be noise and nobody would know.
    played = play_round(4, threshold=3, silent_at_vectors=[0])
    bad, victim = played.names[:2]
    salt = b"s" * 32
    box = seal_between(
        played.members[bad].pairs[victim],
        played.roster.keys[victim].mask,
        salt,
        context=box_context(
            b"fedxdr/secagg/salt/v1\x00", bad, victim, played.roster.transcript
        ),
    )
    mails = [
        dataclasses.replace(
            mail, salt=SealedSalt(commitment=commit_salt(salt), box=box)
        )
        if (mail.sender, mail.recipient) == (bad, victim)
        else mail
        for mail in played.mails
    ]
    opened = client.open_mail(
        played.members[victim], [m for m in mails if m.recipient == victim]
    )
    assert opened.salts[bad] == salt
    with pytest.raises(InvalidShare, match="org-0 sent org-1 another pair salt"):
        opened_sum(played, recover(played), mails=mails)


def test_negative_and_extreme_sums_are_exact(play_round) -> None:
    played = play_round(3, size=4)
    extremes = np.array([-(2**30), 2**30 - 1, -1, 0], dtype=np.int32)
    for name in played.names:
        played.plain[name] = (extremes // 3).view(np.uint32)
        played.masked[name] = client.mask(
            played.members[name], played.opened[name], played.plain[name]
        )
    total = opened_sum(played, recover(played))
    assert total.tolist() == (3 * (extremes.astype(np.int64) // 3)).tolist()


def test_memory_does_not_grow_with_participants(play_round) -> None:
    size = 100_000
    peaks = []
    for n in (3, 8):
        played = play_round(n, size=size)
        recovery = recover(played)
        vectors = ((name, played.masked[name]) for name in played.names)
        tracemalloc.start()
        server.open_sum(
            vectors,
            size=size,
            roster=played.roster,
            partition=played.partition,
            revealed=recovery.revealed,
            mails=played.mails,
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 4 * size + 400_000  # one vector and one block


def test_the_search_for_liars_ends(five, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_TRIALS", 0)
    with pytest.raises(InvalidShare):
        recover(five)


def test_every_subset_is_tried_once() -> None:
    helpers = [OrgId(name) for name in "abcdef"]
    got = list(server._subsets(helpers, 4))
    assert sorted(got) == sorted(itertools.combinations(helpers, 4))
    assert got[0] == tuple("abcd")


def test_revelations_do_not_show_seeds(five) -> None:
    assert repr(recover(five).revealed) == "Revealed()"


@pytest.mark.parametrize("width", [12, 13, 20, 31, 32])
def test_packed_uploads_open_the_same_sum(five, width: int) -> None:
    # Four values within 1,000 fit 12 signed bits only if each is halved.
    size = next(iter(five.plain.values())).size
    plain, masked = {}, {}
    for name in five.partition.survivors:
        plain[name] = five.plain[name].view(np.int32) // 2
        words = client.mask(
            five.members[name], five.opened[name], plain[name].view(np.uint32)
        )
        data = packing.pack(words, width=width)
        assert len(data) == -(-size * width // 8)
        masked[name] = data

    def opened(masked: dict[OrgId, bytes | np.ndarray]) -> np.ndarray:
        return server.open_sum(
            masked.items(),
            size=size,
            roster=five.roster,
            partition=five.partition,
            revealed=recover(five).revealed,
            mails=five.mails,
            width=width,
        )

    assert np.array_equal(opened(masked), sum(plain.values()))
    words = {
        name: packing.unpack(data, size=size, width=width)
        for name, data in masked.items()
    }
    assert np.array_equal(opened(words), sum(plain.values()))
    name = five.names[1]
    with pytest.raises(InvalidUpdate, match=f"masked vector of {name}"):
        opened({**masked, name: masked[name][:-1]})
