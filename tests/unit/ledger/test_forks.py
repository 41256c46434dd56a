# SPDX-License-Identifier: Apache-2.0
"""No two histories that part somewhere both verify while f of n witnesses lie.

The argument stands in verifier.py, step 11. Here it is tried: with sets for every n of
3 to 100, where an adversary chooses histories, liars and who is asked for what and
when; and with real keys, heads and bundles for a few n.

The adversary owns the orchestrator and f = (n - 1) // 3 of the n members at the block
where the histories part, and whomever it enrols afterwards. An honest witness signs
only what extends everything that it signed before. All members approve every change:
approvals are another defence, and this one must hold without it.
"""

import copy
import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import VerificationFailed
from fedxdr.ledger import heads, note, policy
from fedxdr.ledger.note_form import Note
from fedxdr.ledger.verifier import verify

# With sets: a block is a kind and whom it concerns, a history a tuple of blocks.


def members_after(history, founders):
    """Return the members after a history; like ``Standing``, and no more of it."""
    members = set(founders)
    for kind, org in history:
        if kind == "enrol":
            members.add(org)
        if kind == "suspend":
            members.discard(org)
    return members


def wanted(history):
    """Return the prefixes whose heads need a quorum: over turns, and the newest."""
    return [
        history[:size]
        for size, (kind, _) in enumerate(history, start=1)
        if kind != "quiet" or size == len(history)
    ]


def holds(history, founders, signed):
    """Return whether each head that needs a quorum has it, of the members before."""
    for prefix in wanted(history):
        before = members_after(prefix[:-1], founders)
        if len(signed.get(prefix, set()) & before) < policy.quorum(len(before)):
            return False
    return True


class SetWitness:
    """Signs a prefix if it is honest and has signed nothing else, or if it lies."""

    def __init__(self, *, honest):
        self.honest, self.seen = honest, ()

    def signs(self, prefix):
        if not self.honest:
            return True
        if prefix[: len(self.seen)] != self.seen:
            return False
        self.seen = prefix
        return True


def served(histories, founders, liars, asks):
    """Return which histories hold when witnesses are asked in this order."""
    everybody = set(founders).union(
        *({org for _, org in history if org} for history in histories)
    )
    witnesses = {
        org: SetWitness(honest=org in founders and org not in liars)
        for org in everybody
    }
    signed = {}
    for org, which in asks:
        for prefix in wanted(histories[which]):
            if witnesses[org].signs(prefix):
                signed.setdefault(prefix, set()).add(org)
    return [holds(history, founders, signed) for history in histories]


@pytest.mark.parametrize("n", range(3, 101))
def test_two_quorums_share_an_honest_member(n):
    f, q = policy.faults(n), policy.quorum(n)
    assert f == (n - 1) // 3
    assert 2 * q - n > f
    # and it is the smallest such number, which the honest ones alone can reach
    assert 2 * (q - 1) - n <= f
    assert q <= n - f


@pytest.mark.parametrize("n", range(3, 101))
def test_however_the_honest_ones_are_split_one_history_fails(n):
    founders = [f"org-{i}" for i in range(n)]
    liars = set(founders[: policy.faults(n)])
    honest = [org for org in founders if org not in liars]
    histories = [(("quiet", "a"),), (("quiet", "b"),)]
    for count in range(len(honest) + 1):
        asks = [(org, 0) for org in (*liars, *honest[:count])]
        asks += [(org, 1) for org in founders]
        assert served(histories, founders, liars, asks) != [True, True]


@pytest.mark.parametrize("n", range(4, 101))
def test_two_liars_more_and_both_would_hold(n):
    """The bound is no accident of this model: beyond it forks succeed."""
    founders = [f"org-{i}" for i in range(n)]
    liars = set(founders[: policy.faults(n) + 2])
    honest = [org for org in founders if org not in liars]
    half = honest[: len(honest) // 2]
    asks = [(org, 0) for org in (*liars, *half)] + [(org, 1) for org in founders]
    histories = [(("quiet", "a"),), (("quiet", "b"),)]
    assert served(histories, founders, liars, asks) == [True, True]


@st.composite
def histories_(draw, founders, begin, name):
    """Draw how a history goes on: a few blocks, with or without turns."""
    history = begin
    for i in range(draw(st.integers(0 if begin else 1, 4))):
        members = sorted(members_after(history, founders))
        kind = draw(st.sampled_from(["quiet", "enrol", "suspend"]))
        if kind == "suspend" and len(members) > 3:
            whom = members[draw(st.integers(0, len(members) - 1))]
        elif kind == "suspend":
            continue
        else:
            whom = f"{name}-{i}"
        history = (*history, (kind, whom))
    return history


@st.composite
def attacks(draw):
    """Draw founders, liars, two histories that part, and the order of asking."""
    n = draw(st.integers(3, 100))
    founders = [f"org-{i:02d}" for i in range(n)]
    before = draw(histories_(founders, (), "before"))
    histories = [draw(histories_(founders, before, name)) for name in ("one", "two")]
    common = tuple(
        left
        for left, right in itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(*histories, strict=False)
        )
    )
    assume(len(common) < min(map(len, histories)))
    # Whoever was enrolled before the parting lies, and is one of the f of them.
    members = members_after(common, founders)
    newcomers = members - set(founders)
    spare = policy.faults(len(members)) - len(newcomers)
    assume(spare >= 0)
    old = sorted(members - newcomers)
    begin = draw(st.integers(0, len(old)))
    liars = set((old + old)[begin : begin + spare])
    sides = draw(st.integers(0, 2**n - 1))
    asks = [(org, sides >> i & 1) for i, org in enumerate(founders)]
    asks += [(org, 1 - which) for org, which in asks]
    new = {org for history in histories for kind, org in history if kind == "enrol"}
    asks += [(org, which) for org in sorted(new) for which in (0, 1)]
    return founders, liars, histories, asks


@settings(max_examples=150, deadline=None)
@given(attacks())
def test_no_two_histories_that_part_both_hold(attack):
    founders, liars, histories, asks = attack
    assert served(histories, founders, liars, asks) != [True, True]


@settings(max_examples=50, deadline=None)
@given(attacks())
def test_a_history_that_all_cosign_holds(attack):
    """So what fails above fails for the fork, not for the model."""
    founders, liars, histories, asks = attack
    for history in histories:
        known = {*founders, *(org for _, org in history)}
        alone = [(org, 0) for org, _ in asks if org in known]
        assert served([history], founders, liars, alone) == [True]


# With real keys


class Witness:
    """A member that cosigns: always if it lies, else what extends what it saw."""

    def __init__(self, org, *, honest):
        self.org, self.honest, self.seen = org, honest, ()

    def lines(self, told, size, head):
        hashes = tuple(told.hashes(size))
        if self.honest and hashes[: len(self.seen)] != self.seen:
            return ()
        self.seen = hashes
        return told.lines(head, self.org, size)


def branch(told):
    """Return a copy of a ledger that can go on otherwise."""
    other = copy.copy(told)
    for name in ("blocks", "folds", "models", "keys", "plan"):
        setattr(other, name, copy.copy(getattr(told, name)))
    return other


PARTINGS = {
    "quiet": lambda told, name: told.fail(f"round-{name}"),
    "enrol": lambda told, name: told.enrol(f"sybil-{name}"),
    "suspend": lambda told, _: told.suspend(honest_of(told)),
    "rotate": lambda told, _: told.rotate(honest_of(told)),
    "replace": lambda told, name: told.replace(f"{name}.example/ledger"),
    "sybils": lambda told, name: told.enrol(f"a-{name}").enrol(f"b-{name}"),
}


def honest_of(told):
    return max(told.standing().members)


def ask(told, found, witnesses):
    """Add to the heads that a bundle wants the lines of these witnesses."""
    for size in sorted(told.heads(cosigners=())):
        head = found.get(size) or told.head(size, cosigners=())
        may = told.standing(size).cosigners
        lines = list(note.parse(head).signatures)
        for witness in witnesses:
            if witness.org in may:
                more = witness.lines(told, size, head)
                lines += [line for line in more if line not in lines]
        text = note.parse(head).text
        mixed = Note(text=text, signatures=tuple(lines)).to_bytes()
        found[size] = heads.known_lines(mixed, told.standing(size))


def verifies(told, found):
    try:
        verify(told.export(heads=found))
    except VerificationFailed as error:
        assert error.height is None  # noqa: PT017 - a fork is no fault of a block
        return False
    return True


def fork(federation, n, partings, split, *, liars=None):
    """Return which of two histories verify, and how they would if all cosigned.

    ``split`` honest members are asked for the left history first, the others for the
    right one; then each for the other one. Newcomers sign whatever they are asked for.
    """
    founders = tuple(f"org-{i:02d}" for i in range(n))
    told = federation(founders).founded()
    lying = set(founders[: policy.faults(n) if liars is None else liars])
    members = [Witness(org, honest=org not in lying) for org in founders]
    honest = [witness for witness in members if witness.honest]
    sides = []
    for name, parting in zip(("left", "right"), partings, strict=True):
        side = branch(told)
        PARTINGS[parting](side, name)
        side.tick()
        side.fail(f"round-end-{name}")
        new = [Witness(o, honest=False) for o in side.keys if o not in founders]
        sides.append((side, {}, new))
    crooked = [witness for witness in members if not witness.honest]
    for (side, found, new), first in zip(
        sides, (honest[:split], honest[split:]), strict=True
    ):
        ask(side, found, [*crooked, *first, *new])
    for (side, found, _), second in zip(
        sides, (honest[split:], honest[:split]), strict=True
    ):
        ask(side, found, second)
    return [verifies(side, found) for side, found, _ in sides]


PAIRS = [
    ("quiet", "quiet"),
    ("quiet", "enrol"),
    ("enrol", "enrol"),
    ("sybils", "suspend"),
    ("rotate", "quiet"),
    ("replace", "rotate"),
]


@pytest.mark.parametrize(
    ("n", "pair"), [(3, PAIRS[0]), (3, PAIRS[2]), *((4, pair) for pair in PAIRS)]
)
def test_no_split_of_the_honest_lets_both_histories_verify(federation, n, pair):
    honest = n - policy.faults(n)
    assert fork(federation, n, pair, honest // 2) != [True, True]
    # with all of the honest on one side that history stands, and it alone
    assert fork(federation, n, pair, honest) == [True, False]


@pytest.mark.parametrize(("n", "pair"), [(5, PAIRS[1]), (10, PAIRS[3])])
def test_no_even_split_of_more_members_either(federation, n, pair):
    honest = n - policy.faults(n)
    assert fork(federation, n, pair, honest // 2) != [True, True]


def test_more_liars_than_a_third_would_fork(federation):
    """So the test can fail: with two of four the same attack succeeds."""
    assert fork(federation, 4, ("quiet", "enrol"), 1, liars=2) == [True, True]


def test_sybils_do_not_count_for_the_head_that_lets_them_in(federation):
    told = federation().founded()
    for name in ("a", "b", "c", "d", "e", "f", "g"):
        told.enrol(f"sybil-{name}")
    told.fail("round-x")
    sybils = [Witness(o, honest=False) for o in told.keys if o.startswith("sybil")]
    found = {}
    ask(told, found, [Witness("alpha", honest=False), *sybils])
    # the first of their heads has one cosigner of the three members there were
    assert not verifies(told, found)
    with pytest.raises(VerificationFailed, match="1 of 3 cosigned"):
        verify(told.export(heads=found))


def test_an_honest_witness_of_the_model_signs_one_history_only(federation):
    told = federation().founded()
    left, right = branch(told), branch(told)
    left.fail("round-left")
    right.fail("round-right")
    witness = Witness("alpha", honest=True)
    for side, wanted_ in ((told, 2), (left, 2), (right, 0), (left, 2)):
        head = side.head(cosigners=())
        assert len(witness.lines(side, len(side.blocks), head)) == wanted_


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("pair", list(itertools.product(PARTINGS, repeat=2)))
@pytest.mark.parametrize("n", [5, 10])
def test_all_pairs_of_partings(federation, n, pair):
    # at every height, so after an honest member went as well
    liars = policy.faults(n - 1 if "suspend" in pair else n)
    for split in range(n - liars + 1):
        assert fork(federation, n, pair, split, liars=liars) != [True, True]


def test_without_an_honest_member_fewer_liars_are_too_many(federation):
    """Of ten three may lie, of nine only two: whom to suspend is worth a thought."""
    assert fork(federation, 10, ("suspend", "suspend"), 3) == [True, True]
    assert fork(federation, 10, ("suspend", "suspend"), 3, liars=2) != [True, True]


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_hundred_members(federation, pair):
    honest = 100 - policy.faults(100)
    for split in (honest // 2, (honest + 1) // 2, honest):
        found = fork(federation, 100, pair, split)
        assert found != [True, True]
        if split == honest:
            assert found == [True, False]
