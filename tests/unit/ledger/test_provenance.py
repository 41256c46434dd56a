# SPDX-License-Identifier: Apache-2.0
"""Statement 2 as in-toto: nothing lost either way, and other tools read it."""

import copy
import dataclasses
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from fedxdr.core.canonical import builtins, from_builtins, jcs, parse_jcs
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.ledger import statements
from fedxdr.ledger.provenance import from_in_toto, to_in_toto
from fedxdr.ledger.statements import AcceptanceStatement, PrivacyClaim

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
names = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
texts = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30
).filter(str.isprintable)
# (beyond 2^53 RFC 8785 as written here has no form for a whole number)
figures = st.floats(-(2**53) + 1, 2**53 - 1)
times = st.datetimes(timezones=st.just(UTC))
claims = st.builds(
    PrivacyClaim,
    mechanism=texts,
    epsilon=figures,
    delta=figures,
    steps=st.integers(-(2**53) + 1, 2**53 - 1),
    unit=texts,
)


@st.composite
def acceptances(draw):
    orgs = sorted(draw(st.sets(names, min_size=1, max_size=5)))
    verdict, reason = draw(
        st.sampled_from([("accepted", ""), ("accepted", "x"), ("rejected", "No.")])
    )
    return AcceptanceStatement(
        org=draw(names),
        round_id=draw(names),
        task=draw(st.sampled_from(["training", "statistics"])),
        builder=draw(digests),
        plan_digest=draw(digests),
        prev_hash=draw(digests),
        parent_model=draw(digests),
        model_hash=draw(digests),
        sum_digest=draw(digests),
        contributions={org: draw(digests) for org in orgs},
        contributions_root=draw(digests),
        data_volume={org: draw(st.integers(0, 2**40)) for org in orgs},
        privacy_params={
            org: draw(claims | st.just(PrivacyClaim(mechanism="none"))) for org in orgs
        },
        figures=draw(st.dictionaries(texts, figures, max_size=4)),
        replayed=draw(st.booleans()),
        verdict=verdict,
        reason=reason if verdict == "accepted" else draw(texts),
        issued_at=draw(times),
    )


TRUTH = AcceptanceStatement(
    org="alpha",
    round_id="round-1",
    task="training",
    builder=sha256(b"builder"),
    plan_digest=sha256(b"plan"),
    prev_hash=sha256(b"previous block"),
    parent_model=sha256(b"parent"),
    model_hash=sha256(b"model"),
    sum_digest=sha256(b"sum"),
    contributions={"alpha": sha256(b"a"), "bravo": sha256(b"b")},
    contributions_root=sha256(b"root"),
    data_volume={"alpha": 128, "bravo": 64},
    privacy_params={
        "alpha": PrivacyClaim(mechanism="none"),
        "bravo": PrivacyClaim(mechanism="dp-sgd", epsilon=0.5, delta=1e-5),
    },
    figures={"round": 1.0, "convergence": 0.25},
    replayed=True,
    verdict="accepted",
    issued_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


@settings(max_examples=40, deadline=None)
@given(acceptances())
def test_what_was_written_is_read(statement):
    fields = builtins(statement)
    assert from_in_toto(to_in_toto(fields)) == fields
    assert from_builtins(fields, AcceptanceStatement) == statement
    payload = statements.payload_of(statement)
    assert statements.parse(payload, AcceptanceStatement) == statement
    assert jcs(to_in_toto(from_in_toto(parse_jcs(payload)))) == payload


@settings(max_examples=40, deadline=None)
@given(acceptances())
def test_the_in_toto_library_reads_and_validates_it(statement):
    payload = statements.payload_of(statement)
    read = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(read).validate()
    (subject,) = read.subject
    assert dict(subject.digest) == {"sha256": statement.model_hash}
    accepted = statement.verdict == "accepted"
    assert (read.predicate_type == "https://slsa.dev/provenance/v1") is accepted


def test_the_slsa_provenance_says_what_the_round_was():
    """Read by the published protocol buffers; our own field is the extension left."""
    value = parse_jcs(statements.payload_of(TRUTH))
    predicate = value["predicate"]
    own = predicate.pop("fedxdr_acceptance")
    read = json_format.ParseDict(predicate, provenance_pb2.Provenance())
    build, run = read.build_definition, read.run_details
    assert build.build_type == "urn:fedxdr:round:v1"
    asked = json_format.MessageToDict(build.external_parameters)
    assert asked == {
        "dataVolume": {"alpha": 128, "bravo": 64},
        "plan": TRUTH.plan_digest,
        "privacy": {
            "alpha": {"mechanism": "none"},
            "bravo": {"mechanism": "dp-sgd", "epsilon": 0.5, "delta": 1e-5},
        },
        "task": "training",
    }
    assert [(d.name, dict(d.digest)) for d in build.resolved_dependencies] == [
        ("parent", {"sha256": TRUTH.parent_model}),
        ("contribution/alpha", {"sha256": TRUTH.contributions["alpha"]}),
        ("contribution/bravo", {"sha256": TRUTH.contributions["bravo"]}),
    ]
    assert run.builder.id == f"urn:fedxdr:orchestrator:{TRUTH.builder}"
    assert run.metadata.invocation_id == "round-1"
    sums, root, figures_ = run.byproducts
    assert dict(sums.digest) == {"sha256": TRUTH.sum_digest}
    assert dict(root.digest) == {"sha256": TRUTH.contributions_root}
    assert json_format.MessageToDict(figures_.annotations) == TRUTH.figures
    assert own == {
        "issued_at": "2026-01-02T03:04:05Z",
        "org": "alpha",
        "prev_hash": TRUTH.prev_hash,
        "reason": "",
        "replayed": True,
        "verdict": "accepted",
    }


def test_every_field_of_an_acceptance_is_in_it():
    fields = {field.name for field in dataclasses.fields(AcceptanceStatement)}
    assert set(from_in_toto(to_in_toto(builtins(TRUTH)))) == fields


def places(value, path=()):
    """Yield the path of every part of a JSON value but the whole."""
    if path:
        yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in inner:
        yield from places(part, (*path, key))


WRONG = [None, True, 0, 1.5, "", "x", [], {}, [{}], {"digest": {}}, {"sha256": 5}]


@pytest.mark.parametrize(
    "path",
    list(places(to_in_toto(builtins(TRUTH)))),
    ids=lambda path: ".".join(map(str, path)),
)
def test_another_value_anywhere_is_another_statement_or_none(path):
    truth = to_in_toto(builtins(TRUTH))
    for wrong in WRONG:
        value = copy.deepcopy(truth)
        node = value
        for key in path[:-1]:
            node = node[key]
        if node[path[-1]] == wrong and type(node[path[-1]]) is type(wrong):
            continue
        node[path[-1]] = wrong
        try:
            found = statements.parse(jcs(value), AcceptanceStatement)
        except MalformedMessage:
            continue
        assert found != TRUTH


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"predicate": None}])
def test_anything_but_such_a_statement_is_refused(value):
    with pytest.raises(MalformedMessage, match="not the in-toto statement"):
        from_in_toto(value)
