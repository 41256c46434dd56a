# SPDX-License-Identifier: Apache-2.0
"""One-shot committee: one upload per organisation, one answer per helper.

Organisation i uploads y_i = x_i - sum_j PRG(r_ij) once, with one sealed 32-byte seed
r_ij for each helper j. The helpers say whose seeds open, the orchestrator closes one
included set U over them, and each helper answers once with sum_{i in U} PRG(r_ij). The
vectors plus the answers give sum_{i in U} x_i. Who drops out costs nothing.

Any ONE honest helper protects: the orchestrator and all other helpers hold every value
but this helper's streams, and see of those one sum over one set of at least
``min_survivors``. A helper by itself sees seeds, names and digests, and no vector.

The trip: ``derive_helper`` -> keys to all -> ``make_upload`` -> ``open_seeds``, whose
report goes to the orchestrator -> ``close`` -> ``answer`` -> ``open_sum``. What is sent
stands in committee_stages.py, with who signs it; the caller signs and verifies, and
nothing here is safe without: an unsigned header is anybody's.

Rules that always hold:
1. A box is bound to transcript, sender, helper and vector: it opens for nothing else,
   so no seed counts under a second name, in a second round or for a second vector.
2. A helper answers for one set per parent model, not smaller than the minimum, of
   members whose seeds it opened for exactly the vectors the set names.
3. One bad seed neither stalls nor opens anything: helpers report before any of them
   answers, and ``close`` leaves out whom one of them refused, before there is a sum.
4. Seeds depend on the vector they mask (beside fresh entropy): an agent that was
   restored from a backup and fitted again cannot use a pad twice.

It does NOT notice a helper's false sum or false refusal: a wrong answer makes a wrong
sum, which only ``quantise.dequantise`` sees where it leaves its bits, and a refusal is
word against word, so both names go on record. Members can redo the sum from vectors and
signed answers, which shows no lie of a helper. A helper that falls silent ends the
round; a new one on the same parent needs the same set, for a silent helper may have
told the orchestrator its answer.

Source: additive masking towards non-colluding helpers, as in Corrigan-Gibbs and Boneh
2017 (Prio), section 3, with all shares but one compressed to seeds ("PRG secret
sharing" there).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import (
    AlreadyAnswered,
    InvalidInput,
    InvalidShare,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.crypto.expand import SEED_BYTES, hkdf
from fedxdr.crypto.sealing import open_sealed, seal
from fedxdr.secagg import masking, packing
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

_KEY_LABEL = "fedxdr/secagg/committee-key/v1"
_SEED_LABEL = "fedxdr/secagg/committee-seed/v1"
_MASK_LABEL = "fedxdr/secagg/committee-mask/v1"
_BOX_CONTEXT = b"fedxdr/secagg/committee-box/v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperSecret:
    """A helper's key pair of one round; its representation shows the public half."""

    pair: HybridPrivateKey = field(repr=False)

    @property
    def key(self) -> HelperKey:
        """What is published, under the identity's signature."""
        return HelperKey(seeds=self.pair.public)


def derive_helper(entropy: bytes) -> HelperSecret:
    """Return a helper's key pair of a round.

    Args:
        entropy: 32 bytes, fresh for this round and stored before the key is sent. The
            same bytes always give the same pair.

    Raises:
        MalformedMessage: another length.
    """
    _want_seed("helper entropy", entropy)
    return HelperSecret(
        pair=HybridPrivateKey.from_seed(hkdf(entropy, label=_KEY_LABEL))
    )


def make_upload(
    quantised: Words,
    *,
    entropy: bytes,
    committee: Committee,
    me: OrgId,
    in_place: bool = False,
) -> Upload:
    """Return our upload: y = x - sum_j PRG(r_j) modulo 2^width, and the sealed seeds.

    The same vector and entropy give the same masked vector under different seals; an
    other vector gets other seeds, so that the two share no pad. Store the upload before
    sending it, and send the stored one again.

    Args:
        quantised: (d,) uint32 from quantise.py.
        entropy: 32 secret bytes of this organisation and round.
        committee: what all agreed on, the helpers' signatures verified by the caller.
        me: our name.
        in_place: whether ``quantised`` itself is masked, so that the plain vector is
            gone; else it is not changed.

    Raises:
        UnknownSender: we are no contributor of this round.
        InvalidUpdate: another type or shape.
        MalformedMessage: entropy of another length, or a helper's key that is none; the
            message names the helper.
    """
    _want_seed("upload entropy", entropy)
    if me not in committee.contributors:
        raise UnknownSender(f"{me} is no contributor of this round")
    if quantised.dtype != np.uint32 or quantised.ndim != 1:
        raise InvalidUpdate(
            f"got {quantised.dtype} of shape {quantised.shape}, want uint32 (d,)"
        )
    masked = quantised if in_place else np.array(quantised, copy=True, order="C")
    plain = hashlib.sha256(masked.data).digest()
    seeds = {
        helper: hkdf(
            entropy,
            label=_SEED_LABEL,
            context=plain + committee.transcript + _names(me, helper),
        )
        for helper in committee.helpers
    }
    masking.apply(
        masked,
        subtract=[
            _mask_seed(seed, committee, sender=me, helper=helper)
            for helper, seed in seeds.items()
        ],
    )
    vector = packing.pack(masked, width=committee.width)
    vector_digest = sha256(vector)
    boxes = {}
    for helper, key in committee.helpers.items():
        try:
            boxes[helper] = seal(
                key.seeds,
                seeds[helper],
                context=_box_context(committee, me, helper, vector_digest),
            )
        except MalformedMessage as error:
            raise MalformedMessage(f"round key of {helper}: {error}") from error
    header = UploadHeader(
        sender=me,
        transcript=committee.transcript,
        vector_digest=vector_digest,
        boxes=boxes,
    )
    return Upload(header=header, vector=vector)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSeeds:
    """What a helper holds; made by ``open_seeds``.

    Attributes:
        report: what it tells.
        seeds: by organisation, 32 bytes.
    """

    report: Report
    seeds: Mapping[OrgId, bytes] = field(repr=False)


def open_seeds(
    secret: HelperSecret,
    headers: Iterable[UploadHeader],
    *,
    committee: Committee,
    me: OrgId,
) -> OpenedSeeds:
    """Open the seeds that organisations sealed for us.

    A bad box is the fault of its sender and costs nobody else: it is reported. A header
    that should never have reached us is the orchestrator's fault and raises.

    Args:
        secret: ours, from ``derive_helper``.
        headers: one per organisation that uploaded, each under its signature, in any
            order.
        committee: what all agreed on.
        me: our name.

    Raises:
        InvalidInput: we are no helper, or under a key that is not ours (key swap);
            two headers of one sender; a header of another round.
        UnknownSender: a header of somebody who is no contributor.
    """
    if committee.helpers.get(me) != secret.key:
        raise InvalidInput(f"the committee does not hold the key that {me} sent")
    seeds: dict[OrgId, bytes] = {}
    opened: dict[OrgId, Digest] = {}
    refused: set[OrgId] = set()
    for header in headers:
        sender = header.sender
        if sender not in committee.contributors:
            raise UnknownSender(f"an upload of {sender}, who is no contributor")
        if header.transcript != committee.transcript:
            raise InvalidInput(f"the upload of {sender} is of another round")
        if sender in seeds or sender in refused:
            raise InvalidInput(f"two uploads of {sender}")
        try:
            seeds[sender] = _open_seed(secret, header, committee, me)
        except InvalidShare:
            refused.add(sender)
        else:
            opened[sender] = header.vector_digest
    report = Report(
        helper=me,
        transcript=committee.transcript,
        opened={name: opened[name] for name in sorted(opened)},
        refused=tuple(sorted(refused)),
    )
    return OpenedSeeds(report=report, seeds=seeds)


def close(committee: Committee, reports: Mapping[OrgId, Report]) -> Included:
    """Return the included set: those whose seeds opened at every helper.

    The orchestrator calls it, once, when all helpers have reported.

    Args:
        committee: what all agreed on.
        reports: by helper, all of them.

    Raises:
        TooFewParticipants: a report is missing, or fewer than the minimum are left;
            names whom a helper refused.
        InvalidInput: a report of another helper or round.
    """
    _want_all_helpers("report", committee, reports)
    for helper, report in reports.items():
        if report.helper != helper or report.transcript != committee.transcript:
            raise InvalidInput(f"the report of {helper} is not of this round")
    first, *others = reports.values()
    vectors = {
        name: vector
        for name, vector in first.opened.items()
        if all(report.opened.get(name) == vector for report in others)
        and name in committee.contributors
    }
    included = Included(
        transcript=committee.transcript,
        vectors={name: vectors[name] for name in sorted(vectors)},
    )
    if len(vectors) < committee.min_survivors:
        refused = sorted(
            {name for report in reports.values() for name in report.refused}
        )
        raise TooFewParticipants(
            f"{len(vectors)} uploads opened at every helper, {committee.min_survivors} "
            f"are needed; refused: {', '.join(refused) or 'nobody'}"
        )
    return included


def answer(
    opened: OpenedSeeds,
    included: Included,
    *,
    size: int,
    committee: Committee,
    answered: Included | None = None,
) -> HelperAnswer:
    """Return sum_{i in U} PRG(r_ij), for one set.

    Extra memory is O(size) whatever the number of members; the cost is that of
    ``members * size`` words of key stream.

    Args:
        opened: what we opened.
        included: the set, under the orchestrator's signature, verified by the caller.
        size: d, from the plan.
        committee: what all agreed on.
        answered: the set we answered for before, in this round or in an earlier one on
            the same parent model; None if none. The caller stores ``included`` as such
            before it sends the answer.

    Raises:
        AlreadyAnswered: another set than we answered for.
        InvalidInput: a set of another round.
        TooFewParticipants: fewer members than the minimum.
        UnknownSender: a member whose seed we do not hold; names all such.
        InvalidShare: a member whose vector is not the one its seed came with.
    """
    report = opened.report
    if {included.transcript, report.transcript} != {committee.transcript}:
        raise InvalidInput("the included set is of another round")
    if answered is not None:
        _want_same(answered, included)
    if len(included.vectors) < committee.min_survivors:
        raise TooFewParticipants(
            f"a set of {len(included.vectors)}, {committee.min_survivors} are needed "
            "to open their sum"
        )
    strangers = [name for name in included.vectors if name not in report.opened]
    if strangers:
        raise UnknownSender(f"no seed was opened for {', '.join(strangers)}")
    for name, vector in included.vectors.items():
        if report.opened[name] != vector:
            raise InvalidShare(f"the seed of {name} came with another vector")
    total = np.zeros(size, dtype=np.uint32)
    masking.apply(
        total,
        add=[
            _mask_seed(opened.seeds[name], committee, sender=name, helper=report.helper)
            for name in included.vectors
        ],
    )
    masks = packing.pack(total, width=committee.width)
    head = AnswerHead(
        helper=report.helper, included=included.digest, sum_digest=sha256(masks)
    )
    return HelperAnswer(head=head, masks=masks)


def open_sum(
    vectors: Iterable[tuple[OrgId, bytes]],
    *,
    size: int,
    committee: Committee,
    included: Included,
    answers: Mapping[OrgId, HelperAnswer],
) -> npt.NDArray[np.int32]:
    """Return the exact signed sum of the included organisations' quantised vectors.

    Args:
        vectors: each member's packed vector, once, in any order; read one at a time.
            The caller held each against its signed digest when it arrived.
        size: d.
        committee: what all agreed on.
        included: the set that was closed.
        answers: by helper, all of them, each head under the helper's signature.

    Returns:
        (d,) int32.

    Raises:
        InvalidInput: an answer of another helper or for another set.
        InvalidShare: an answer that is not the one its head was signed for.
        TooFewParticipants: an answer or a member's vector is missing.
        UnknownSender: a vector of somebody outside the set, or twice from one.
        MalformedMessage: a vector or an answer of another length; names the sender.
    """
    _want_all_helpers("answer", committee, answers)
    for helper, given in answers.items():
        if given.head.helper != helper or given.head.included != included.digest:
            raise InvalidInput(f"the answer of {helper} is not for this set")
        if sha256(given.masks) != given.head.sum_digest:
            raise InvalidShare(f"the answer of {helper} is not the one it signed")
    total = np.zeros(size, dtype=np.uint32)
    missing = set(included.vectors)
    for name, vector in vectors:
        if name not in missing:
            raise UnknownSender(f"a vector of {name} is not expected (again)")
        _add(total, vector, of=name, width=committee.width)
        missing.remove(name)
    if missing:
        raise TooFewParticipants(f"vectors are missing: {', '.join(sorted(missing))}")
    for helper, given in answers.items():
        _add(total, given.masks, of=helper, width=committee.width)
    return packing.signed(total, width=committee.width)


def _open_seed(
    secret: HelperSecret, header: UploadHeader, committee: Committee, me: OrgId
) -> bytes:
    """Return one organisation's seed for us.

    Raises:
        InvalidShare: there is none, whatever is wrong with it.
    """
    if header.boxes.keys() != committee.helpers.keys():
        raise InvalidShare("an upload holds one sealed seed per helper")
    context = _box_context(committee, header.sender, me, header.vector_digest)
    try:
        return open_sealed(secret.pair, header.boxes[me], context=context)
    except MalformedMessage as error:
        raise InvalidShare(f"the sealed seed of {header.sender}: {error}") from error


def _want_same(answered: Included, included: Included) -> None:
    """Refuse a second set: two sums on one parent give their difference away."""
    same_round = answered.transcript == included.transcript
    if (same_round and answered != included) or answered.names != included.names:
        raise AlreadyAnswered("masks were summed for another set on this parent")


def _want_all_helpers(
    what: str, committee: Committee, given: Mapping[OrgId, object]
) -> None:
    missing = sorted(committee.helpers.keys() - given.keys())
    if missing:
        raise TooFewParticipants(f"the {what} of {', '.join(missing)} is missing")
    if given.keys() != committee.helpers.keys():
        raise InvalidInput(f"a {what} of somebody who is no helper")


def _add(total: Words, packed: bytes, *, of: OrgId, width: int) -> None:
    try:
        packing.add(total, packed, width=width)
    except MalformedMessage as error:
        raise MalformedMessage(f"{of}: {error}") from error


def _mask_seed(
    seed: bytes, committee: Committee, *, sender: OrgId, helper: OrgId
) -> bytes:
    context = committee.transcript + _names(sender, helper)
    return hkdf(seed, label=_MASK_LABEL, context=context)


def _box_context(
    committee: Committee, sender: OrgId, helper: OrgId, vector_digest: Digest
) -> bytes:
    """Return label || transcript || vector digest || sender || 0x00 || helper."""
    vector = bytes.fromhex(vector_digest)
    return _BOX_CONTEXT + committee.transcript + vector + _names(sender, helper)


def _names(sender: OrgId, helper: OrgId) -> bytes:
    return sender.encode() + b"\x00" + helper.encode()


def _want_seed(what: str, data: bytes) -> None:
    if len(data) != SEED_BYTES:
        raise MalformedMessage(f"{what}: got {len(data)} bytes, want {SEED_BYTES}")
