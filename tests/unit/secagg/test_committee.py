# SPDX-License-Identifier: Apache-2.0
"""secagg/committee.py: the sum is exact, and every rule of a helper is needed."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core import canonical
from fedxdr.core.errors import (
    AlreadyAnswered,
    InvalidInput,
    InvalidShare,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import OrgId, org_id, sha256
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.crypto.exchange import HybridPublicKey
from fedxdr.crypto.sealing import seal
from fedxdr.secagg import committee as protocol
from fedxdr.secagg import masking, packing, quantise
from fedxdr.secagg.committee_stages import (
    AnswerHead,
    Committee,
    HelperAnswer,
    HelperKey,
    Included,
    Report,
    Upload,
    UploadHeader,
)
from fedxdr.secagg.masking import Words


@dataclass(kw_only=True)
class Round:
    """Everything that was made in a round, by whom."""

    secrets: dict[OrgId, protocol.HelperSecret]
    committee: Committee
    entropy: dict[OrgId, bytes]
    plain: dict[OrgId, Words]
    uploads: dict[OrgId, Upload]
    opened: dict[OrgId, protocol.OpenedSeeds]
    included: Included
    answers: dict[OrgId, HelperAnswer]

    @property
    def size(self) -> int:
        return next(iter(self.plain.values())).size

    @property
    def headers(self) -> list[UploadHeader]:
        return [upload.header for upload in self.uploads.values()]

    def vectors(self, included: Included | None = None) -> list[tuple[OrgId, bytes]]:
        names = (included or self.included).names
        return [(name, self.uploads[name].vector) for name in names]

    def plain_sum(self, names: Collection[OrgId]) -> np.ndarray:
        return sum(self.plain[name].view(np.int32).astype(np.int64) for name in names)


def play(
    n: int = 5,
    *,
    helpers: int = 3,
    size: int = 11,
    seed: int = 0,
    min_survivors: int = 3,
    silent: Collection[int] = (),
    width: int = 32,
    transcript: bytes = b"t" * 32,
) -> Round:
    entropy, random = SeededEntropy(seed), generator(seed)
    names = tuple(org_id(f"org-{index:03}") for index in range(n))
    secrets = {
        org_id(f"helper-{index}"): protocol.derive_helper(entropy.draw(32))
        for index in range(helpers)
    }
    committee = Committee(
        helpers={name: secret.key for name, secret in secrets.items()},
        contributors=names,
        transcript=transcript,
        min_survivors=min_survivors,
        width=width,
    )
    entropies = {name: entropy.draw(32) for name in names}
    plain = {
        name: random.integers(-30, 30, size, dtype=np.int32).view(np.uint32)
        for name in names
    }
    uploads = {
        name: protocol.make_upload(
            plain[name], entropy=entropies[name], committee=committee, me=name
        )
        for index, name in enumerate(names)
        if index not in silent
    }
    headers = [upload.header for upload in uploads.values()]
    opened = {
        name: protocol.open_seeds(secret, headers, committee=committee, me=name)
        for name, secret in secrets.items()
    }
    included = protocol.close(
        committee, {name: held.report for name, held in opened.items()}
    )
    answers = {
        name: protocol.answer(held, included, size=size, committee=committee)
        for name, held in opened.items()
    }
    return Round(
        secrets=secrets,
        committee=committee,
        entropy=entropies,
        plain=plain,
        uploads=uploads,
        opened=opened,
        included=included,
        answers=answers,
    )


def opened_sum(played: Round, **change: object) -> np.ndarray:
    arguments: dict[str, object] = {
        "size": played.size,
        "committee": played.committee,
        "included": played.included,
        "answers": played.answers,
    }
    vectors = change.pop("vectors", played.vectors())
    return protocol.open_sum(vectors, **(arguments | change))


@pytest.fixture(scope="module")
def five() -> Round:
    return play()


def included_of(played: Round, names: Collection[OrgId]) -> Included:
    return dataclasses.replace(
        played.included,
        vectors={name: played.uploads[name].header.vector_digest for name in names},
    )


def with_boxes(upload: Upload, **boxes: bytes) -> UploadHeader:
    named = {OrgId(name.replace("_", "-")): box for name, box in boxes.items()}
    return dataclasses.replace(upload.header, boxes={**upload.header.boxes, **named})


@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(3, 6),
    helpers=st.integers(2, 4),
    silent=st.integers(0, 5),
    size=st.integers(1, 40),
    width=st.integers(9, 32),
    seed=st.integers(0, 2**32),
)
def test_the_sum_is_that_of_those_who_uploaded(
    *, n: int, helpers: int, silent: int, size: int, width: int, seed: int
) -> None:
    played = play(
        n,
        helpers=helpers,
        size=size,
        width=width,
        seed=seed,
        min_survivors=2,
        silent=range(min(silent, n - 2)),
    )
    assert played.included.names == tuple(played.uploads)
    assert np.array_equal(opened_sum(played), played.plain_sum(played.uploads))


def test_an_upload_is_one_packed_vector_and_a_box_per_helper(five: Round) -> None:
    upload = play(width=20).uploads[OrgId("org-000")]
    assert len(upload.vector) == packing.packed_bytes(five.size, width=20)
    assert upload.header.vector_digest == sha256(upload.vector)
    assert {len(box) for box in upload.header.boxes.values()} == {1168}


@pytest.mark.parametrize("honest", range(3))
def test_any_one_honest_helper_protects(honest: int) -> None:
    # The orchestrator and all other helpers put together all they hold.
    played = play(size=4000)
    victim = OrgId("org-001")
    helpers = list(played.secrets)
    vector = packing.unpack(played.uploads[victim].vector, size=4000, width=32)

    def taken_off(known: list[OrgId]) -> np.ndarray:
        words = vector.copy()
        seeds = []
        for helper in known:
            seed = played.opened[helper].seeds[victim]
            mask_seed = protocol._mask_seed(
                seed, played.committee, sender=victim, helper=helper
            )
            seeds.append(mask_seed)
        masking.apply(words, add=seeds)
        return words

    known = [helper for index, helper in enumerate(helpers) if index != honest]
    left = taken_off(known)
    # Plain words are within 30 of zero; what is left is as uniform as a stream is:
    # about 4000 * 61 / 2^32 = 0.00006 of them would be.
    assert np.sum(np.abs(left.view(np.int32).astype(np.int64)) <= 30) == 0
    bits = np.unpackbits(left.view(np.uint8))
    assert abs(float(bits.mean()) - 0.5) < 5 / (2 * bits.size**0.5)
    # With the last one's seed too it opens: the attempt is a fair one.
    assert np.array_equal(taken_off(helpers), played.plain[victim])


def test_a_helper_sees_no_vector(five: Round) -> None:
    # Nothing of what reaches a helper holds the vector: a digest and boxes.
    fields = {field.name for field in dataclasses.fields(UploadHeader)}
    assert fields == {"sender", "transcript", "vector_digest", "boxes"}
    header = five.headers[0]
    assert canonical.decode(canonical.encode(header), UploadHeader) == header


def test_what_is_signed_can_be_read_back(five: Round) -> None:
    helper = next(iter(five.secrets))
    for value, type_ in (
        (five.secrets[helper].key, HelperKey),
        (five.committee, Committee),
        (five.opened[helper].report, Report),
        (five.included, Included),
        (five.answers[helper].head, AnswerHead),
    ):
        assert canonical.decode(canonical.encode(value), type_) == value


def test_an_agent_that_was_killed_makes_the_same_vector(five: Round) -> None:
    name = OrgId("org-002")
    again = protocol.make_upload(
        five.plain[name],
        entropy=five.entropy[name],
        committee=five.committee,
        me=name,
    )
    assert again.vector == five.uploads[name].vector
    assert again.header.boxes != five.uploads[name].header.boxes  # sealed anew
    vector = five.plain[name].copy()
    in_place = protocol.make_upload(
        vector,
        entropy=five.entropy[name],
        committee=five.committee,
        me=name,
        in_place=True,
    )
    assert in_place.vector == again.vector == vector.tobytes()  # the plain one is gone
    held = protocol.open_seeds(
        five.secrets[OrgId("helper-0")],
        [again.header],
        committee=five.committee,
        me=OrgId("helper-0"),
    )
    assert held.seeds[name] == five.opened[OrgId("helper-0")].seeds[name]


def test_another_vector_under_the_same_entropy_gets_another_pad(five: Round) -> None:
    # Pad reuse by an agent restored from a backup: y - y' would be x - x'.
    name = OrgId("org-002")
    other = five.plain[name] + np.uint32(1)
    again = protocol.make_upload(
        other, entropy=five.entropy[name], committee=five.committee, me=name
    )
    one = packing.unpack(five.uploads[name].vector, size=five.size, width=32)
    two = packing.unpack(again.vector, size=five.size, width=32)
    assert (two - one != np.uint32(1)).all()


def test_another_round_has_other_pads(five: Round) -> None:
    other = play(transcript=b"u" * 32)
    name = OrgId("org-000")
    assert np.array_equal(other.plain[name], five.plain[name])
    assert other.entropy[name] == five.entropy[name]
    assert other.uploads[name].vector != five.uploads[name].vector


def test_a_helper_answers_for_one_set_only(five: Round) -> None:
    helper = OrgId("helper-0")
    held = five.opened[helper]
    everyone = five.included
    fewer = included_of(five, everyone.names[:4])

    def ask(included: Included, answered: Included | None) -> HelperAnswer:
        return protocol.answer(
            held,
            included,
            size=five.size,
            committee=five.committee,
            answered=answered,
        )

    assert ask(everyone, everyone) == five.answers[helper]
    with pytest.raises(AlreadyAnswered):
        ask(fewer, everyone)
    # n-1 differencing over rounds: an earlier round on the same parent counts too.
    earlier = dataclasses.replace(fewer, transcript=b"e" * 32)
    with pytest.raises(AlreadyAnswered):
        ask(everyone, earlier)
    same = dataclasses.replace(everyone, transcript=b"e" * 32)
    assert ask(everyone, same) == five.answers[helper]
    # In one round the same names with other vectors are another set.
    vectors = {**everyone.vectors, everyone.names[0]: sha256(b"other")}
    with pytest.raises(AlreadyAnswered):
        ask(everyone, dataclasses.replace(everyone, vectors=vectors))


def test_two_sets_at_two_helpers_open_nothing(five: Round) -> None:
    # Survivor-set equivocation: one helper is asked about all, the others about four.
    fewer = included_of(five, five.included.names[:4])
    answers = {
        name: protocol.answer(
            held,
            fewer if name == OrgId("helper-0") else five.included,
            size=five.size,
            committee=five.committee,
        )
        for name, held in five.opened.items()
    }
    with pytest.raises(InvalidInput, match="helper-0 is not for this set"):
        opened_sum(five, answers=answers)
    # A lying orchestrator does not check. What it gets is neither sum.
    for included in (fewer, five.included):
        total = sum(
            packing.unpack(vector, size=five.size, width=32)
            for _, vector in five.vectors(included)
        )
        for reply in answers.values():
            total = total + packing.unpack(reply.masks, size=five.size, width=32)
        plain = five.plain_sum(included.names).astype(np.int32)
        assert (total.view(np.int32) != plain).all()


def test_too_small_a_set_is_not_answered(five: Round) -> None:
    held = five.opened[OrgId("helper-0")]
    two = included_of(five, five.included.names[:2])
    with pytest.raises(TooFewParticipants, match="a set of 2, 3 are needed"):
        protocol.answer(held, two, size=five.size, committee=five.committee)


def test_a_set_with_a_stranger_is_not_answered(five: Round) -> None:
    vectors = {**five.included.vectors, OrgId("x"): sha256(b"x")}
    bad = dataclasses.replace(five.included, vectors=vectors)
    held = five.opened[OrgId("helper-0")]
    with pytest.raises(UnknownSender, match="x"):
        protocol.answer(held, bad, size=five.size, committee=five.committee)


def test_a_set_that_names_another_vector_is_not_answered(five: Round) -> None:
    name = five.included.names[1]
    vectors = {**five.included.vectors, name: sha256(b"another upload of the same")}
    bad = dataclasses.replace(five.included, vectors=vectors)
    held = five.opened[OrgId("helper-0")]
    with pytest.raises(InvalidShare, match=name):
        protocol.answer(held, bad, size=five.size, committee=five.committee)


def test_a_set_of_another_round_is_not_answered(five: Round) -> None:
    held = five.opened[OrgId("helper-0")]
    bad = dataclasses.replace(five.included, transcript=b"u" * 32)
    with pytest.raises(InvalidInput, match="another round"):
        protocol.answer(held, bad, size=five.size, committee=five.committee)
    elsewhere = dataclasses.replace(five.committee, transcript=b"u" * 32)
    with pytest.raises(InvalidInput, match="another round"):
        protocol.answer(held, bad, size=five.size, committee=elsewhere)


def test_one_bad_seed_neither_stalls_nor_opens_anything() -> None:
    played = play()
    bad, helper = OrgId("org-003"), OrgId("helper-1")
    broken = with_boxes(played.uploads[bad], helper_1=b"\x07" * 1168)
    headers = [h for h in played.headers if h.sender != bad] + [broken]
    opened = {
        name: protocol.open_seeds(secret, headers, committee=played.committee, me=name)
        for name, secret in played.secrets.items()
    }
    assert opened[helper].report.refused == (bad,)
    assert bad not in opened[helper].report.opened
    for other in played.secrets.keys() - {helper}:
        assert opened[other].report.refused == ()
    included = protocol.close(
        played.committee, {name: held.report for name, held in opened.items()}
    )
    assert bad not in included.vectors
    answers = {
        name: protocol.answer(
            held, included, size=played.size, committee=played.committee
        )
        for name, held in opened.items()
    }
    total = opened_sum(
        played, vectors=played.vectors(included), included=included, answers=answers
    )
    assert np.array_equal(total, played.plain_sum(included.names))
    # The helper that could not open it does not answer for a set with it.
    with pytest.raises(UnknownSender, match=bad):
        protocol.answer(
            opened[helper],
            included_of(played, played.included.names),
            size=played.size,
            committee=played.committee,
        )


def test_too_many_bad_seeds_end_the_round_and_are_named() -> None:
    played = play(n=4, min_survivors=4)
    reports = {name: held.report for name, held in played.opened.items()}
    helper = OrgId("helper-2")
    opened = dict(reports[helper].opened)
    del opened[OrgId("org-001")]
    reports[helper] = dataclasses.replace(
        reports[helper], opened=opened, refused=(OrgId("org-001"),)
    )
    with pytest.raises(TooFewParticipants, match=r"3 uploads.*refused: org-001"):
        protocol.close(played.committee, reports)


@pytest.mark.parametrize("where", [0, 40, 600, 1150, 1167])
def test_a_tampered_box_is_reported(five: Round, where: int) -> None:
    upload = five.uploads[OrgId("org-000")]
    box = bytearray(upload.header.boxes[OrgId("helper-0")])
    box[where] ^= 1
    header = with_boxes(upload, helper_0=bytes(box))
    assert refused(five, header) == (OrgId("org-000"),)


def refused(five: Round, header: UploadHeader) -> tuple[OrgId, ...]:
    helper = OrgId("helper-0")
    held = protocol.open_seeds(
        five.secrets[helper], [header], committee=five.committee, me=helper
    )
    return held.report.refused


def test_a_box_opens_for_no_other_sender_vector_helper_or_round(five: Round) -> None:
    upload, other = five.uploads[OrgId("org-000")], five.uploads[OrgId("org-001")]
    assert refused(five, upload.header) == ()
    # A colluder copies the victim's boxes: their masks would cancel in a difference.
    copied = dataclasses.replace(other.header, boxes=upload.header.boxes)
    assert refused(five, copied) == (OrgId("org-001"),)
    renamed = dataclasses.replace(upload.header, sender=OrgId("org-001"))
    assert refused(five, renamed) == (OrgId("org-001"),)
    swapped = dataclasses.replace(upload.header, vector_digest=sha256(b"other"))
    assert refused(five, swapped) == (OrgId("org-000"),)
    crossed = with_boxes(upload, helper_0=upload.header.boxes[OrgId("helper-1")])
    assert refused(five, crossed) == (OrgId("org-000"),)
    replayed = play(transcript=b"u" * 32).uploads[OrgId("org-000")].header
    relabelled = dataclasses.replace(replayed, transcript=five.committee.transcript)
    assert refused(five, relabelled) == (OrgId("org-000"),)


def test_a_header_without_a_box_for_every_helper_is_refused(five: Round) -> None:
    upload = five.uploads[OrgId("org-000")]
    boxes = dict(upload.header.boxes)
    extra = {**boxes, OrgId("helper-9"): next(iter(boxes.values()))}
    del boxes[OrgId("helper-1")]
    for bad in (boxes, extra):
        header = dataclasses.replace(upload.header, boxes=bad)
        assert refused(five, header) == (OrgId("org-000"),)


def test_an_ephemeral_key_of_small_order_is_refused(five: Round) -> None:
    upload = five.uploads[OrgId("org-000")]
    box = bytes(32) + upload.header.boxes[OrgId("helper-0")][32:]
    assert refused(five, with_boxes(upload, helper_0=box)) == (OrgId("org-000"),)


def test_headers_of_strangers_of_other_rounds_and_twice_are_the_orchestrators_fault(
    five: Round,
) -> None:
    helper = OrgId("helper-0")
    header = five.headers[0]

    def open_(headers: list[UploadHeader]) -> None:
        protocol.open_seeds(
            five.secrets[helper], headers, committee=five.committee, me=helper
        )

    with pytest.raises(UnknownSender):
        open_([dataclasses.replace(header, sender=OrgId("x"))])
    with pytest.raises(InvalidInput, match="another round"):
        open_([dataclasses.replace(header, transcript=b"u" * 32)])
    with pytest.raises(InvalidInput, match="two uploads"):
        open_([header, header])
    broken = with_boxes(five.uploads[header.sender], helper_0=bytes(1168))
    with pytest.raises(InvalidInput, match="two uploads"):
        open_([broken, header])  # not a second try at another seed


def test_a_helpers_key_swap_is_noticed(five: Round) -> None:
    one, two = OrgId("helper-0"), OrgId("helper-1")
    with pytest.raises(InvalidInput, match="does not hold the key"):
        protocol.open_seeds(
            five.secrets[two], five.headers, committee=five.committee, me=one
        )
    with pytest.raises(InvalidInput):
        protocol.open_seeds(
            five.secrets[one], five.headers, committee=five.committee, me=OrgId("x")
        )


def test_closing_needs_every_report_of_this_round(five: Round) -> None:
    reports = {name: held.report for name, held in five.opened.items()}
    missing = dict(reports)
    del missing[OrgId("helper-1")]
    with pytest.raises(TooFewParticipants, match="report of helper-1"):
        protocol.close(five.committee, missing)
    with pytest.raises(InvalidInput, match="no helper"):
        protocol.close(
            five.committee, {**reports, OrgId("x"): reports[OrgId("helper-0")]}
        )
    for change in ({"helper": OrgId("helper-1")}, {"transcript": b"u" * 32}):
        bad = dataclasses.replace(reports[OrgId("helper-0")], **change)
        with pytest.raises(InvalidInput, match="helper-0 is not of this round"):
            protocol.close(five.committee, {**reports, OrgId("helper-0"): bad})


def test_helpers_that_saw_two_uploads_of_one_organisation_leave_it_out(
    five: Round,
) -> None:
    name = OrgId("org-000")
    reports = {helper: held.report for helper, held in five.opened.items()}
    helper = OrgId("helper-1")
    opened = {**reports[helper].opened, name: sha256(b"its other upload")}
    reports[helper] = dataclasses.replace(reports[helper], opened=opened)
    included = protocol.close(five.committee, reports)
    assert name not in included.vectors
    assert len(included.vectors) == 4


def test_a_helper_cannot_smuggle_a_stranger_into_the_set(five: Round) -> None:
    reports = {
        helper: dataclasses.replace(
            held.report,
            opened={**held.report.opened, OrgId("x"): sha256(b"x")},
        )
        for helper, held in five.opened.items()
    }
    assert protocol.close(five.committee, reports) == five.included


def test_opening_needs_every_answer_for_this_set(five: Round) -> None:
    one = OrgId("helper-0")
    missing = dict(five.answers)
    del missing[one]
    with pytest.raises(TooFewParticipants, match="answer of helper-0"):
        opened_sum(five, answers=missing)
    given = five.answers[one]
    for head in (
        dataclasses.replace(given.head, helper=OrgId("helper-1")),
        dataclasses.replace(given.head, included=sha256(b"another set")),
    ):
        bad = dataclasses.replace(given, head=head)
        with pytest.raises(InvalidInput, match="helper-0 is not for this set"):
            opened_sum(five, answers={**five.answers, one: bad})
    bad = dataclasses.replace(given, masks=bytes(len(given.masks)))
    with pytest.raises(InvalidShare, match="not the one it signed"):
        opened_sum(five, answers={**five.answers, one: bad})
    short = given.masks[:-4]
    head = dataclasses.replace(given.head, sum_digest=sha256(short))
    bad = HelperAnswer(head=head, masks=short)
    with pytest.raises(MalformedMessage, match="helper-0"):
        opened_sum(five, answers={**five.answers, one: bad})


def test_opening_needs_every_vector_once(five: Round) -> None:
    vectors = five.vectors()
    with pytest.raises(TooFewParticipants, match="org-004"):
        opened_sum(five, vectors=vectors[:4])
    with pytest.raises(UnknownSender, match="org-000"):
        opened_sum(five, vectors=[*vectors, vectors[0]])
    with pytest.raises(UnknownSender, match="x"):
        opened_sum(five, vectors=[*vectors, (OrgId("x"), vectors[0][1])])
    with pytest.raises(MalformedMessage, match="org-000"):
        opened_sum(five, vectors=[(vectors[0][0], vectors[0][1][:-1]), *vectors[1:]])


def test_a_false_sum_of_a_helper_is_not_noticed_unless_it_leaves_the_bits() -> None:
    # The limit that the docstring states; with a guard bit, garbage is seen.
    played = play(width=packing.upload_width(16, 5), size=60)
    helper = OrgId("helper-2")

    def with_false(masks: np.ndarray) -> np.ndarray:
        packed = packing.pack(masks, width=played.committee.width)
        head = dataclasses.replace(
            played.answers[helper].head, sum_digest=sha256(packed)
        )
        answers = {**played.answers, helper: HelperAnswer(head=head, masks=packed)}
        return opened_sum(played, answers=answers)

    def mean_of(total: np.ndarray) -> np.ndarray:
        return quantise.dequantise(
            total,
            bound=1.0,
            bits=16,
            participants=5,
            survivors_weight=5,
            total_weight=5,
        )

    right = packing.unpack(
        played.answers[helper].masks, size=60, width=played.committee.width
    )
    shifted = with_false(right + np.uint32(7))
    mean_of(shifted)
    assert np.array_equal(shifted - 7, played.plain_sum(played.included.names))
    with pytest.raises(InvalidUpdate, match="leaves its 16 bits"):
        mean_of(with_false(generator(1).integers(0, 2**32, 60, dtype=np.uint32)))


def test_a_committee_that_protects_nobody_cannot_be_built(five: Round) -> None:
    one = dict(list(five.committee.helpers.items())[:1])
    with pytest.raises(TooFewParticipants, match="one alone would see every update"):
        dataclasses.replace(five.committee, helpers=one)
    for few in (1, 6):
        with pytest.raises(TooFewParticipants):
            dataclasses.replace(five.committee, min_survivors=few)
    backwards = dict(reversed(five.committee.helpers.items()))
    names = five.committee.contributors
    for change in (
        {"helpers": backwards},
        {"contributors": names[::-1]},
        {"contributors": (*names, names[-1])},
        {"transcript": b"short"},
    ):
        with pytest.raises(MalformedMessage):
            dataclasses.replace(five.committee, **change)


def test_wrong_uploads_are_not_made(five: Round) -> None:
    def make(**change: object) -> Upload:
        arguments: dict[str, object] = {
            "quantised": five.plain[OrgId("org-000")],
            "entropy": bytes(32),
            "committee": five.committee,
            "me": OrgId("org-000"),
        }
        arguments |= change
        return protocol.make_upload(arguments.pop("quantised"), **arguments)

    with pytest.raises(UnknownSender):
        make(me=OrgId("x"))
    with pytest.raises(MalformedMessage, match="want 32"):
        make(entropy=bytes(31))
    for bad in (np.zeros(3, np.int32), np.zeros((2, 2), np.uint32)):
        with pytest.raises(InvalidUpdate):
            make(quantised=bad)
    key = HelperKey(seeds=HybridPublicKey(x25519=bytes(32), mlkem=b"\xff" * 1184))
    swapped = {**five.committee.helpers, OrgId("helper-1"): key}
    with pytest.raises(MalformedMessage, match="round key of helper-1"):
        make(committee=dataclasses.replace(five.committee, helpers=swapped))
    with pytest.raises(MalformedMessage):
        dataclasses.replace(five.headers[0], boxes={OrgId("helper-0"): b"short"})
    with pytest.raises(MalformedMessage):
        dataclasses.replace(five.headers[0], vector_digest="not one")
    with pytest.raises(MalformedMessage):
        Included(
            transcript=b"t" * 32, vectors=dict(reversed(five.included.vectors.items()))
        )
    with pytest.raises(MalformedMessage, match="helper entropy"):
        protocol.derive_helper(bytes(16))


def test_a_seed_of_another_length_is_refused(five: Round) -> None:
    # 1,168 bytes is what a box must have, so only a helper could be given another one.
    upload = five.uploads[OrgId("org-000")]
    helper = OrgId("helper-0")
    box = seal(five.committee.helpers[helper].seeds, bytes(31), context=b"")
    with pytest.raises(MalformedMessage, match="got 1167 bytes"):
        with_boxes(upload, helper_0=box)


def test_representations_show_no_secret(five: Round) -> None:
    helper = OrgId("helper-0")
    seed = five.opened[helper].seeds[OrgId("org-000")]
    shown = repr(five.opened[helper]) + repr(five.secrets[helper])
    assert repr(seed)[2:-1] not in shown
    assert "seeds=" not in repr(five.secrets[helper])


def test_a_helpers_memory_does_not_grow_with_the_members() -> None:
    # 24 members; everything beside the answer itself is blocks and one vector.
    size = 200_000
    played = play(n=24, helpers=2, size=7)
    tracemalloc.start()
    protocol.answer(
        played.opened[OrgId("helper-0")],
        played.included,
        size=size,
        committee=played.committee,
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 4 * size
