# SPDX-License-Identifier: Apache-2.0
"""Lies about a round, each signed with real keys, each refused at its own step."""

import dataclasses

import pytest
from msgspec import UNSET

from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.ledger import rules, statements
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import PrivacyClaim
from fedxdr.ledger.steps import Step
from fedxdr.ledger.verifier import verify

HEIGHT = 2
OTHER = sha256(b"something else")


@pytest.fixture
def founded(federation):
    return federation().founded()


def refused(told, step, height=HEIGHT, match=None):
    with pytest.raises(VerificationFailed, match=match) as caught:
        verify(told.export())
    assert (caught.value.step, caught.value.height) == (step, height), caught.value


def beside(told, kind):
    return [e for e in told.blocks[-1].envelopes if e.payload_type == kind]


def first(told):
    return beside(told, statements.CONTRIBUTION_TYPE)


def second(told):
    return beside(told, statements.ACCEPTANCE_TYPE)


def test_a_truthful_round_passes(founded):
    told = founded.commit().commit(survivors=("alpha", "charlie"))
    report = verify(told.export())
    assert report.rounds == ("round-1", "round-2")
    assert report.model_hash == sha256(b"model 2")


def test_a_round_of_statistics_may_leave_the_model_as_it_is(founded):
    told = founded.commit(model=b"model 0", entry_lies={"task": "statistics"})
    assert verify(told.export(models=[b"model 0"])).model_hash == sha256(b"model 0")


# (4) statement 1


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_contribution_statement(founded, missing):
    told = founded.commit()
    kept = [e for i, e in enumerate(first(told)) if i != missing]
    refused(told.beside([*kept, *second(told)]), Step.CONTRIBUTIONS, match="missing")


def test_a_contribution_statement_signed_by_another_organisation(founded):
    contributed = [
        founded.contribution("alpha", "round-1", signer="bravo"),
        founded.contribution("bravo", "round-1"),
        founded.contribution("charlie", "round-1"),
    ]
    refused(founded.commit(contributed=contributed), Step.CONTRIBUTIONS)


def test_a_contribution_statement_of_somebody_who_is_not_in_the_sum(founded):
    told = founded.commit(survivors=("alpha", "bravo"))
    late = founded.contribution("charlie", "round-1")
    told.beside([*told.blocks[-1].envelopes, late])
    refused(told, Step.CONTRIBUTIONS, match="of others")


def test_two_contribution_statements_of_one_organisation(founded):
    again = founded.contribution("alpha", "round-1", sample_exponent=9)
    told = founded.commit()
    told.beside([*told.blocks[-1].envelopes, again])
    refused(told, Step.CONTRIBUTIONS, match="twice")


@pytest.mark.parametrize(
    ("statement", "block"),
    [
        ({"round_id": "round-9"}, {}),
        ({"plan_digest": OTHER}, {}),
        ({"parent_model": OTHER}, {}),
        (
            {"sample_exponent": 30},
            {"data_volume": dict.fromkeys(("alpha", "bravo", "charlie"), 128)},
        ),
        (
            {"privacy": PrivacyClaim(mechanism="gaussian", epsilon=1.0)},
            {
                "privacy_params": dict.fromkeys(
                    ("alpha", "bravo", "charlie"), PrivacyClaim(mechanism="none")
                )
            },
        ),
    ],
    ids="-".join,
)
def test_a_contribution_statement_that_says_something_else(founded, statement, block):
    told = founded.commit(contribution_lies=statement, provenance_lies=block)
    refused(told, Step.CONTRIBUTIONS, match="stated another")


def test_another_contribution_than_the_one_stated(founded):
    told = founded.commit()
    swapped = told.last.entry.contributions | {"alpha": OTHER}
    entry = dataclasses.replace(told.last.entry, contributions=swapped)
    told.blocks[-1] = dataclasses.replace(
        told.blocks[-1], block=dataclasses.replace(told.last, entry=entry)
    )
    refused(told, Step.CONTRIBUTIONS, match="contributions_root")


def test_another_contribution_under_a_root_that_fits(founded):
    contributed = [founded.contribution(org, "round-1") for org in founded.keys]
    stated = {
        s.org: s.contribution_digest for s in map(statements.read, contributed)
    } | {"alpha": OTHER}
    told = founded.commit(
        contributed=contributed,
        entry_lies={
            "contributions": stated,
            "contributions_root": contributions_root(stated),
        },
    )
    refused(told, Step.CONTRIBUTIONS, match="another contribution")


def test_a_contribution_that_nobody_stated(founded):
    told = founded.commit(
        survivors=("alpha", "bravo"),
        entry_lies={"survivors": ("alpha", "bravo", "charlie"), "dropouts": ()},
    )
    refused(told, Step.CONTRIBUTIONS, match="charlie")


@pytest.mark.parametrize(
    "stated",
    [
        {"alpha": OTHER},
        dict.fromkeys(("alpha", "bravo", "charlie", "delta"), OTHER),
        {},
    ],
    ids=["missing", "more", "none"],
)
def test_contributions_of_others_than_those_in_the_sum(founded, stated):
    lie = {"contributions": stated, "contributions_root": contributions_root(stated)}
    told = founded.commit(entry_lies=lie)
    refused(
        told, Step.CONTRIBUTIONS, match="^block 2, step 4.*: contributions: missing"
    )


def test_another_kind_of_envelope_beside_a_round(founded):
    stray = dsse.sign("text/plain", b"hello", founded.keys["alpha"])
    told = founded.commit()
    refused(told.beside([*told.blocks[-1].envelopes, stray]), Step.CONTRIBUTIONS)


@pytest.mark.parametrize("kind", ["enrolment", "approval"])
def test_a_statement_of_another_kind_beside_a_round(founded, kind):
    stray = (
        founded.enrolment("alpha")
        if kind == "enrolment"
        else founded.approval("alpha", founded.last.entry)
    )
    told = founded.commit()
    told.beside([*told.blocks[-1].envelopes, stray])
    refused(told, Step.CONTRIBUTIONS, match="beside a round")


def test_a_statement_in_another_form_than_the_canonical_one(founded):
    told = founded.commit()
    good = first(told)[0]
    spaced = dsse.sign_twice(
        statements.CONTRIBUTION_TYPE,
        good.payload.replace(b":", b": ", 1),
        founded.keys[statements.read(good).org],
    )
    told.beside([spaced, *first(told)[1:], *second(told)])
    refused(told, Step.CONTRIBUTIONS, match="canonical")


def without_ml_dsa(envelope, _):
    return dataclasses.replace(envelope, signatures=envelope.signatures[:1])


def with_a_wrong_ml_dsa(envelope, key):
    """Sign something else by ML-DSA-65, so that the signature itself is a good one."""
    ed25519, ml_dsa = envelope.signatures
    wrong = dataclasses.replace(ml_dsa, sig=key.sign_ml_dsa_65(b"something else"))
    return dataclasses.replace(envelope, signatures=(ed25519, wrong))


def with_a_wrong_ed25519(envelope, key):
    ed25519, ml_dsa = envelope.signatures
    wrong = dataclasses.replace(ed25519, sig=key.sign(b"something else"))
    return dataclasses.replace(envelope, signatures=(wrong, ml_dsa))


def with_a_further_signature(envelope, _):
    more = (*envelope.signatures, envelope.signatures[0])
    return dataclasses.replace(envelope, signatures=more)


SIGNATURES = [
    without_ml_dsa,
    with_a_wrong_ml_dsa,
    with_a_wrong_ed25519,
    with_a_further_signature,
]


@pytest.mark.parametrize("spoil", SIGNATURES)
def test_a_contribution_statement_without_its_two_signatures(founded, spoil):
    told = founded.commit()
    good = first(told)[0]
    bad = spoil(good, founded.keys[statements.read(good).org])
    told.beside([bad, *first(told)[1:], *second(told)])
    refused(told, Step.CONTRIBUTIONS, match=r"not signed by|does not verify")


# (5) statement 2


@pytest.mark.parametrize("spoil", SIGNATURES)
def test_an_acceptance_without_its_two_signatures(founded, spoil):
    told = founded.commit()
    good = second(told)[0]
    org = statements.read(good).org
    bad = spoil(good, founded.keys[org])
    told.beside([bad, *first(told), *second(told)[1:]])
    named = told.last.org_signatures | {org: bad.digest}
    told.blocks[-1] = dataclasses.replace(
        told.blocks[-1], block=dataclasses.replace(told.last, org_signatures=named)
    )
    refused(told, Step.ACCEPTANCES, match=r"not signed by|does not verify")


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_acceptances_than_the_plan_wants(founded, count):
    told = founded.commit()
    told.beside([*first(told), *second(told)[:count]])
    kept = (
        {
            statements.read(e).org: e.digest
            for e in beside(told, second(told)[0].payload_type)
        }
        if count
        else {}
    )
    told.blocks[-1] = dataclasses.replace(
        told.blocks[-1], block=dataclasses.replace(told.last, org_signatures=kept)
    )
    refused(told, Step.ACCEPTANCES, match=f"{count} accepted")


def test_rejections_are_no_acceptances(founded):
    told = founded.commit(
        acceptance_lies={"verdict": "rejected", "reason": "My receipt is missing."}
    )
    refused(told, Step.ACCEPTANCES, match="0 accepted")


def test_a_rejection_beside_enough_acceptances_is_a_warning(founded):
    contributed = [founded.contribution(org, "round-1") for org in founded.keys]
    no = {"verdict": "rejected", "reason": "My receipt is missing."}
    accepted = [
        founded.acceptance("alpha", "round-1", b"model 1", contributed),
        founded.acceptance("bravo", "round-1", b"model 1", contributed),
        founded.acceptance("charlie", "round-1", b"model 1", contributed, **no),
    ]
    told = founded.commit(contributed=contributed, accepted=accepted)
    warnings = verify(told.export()).warnings
    assert "block 2: 1 of 3 rejected the result" in warnings


@pytest.mark.parametrize(
    "lie",
    [
        {"round_id": "round-9"},
        {"task": "statistics"},
        {"builder": OTHER},
        {"plan_digest": OTHER},
        {"prev_hash": OTHER},
        {"parent_model": OTHER},
        {"model_hash": OTHER},
        {"sum_digest": OTHER},
        {"contributions": dict.fromkeys(("alpha", "bravo", "charlie"), OTHER)},
        {"contributions": {}},
        {"contributions_root": OTHER},
        {"data_volume": dict.fromkeys(("alpha", "bravo", "charlie"), 256)},
        {"data_volume": {"alpha": 128}},
        {"privacy_params": {}},
        {
            "privacy_params": dict.fromkeys(
                ("alpha", "bravo", "charlie"),
                PrivacyClaim(mechanism="dp-sgd", epsilon=0.1),
            )
        },
        {"figures": {}},
        {"figures": {"round": 1}},
        {
            "figures": {
                "round": 1,
                "convergence": 0.5,
                "gradient_norm": 1.5,
                "survivors_weight": 1,
            }
        },
        {
            "figures": {
                "round": 1,
                "convergence": 0.25,
                "gradient_norm": 1.5,
                "survivors_weight": 1,
                "loss": 0,
            }
        },
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_an_acceptance_of_something_else(founded, lie):
    told = founded.commit(acceptance_lies=lie)
    refused(told, Step.ACCEPTANCES, match="spoke of another")


def test_an_acceptance_signed_by_another_organisation(founded):
    contributed = [founded.contribution(org, "round-1") for org in founded.keys]
    accepted = [
        founded.acceptance("alpha", "round-1", b"model 1", contributed),
        founded.acceptance("bravo", "round-1", b"model 1", contributed, signer="alpha"),
    ]
    told = founded.commit(contributed=contributed, accepted=accepted)
    refused(told, Step.ACCEPTANCES)


def test_an_acceptance_by_the_orchestrator_itself(founded):
    founded.keys["bravo"], honest = founded.orchestrator, founded.keys["bravo"]
    contributed = [
        founded.contribution("alpha", "round-1"),
        founded.contribution("charlie", "round-1"),
    ]
    accepted = [
        founded.acceptance("alpha", "round-1", b"model 1", contributed),
        founded.acceptance("bravo", "round-1", b"model 1", contributed),
    ]
    founded.keys["bravo"] = honest
    told = founded.commit(contributed=contributed, accepted=accepted)
    refused(told, Step.ACCEPTANCES, match="not signed by")


def test_an_acceptance_by_somebody_who_was_not_announced(founded):
    cohort = ("alpha", "bravo")
    contributed = [founded.contribution(org, "round-1") for org in cohort]
    accepted = [
        founded.acceptance(org, "round-1", b"model 1", contributed)
        for org in ("alpha", "bravo", "charlie")
    ]
    told = founded.commit(cohort=cohort, contributed=contributed, accepted=accepted)
    refused(told, Step.ACCEPTANCES, match="not announced")


def test_a_dropout_may_accept(founded):
    contributed = [founded.contribution(org, "round-1") for org in ("alpha", "bravo")]
    accepted = [
        founded.acceptance(org, "round-1", b"model 1", contributed)
        for org in ("bravo", "charlie")
    ]
    told = founded.commit(contributed=contributed, accepted=accepted)
    assert verify(told.export()).blocks_verified == HEIGHT + 1


@pytest.mark.parametrize(
    "lie",
    [
        {},
        {"alpha": OTHER, "bravo": OTHER, "charlie": OTHER},
        {"alpha": OTHER},
    ],
)
def test_other_org_signatures_than_the_statements(founded, lie):
    told = founded.commit(org_signatures=lie)
    refused(told, Step.ACCEPTANCES, match="org_signatures")


# (6) membership


def test_a_member_enrolled_later_than_used(founded):
    founded.keys["delta"] = founded.new_key()
    told = founded.commit().enrol("delta")
    refused(told, Step.MEMBERSHIP, match="delta is no member")


def test_a_member_may_take_part_from_the_next_block_on(founded):
    told = founded.commit().enrol("delta").commit()
    assert verify(told.export()).members == ("alpha", "bravo", "charlie", "delta")


def test_a_member_that_was_suspended_before(founded):
    told = founded.suspend("charlie").commit()
    refused(told, Step.MEMBERSHIP, HEIGHT + 1, match="charlie is no member")


def test_a_member_that_is_suspended_later_took_part(founded):
    told = founded.commit().suspend("charlie")
    assert verify(told.export()).members == ("alpha", "bravo")


def test_a_statement_under_keys_that_were_replaced(founded):
    old = founded.keys["bravo"]
    founded.rotate("bravo")
    new, founded.keys["bravo"] = founded.keys["bravo"], old
    told = founded.commit()
    founded.keys["bravo"] = new
    refused(told, Step.CONTRIBUTIONS, HEIGHT + 1, match="not signed by")


def test_keys_count_for_statements_from_the_next_block_on(founded):
    told = founded.commit().rotate("bravo").commit()
    assert verify(told.export()).rounds == ("round-1", "round-2")


def test_an_acceptance_for_the_orchestrator_that_was_replaced(founded):
    old = founded.orchestrator.public.fingerprint
    founded.replace("next.example/ledger")
    told = founded.commit(acceptance_lies={"builder": old})
    refused(told, Step.ACCEPTANCES, HEIGHT + 1, match="another orchestrator")


def test_a_dropout_that_is_no_member(founded):
    cohort = ("alpha", "bravo", "charlie", "zulu")
    told = founded.commit(cohort=cohort, survivors=("alpha", "bravo", "charlie"))
    refused(told, Step.MEMBERSHIP, match="zulu is no member")


def test_a_member_with_another_key_than_it_enrolled(federation):
    told, other = federation().founded(), federation(seed=2)
    told.keys["bravo"] = other.keys["bravo"]
    refused(told.commit(), Step.CONTRIBUTIONS, match="not signed by")


# (7) plan, counts, metrics


@pytest.mark.parametrize(
    "entry",
    [
        {"dropouts": ()},
        {"cohort": ("alpha", "charlie")},
        {"cohort": ("alpha", "bravo", "charlie", "delta")},
        {"dropouts": ("alpha", "bravo")},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_counts_that_do_not_add_up(federation, entry):
    told = federation(("alpha", "bravo", "charlie", "delta")).founded()
    told.commit(
        cohort=("alpha", "bravo", "charlie"),
        survivors=("alpha", "charlie"),
        entry_lies=entry,
    )
    refused(told, Step.METRICS, match="add up")


def test_fewer_survivors_than_the_plan_wants(founded):
    founded.adopt(min_survivors=3)
    told = founded.commit(survivors=("alpha", "bravo"))
    refused(told, Step.METRICS, HEIGHT + 1, match="2 survivors, the plan wants 3")


@pytest.mark.parametrize(
    "lie",
    [
        {"convergence": -0.25},
        {"gradient_norm": -1},
        {"survivors_weight": 0},
        {"survivors_weight": -1},
        {"num_clients": 4},
        {"num_clients": 2},
        {"round": -1},
        {"round": 1.5},
        {"loss": -0.1},
    ],
    ids=lambda lie: "-".join(f"{k}={v}" for k, v in lie.items()),
)
def test_metrics_out_of_bounds(founded, lie):
    refused(founded.commit(metrics_lies=lie), Step.METRICS)


@pytest.mark.parametrize(
    "name", ["round", "num_clients", "convergence", "gradient_norm", "survivors_weight"]
)
def test_a_missing_metric(founded, name):
    left = {k: v for k, v in founded.figures().items() if k != name}
    told = founded.commit(acceptance_lies={"figures": left})
    left = {k: v for k, v in told.last.aggregation_metrics.items() if k != name}
    told.blocks[-1] = dataclasses.replace(
        told.blocks[-1], block=dataclasses.replace(told.last, aggregation_metrics=left)
    )
    refused(told, Step.METRICS, match=f"no figure for {name}")


def test_a_round_number_that_does_not_grow(founded):
    told = founded.commit().commit(metrics_lies={"round": 1})
    refused(told, Step.METRICS, HEIGHT + 1, match="round 1 after round 1")


def test_a_round_without_a_plan(federation):
    told = federation().begin()
    refused(told.commit(), Step.METRICS, 1, match="plan in force")


def test_a_round_under_a_plan_that_is_no_longer_in_force(founded):
    old = founded.plan
    founded.adopt(threshold=3)
    founded.plan = old
    refused(founded.commit(), Step.METRICS, HEIGHT + 1, match="plan in force")


@pytest.mark.parametrize(
    ("provenance", "match"),
    [
        ({"round_id": "round-9"}, "another round"),
        ({"training_orgs": ("alpha", "bravo")}, "training_orgs"),
        ({"aggregation_method": "krum"}, "aggregated by krum"),
        ({"training_config": {"clip_norm": 9.5}}, "clip_norm"),
        ({"data_sources": ("zeek-conn",)}, "data_sources"),
        (
            {"data_volume": dict.fromkeys(("alpha", "bravo", "charlie", "delta"), 128)},
            "data volumes",
        ),
    ],
)
def test_provenance_that_repeats_wrongly(founded, provenance, match):
    refused(founded.commit(provenance_lies=provenance), Step.METRICS, match=match)


def test_another_collection_mode_than_the_plan_says(founded):
    told = founded.commit(entry_lies={"collection_mode": "clear"})
    refused(told, Step.METRICS, match="collected by clear")


# (8) privacy


@pytest.mark.parametrize(
    "claim",
    [
        PrivacyClaim(mechanism="none", epsilon=1.0),
        PrivacyClaim(mechanism="none", epsilon=0.0),
        PrivacyClaim(mechanism="none", delta=1e-5),
        PrivacyClaim(mechanism="none", clipping_norm=1.0),
    ],
)
def test_figures_claimed_with_mechanism_none(founded, claim):
    told = founded.commit(contribution_lies={"privacy": claim})
    refused(told, Step.PRIVACY, match="did not use")


@pytest.mark.parametrize("name", ["gaussian", "None", "none ", "trust-me"])
def test_an_unknown_mechanism(founded, name):
    claim = PrivacyClaim(mechanism=name, epsilon=0.1, delta=1e-6, clipping_norm=1.0)
    told = founded.commit(contribution_lies={"privacy": claim})
    refused(told, Step.PRIVACY, match="the plan has none")


PRIVATE = {
    "mechanism": "dp-sgd",
    "unit": "entity",
    "epsilon": 2.0,
    "delta": 1e-5,
    "noise_multiplier": 1.25,
    "sampling_rate": 0.01,
    "steps": 40,
}
CLAIM = PrivacyClaim(clipping_norm=1.0, **PRIVATE | {"epsilon": 0.5})


def test_what_the_plan_promises_may_be_claimed(founded):
    told = founded.adopt(privacy=PRIVATE).commit(contribution_lies={"privacy": CLAIM})
    assert verify(told.export()).rounds == ("round-1",)
    at_last = dataclasses.replace(CLAIM, epsilon=2.0)
    told.commit(contribution_lies={"privacy": at_last})
    assert verify(told.export()).rounds == ("round-1", "round-2")


@pytest.mark.parametrize(
    "lie",
    [
        {"unit": "event"},
        {"delta": 1e-4},
        {"delta": 1e-6},
        {"noise_multiplier": 1.0},
        {"noise_multiplier": 1.5},
        {"sampling_rate": 0.02},
        {"steps": 39},
        {"steps": UNSET},
        {"delta": UNSET},
        {"epsilon": 2.5},
        {"epsilon": 0.0},
        {"epsilon": -1.0},
        {"epsilon": UNSET},
        {"mechanism": "discrete-gaussian"},
        {"mechanism": "none"},
    ],
    ids=lambda lie: "-".join(f"{k}={v}" for k, v in lie.items()),
)
def test_figures_of_privacy_that_the_plan_does_not_have(founded, lie):
    claim = dataclasses.replace(CLAIM, **lie)
    told = founded.adopt(privacy=PRIVATE).commit(contribution_lies={"privacy": claim})
    refused(told, Step.PRIVACY, HEIGHT + 1)


def test_privacy_claimed_for_somebody_who_is_not_in_the_sum(founded):
    claims = dict.fromkeys(
        ("alpha", "bravo", "charlie"), PrivacyClaim(mechanism="none")
    )
    told = founded.commit(
        survivors=("alpha", "bravo"), provenance_lies={"privacy_params": claims}
    )
    refused(told, Step.PRIVACY, match="charlie")


# (9) lineage


def test_a_wrong_parent_that_everybody_signed(founded):
    lie = {"parent_model": OTHER}
    told = founded.commit(
        contribution_lies=lie, acceptance_lies=lie, provenance_lies=lie
    )
    refused(told, Step.LINEAGE, match="the parent is")


def test_a_model_that_was_in_force_before(founded):
    told = founded.commit().commit().commit(model=b"model 1")
    refused(told, Step.LINEAGE, HEIGHT + 2, match="in force before")
    standing = told.standing(len(told.blocks) - 1)
    with pytest.raises(VerificationFailed, match="in force before"):
        rules.check(told.blocks[-1], standing)


@pytest.mark.parametrize("before", ["commit", "fail"])
def test_a_round_twice(founded, before):
    getattr(founded, before)("round-x")
    refused(founded.commit("round-x"), Step.LINEAGE, HEIGHT + 1, match="already")


def test_true_is_not_one(federation):
    told = federation().begin().adopt(threshold=1)
    told.commit(provenance_lies={"training_config": {"threshold": True}})
    refused(told, Step.METRICS, HEIGHT, match="threshold")
