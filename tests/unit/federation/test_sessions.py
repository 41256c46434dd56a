# SPDX-License-Identifier: Apache-2.0
"""An organisation's machine as scripts: facts in, what is due out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.ids import OrgId
from fedxdr.federation import sessions
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import (
    TABLE,
    Acknowledged,
    End,
    Ended,
    Fetch,
    Fetched,
    Made,
    Make,
    Missed,
    Send,
    Session,
    Step,
    Wait,
)

IN_CLEAR = {"collection_mode": "clear", "acknowledge_clear": True}
ME = OrgId("org-00")
ORDER = list(Phase)
VITAL = [row.step for row in TABLE["secagg"] if row.is_vital]
STEPS = [row.step for row in TABLE["secagg"]]


@pytest.fixture
def session(plan, announcement):
    def build(**how) -> Session:
        return Session(me=ME, announcement=announcement(), plan=plan(**how))

    return build


def done(session: Session, *, until: Step | None = None) -> Session:
    """Return the session after every step before that one was done."""
    for row in TABLE[session.plan.collection_mode]:
        if row.step is until:
            return session
        facts = (
            (Fetched(step=row.step, body=b"in"),)
            if row.does == "fetch"
            else (Made(step=row.step, body=b"out"), Acknowledged(step=row.step))
        )
        for fact in facts:
            session = sessions.apply(session, fact)
    return session


def test_the_table_is_the_protocol_of_the_design():
    assert STEPS == [
        Step.KEYS,
        Step.KEY_LIST,
        Step.SHARES,
        Step.MAIL,
        Step.CONTRIBUTION,
        Step.SURVIVOR_SET,
        Step.SURVIVOR_SIGNATURE,
        Step.QUORUM,
        Step.UNMASKING,
        Step.PROPOSAL,
        Step.ACCEPTANCE,
    ]
    assert {row.step for rows in TABLE.values() for row in rows} == set(Step)
    assert [row.step for row in TABLE["clear"]] == [
        Step.KEYS,
        Step.KEY_LIST,
        Step.CONTRIBUTION,
        Step.PROPOSAL,
        Step.ACCEPTANCE,
    ]
    for rows in TABLE.values():
        places = [ORDER.index(row.phase) for row in rows]
        assert places == sorted(places)
    # what others can carry is not vital
    assert set(STEPS) - set(VITAL) == {
        Step.SURVIVOR_SIGNATURE,
        Step.UNMASKING,
        Step.PROPOSAL,
        Step.ACCEPTANCE,
    }


@pytest.mark.parametrize("how", [{}, IN_CLEAR], ids=["secagg", "clear"])
def test_a_whole_session(session, how):
    now = session(**how)
    for row in TABLE[now.plan.collection_mode]:
        early = ORDER.index(row.phase) - 1
        if early >= 0:
            assert sessions.due(now, ORDER[early]) == Wait()
        if row.does == "fetch":
            assert sessions.due(now, row.phase) == Fetch(step=row.step)
            now = sessions.apply(now, Fetched(step=row.step, body=b"in"))
        else:
            assert sessions.due(now, row.phase) == Make(step=row.step)
            now = sessions.apply(now, Made(step=row.step, body=b"out"))
            assert sessions.due(now, row.phase) == Send(step=row.step, body=b"out")
            now = sessions.apply(now, Acknowledged(step=row.step))
    assert sessions.due(now, Phase.PROPOSED) == Wait()
    assert sessions.due(now, Phase.COMMITTED) == End(
        reason="committed", sentence="the block is on the ledger"
    )
    now = sessions.apply(now, Ended(reason="committed", sentence=""))
    for phase in Phase:
        assert sessions.due(now, phase) == Wait()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_made_once_and_sent_until_it_is_confirmed(session, step):
    now = done(session(), until=step)
    row = next(row for row in TABLE["secagg"] if row.step is step)
    if row.does == "fetch":
        now = sessions.apply(now, Fetched(step=step, body=b"first"))
        now = sessions.apply(now, Fetched(step=step, body=b"second"))
        assert now.fetched[step] == b"first"
        return
    now = sessions.apply(now, Made(step=step, body=b"first"))
    now = sessions.apply(now, Made(step=step, body=b"second"))
    for phase in ORDER[ORDER.index(row.phase) : ORDER.index(Phase.COMMITTED)]:
        assert sessions.due(now, phase) == Send(step=step, body=b"first")


@pytest.mark.parametrize("step", VITAL)
def test_whoever_missed_a_vital_step_has_dropped_out(session, step):
    now = sessions.apply(done(session(), until=step), Missed(step=step))
    for phase in Phase:
        if phase is Phase.COMMITTED and Step.CONTRIBUTION in now.acknowledged:
            continue
        due = sessions.due(now, phase)
        assert isinstance(due, End)
        assert due.reason == "dropped-out"
        assert str(step) in due.sentence


@pytest.mark.parametrize("step", sorted(set(STEPS) - set(VITAL)))
def test_what_was_missed_later_is_skipped(session, step):
    now = sessions.apply(done(session(), until=step), Missed(step=step))
    due = sessions.due(now, Phase.PROPOSED)
    following = STEPS[STEPS.index(step) + 1 :]
    if not following:
        assert due == Wait()
    else:
        assert due in (Fetch(step=following[0]), Make(step=following[0]))


@pytest.mark.parametrize("step", STEPS)
def test_a_round_that_failed_ends_the_session_wherever_it_stands(session, step):
    due = sessions.due(done(session(), until=step), Phase.FAILED)
    assert isinstance(due, End)
    assert due.reason == "failed"
    assert sessions.due(done(session()), Phase.FAILED) == due


@pytest.mark.parametrize("step", STEPS)
def test_a_round_that_was_committed_asks_nothing_more_of_its_survivors(session, step):
    now = done(session(), until=step)
    due = sessions.due(now, Phase.COMMITTED)
    if Step.CONTRIBUTION in now.acknowledged:
        assert due == End(reason="committed", sentence="the block is on the ledger")
    else:
        # it finds out by sending that it came too late
        assert due in (Make(step=step), Fetch(step=step))


def test_the_first_end_counts(session):
    now = sessions.apply(session(), Ended(reason="refused", sentence="a"))
    now = sessions.apply(now, Ended(reason="committed", sentence="b"))
    assert now.ended == Ended(reason="refused", sentence="a")


FACTS = st.lists(
    st.one_of(
        st.builds(Made, step=st.sampled_from(Step), body=st.binary(max_size=2)),
        st.builds(Fetched, step=st.sampled_from(Step), body=st.binary(max_size=2)),
        st.builds(Acknowledged, step=st.sampled_from(Step)),
        st.builds(Missed, step=st.sampled_from(Step)),
    ),
    max_size=25,
)


@settings(max_examples=200)
@given(facts=FACTS, phase=st.sampled_from(Phase))
def test_whatever_happened_nothing_is_made_twice(facts, phase, plan, announcement):
    now = Session(me=ME, announcement=announcement(), plan=plan())
    for fact in facts:
        now = sessions.apply(now, fact)
    due = sessions.due(now, phase)
    first = {fact.step: fact.body for fact in reversed(facts) if isinstance(fact, Made)}
    assert now.made == first
    match due:
        case Make(step=step):
            assert step not in now.made
            assert step not in now.missed | now.acknowledged
        case Send(step=step, body=body):
            assert body == first[step]
            assert step not in now.missed | now.acknowledged
        case Fetch(step=step):
            assert step not in now.fetched
            assert step not in now.missed
        case End(reason=reason):
            assert reason in {"failed", "committed", "dropped-out"}
        case Wait():
            pass
