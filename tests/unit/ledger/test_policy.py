# SPDX-License-Identifier: Apache-2.0
"""Policies: their syntax, whose signatures count, and that no fork reaches a quorum."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature, InvalidInput, MalformedMessage
from fedxdr.ledger import cosignature, note, policy
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.note import Note
from fedxdr.ledger.policy import Group, Log, Policy, Witness

_SOURCE = Path(__file__).parents[2] / "reference" / "policy_definition.py"
_SPEC = importlib.util.spec_from_file_location("policy_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

ORIGIN = "log.example/federation"
BODY = Checkpoint(origin=ORIGIN, size=7, root=bytes(range(32))).body()


@cache
def ed(number):
    return ed25519.Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


@cache
def ml(number):
    return mldsa.MLDSA44PrivateKey.from_seed_bytes(number.to_bytes(32, "big"))


@cache
def public(private):
    return private.public_key().public_bytes_raw()


def vkey(private, *, kind, name):
    return note.verifier_key(name=name, kind=kind, public_key=public(private))


LOG = ed(1)
LOG_KEY = vkey(LOG, kind=1, name=ORIGIN)
# Witnesses of small policies sign with Ed25519 alone.
W = {name: ed(100 + i) for i, name in enumerate("ABCDEF")}
KEYS = {name: vkey(key, kind=4, name=f"{name}.example") for name, key in W.items()}
LINES = "".join(f"witness {name} {key}\n" for name, key in KEYS.items())


@cache
def log_line(body=BODY, name=ORIGIN):
    return cosignature.sign_log(body, name=name, sign=LOG.sign, public_key=public(LOG))


@cache
def line(private, name, body=BODY):
    if isinstance(private, ed25519.Ed25519PrivateKey):
        make = cosignature.sign_ed25519
    else:
        make = cosignature.sign_ml_dsa_44
    return make(
        body, name=name, timestamp=9, sign=private.sign, public_key=public(private)
    )


def signed(*names, log=True, body=BODY):
    lines = [log_line(body)] if log else []
    lines += [line(W[name], f"{name}.example", body) for name in names]
    return Note(text=body, signatures=tuple(lines)).to_bytes()


def parsed(text):
    return policy.parse(text if isinstance(text, bytes) else text.encode())


def small(quorum):
    return parsed(f"log {LOG_KEY}\n{LINES}{quorum}\n")


def organisations(n):
    return [f"org-{i:03}" for i in range(n)]


@cache
def federation(n):
    return parsed(
        policy.policy_text(
            origin=ORIGIN,
            log_key=LOG_KEY,
            witnesses={
                org: (
                    vkey(ed(1000 + i), kind=4, name=org),
                    vkey(ml(1000 + i), kind=6, name=org),
                )
                for i, org in enumerate(organisations(n))
            },
        )
    )


def cosigned(*orgs, body=BODY, kinds=(ed, ml), log=True):
    lines = [log_line(body)] if log else []
    for org in orgs:
        number = 1000 + int(org[4:])
        lines += [line(key(number), org, body) for key in kinds]
    return Note(text=body, signatures=tuple(lines)).to_bytes()


# ---- the quorum


@pytest.mark.parametrize("n", range(1, 120))
def test_quorums_are_those_of_the_definition(n):
    q, f = policy.quorum(n), policy.faults(n)
    assert q == definition.smallest_quorum(n)
    assert 2 * q - n > f  # two quorums share an honest organisation
    assert q <= n - f  # and the honest ones alone reach it


def test_quorums_of_the_design():
    # ../shared/research/ledger.md, section 4, "Fork safety"
    assert [(n, policy.faults(n), policy.quorum(n)) for n in (3, 4, 5, 10, 100)] == [
        (3, 0, 2),
        (4, 1, 3),
        (5, 1, 4),
        (10, 3, 7),
        (100, 33, 67),
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10])
def test_a_federation_wants_its_quorum_and_no_less(n):
    orgs, wanted = organisations(n), policy.quorum(n)
    found = federation(n)
    for count in range(n + 1):
        data = cosigned(*orgs[:count])
        assert found.cosigners(data) == tuple(orgs[:count])
        if count >= wanted:
            assert found.check(data) == tuple(orgs[:count])
        else:
            with pytest.raises(BadSignature, match=f"the policy wants {wanted}"):
                found.check(data)


def test_an_organisation_counts_by_both_its_keys_only():
    orgs = organisations(4)
    for kinds in ((ed,), (ml,)):
        data = cosigned(*orgs, kinds=kinds)
        assert federation(4).cosigners(data) == ()
        with pytest.raises(BadSignature, match="0 of 4"):
            federation(4).check(data)
    half = note.parse(cosigned(orgs[2], kinds=(ed,)))
    data = cosignature.merge(note.parse(cosigned(*orgs[:2])), half).to_bytes()
    with pytest.raises(BadSignature, match="2 of 4"):
        federation(4).check(data)


@pytest.mark.parametrize("n", [3, 4, 5, 10, 100])
def test_no_fork_reaches_a_quorum(n):
    # f organisations sign both heads, the honest ones one head each
    orgs, f = organisations(n), policy.faults(n)
    liars, honest = orgs[:f], orgs[f:]
    other = Checkpoint(origin=ORIGIN, size=7, root=bytes(32)).body()
    quorum = policy.quorum(n)
    group = next(
        x
        for x in federation(n).lines
        if isinstance(x, Group) and x.name == policy.QUORUM_GROUP
    )
    assert (group.threshold, list(group.members)) == (quorum, orgs)
    for split in range(len(honest) + 1):
        sides = [*liars, *honest[:split]], [*liars, *honest[split:]]
        assert not all(len(side) >= quorum for side in sides)
    # the best split, signed for real
    half = len(honest) // 2
    for body, side in ((BODY, honest[:half]), (other, honest[half:])):
        data = cosigned(*liars, *side, body=body)
        if len(liars) + len(side) < quorum:
            with pytest.raises(BadSignature, match="the policy wants"):
                federation(n).check(data)


def test_the_log_must_have_signed():
    orgs = organisations(3)
    with pytest.raises(BadSignature, match="no log"):
        federation(3).check(cosigned(*orgs, log=False))
    # another log's key, and the log's key over another origin
    other = "log.example/other"
    body = Checkpoint(origin=other, size=7, root=bytes(range(32))).body()
    lines = [log_line(body), log_line(body, other)]
    for each in lines:
        data = Note(text=body, signatures=(each,)).to_bytes()
        with pytest.raises(BadSignature, match="no log"):
            small("quorum none").check(data)


def test_a_policy_without_logs_accepts_nothing():
    with pytest.raises(BadSignature, match="no log"):
        parsed(f"{LINES}quorum A\n").check(signed("A"))


def test_a_log_may_sign_with_ml_dsa():
    key = vkey(ml(1), kind=6, name=ORIGIN)
    found = parsed(f"log {key}\nquorum none\n")
    data = Note(text=BODY, signatures=(line(ml(1), ORIGIN),)).to_bytes()
    assert found.check(data) == ()


def test_one_of_several_logs_is_enough():
    # every line of a log that the policy lists is for the origin in its name
    second = vkey(ed(2), kind=1, name="log.example/second")
    found = parsed(f"log {second}\nlog {LOG_KEY}\n{LINES}quorum A\n")
    assert found.check(signed("A")) == ("A",)


def test_any_bad_line_of_a_listed_key_refuses_the_checkpoint():
    orgs = organisations(4)
    good = note.parse(cosigned(*orgs))
    for at, found in enumerate(good.signatures):
        changed = note.NoteSignature(
            name=found.name,
            key_id=found.key_id,
            signature=found.signature[:-1] + bytes([found.signature[-1] ^ 1]),
        )
        lines = (*good.signatures[:at], changed, *good.signatures[at + 1 :])
        for signatures in (lines, (*good.signatures, changed)):
            data = Note(text=BODY, signatures=signatures).to_bytes()
            with pytest.raises(BadSignature, match="does not verify"):
                federation(4).check(data)


def test_lines_that_nobody_lists_change_nothing():
    orgs = organisations(3)
    good = note.parse(cosigned(*orgs[:2]))
    strangers = (line(ed(7), "stranger"), line(ml(7), "org-000"), line(ed(7), orgs[2]))
    data = Note(text=BODY, signatures=(*strangers, *good.signatures)).to_bytes()
    assert federation(3).check(data) == tuple(orgs[:2])


def test_lines_that_nobody_lists_can_be_left_out():
    orgs = organisations(3)
    good = cosigned(*orgs)
    strangers = Note(
        text=BODY, signatures=(line(ed(7), "stranger"), line(ml(1), ORIGIN))
    )
    found = cosignature.merge(strangers, note.parse(good))
    twice = Note(text=BODY, signatures=found.signatures * 2).to_bytes()
    assert federation(3).listed(twice) == good
    assert federation(3).listed(good) == good
    with pytest.raises(MalformedMessage):
        federation(3).listed(strangers.to_bytes())
    # a bad line of a listed key stays, to be found
    bad = note.NoteSignature(
        name=orgs[0],
        key_id=note.parse(good).signatures[1].key_id,
        signature=bytes(72),
    )
    data = Note(text=BODY, signatures=(*found.signatures, bad)).to_bytes()
    with pytest.raises(BadSignature):
        federation(3).check(federation(3).listed(data))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_of_a_checkpoint_changes_no_verdict_but_to_refused(draw):
    data = cosigned(*organisations(3)[:2])
    at = draw.draw(st.integers(0, len(data) - 1))
    byte = draw.draw(st.integers(0, 255).filter(lambda b: b != data[at]))
    with pytest.raises(InvalidInput):
        federation(3).check(data[:at] + bytes([byte]) + data[at + 1 :])


@pytest.mark.parametrize("data", [b"", b"a", BODY, b"some text\n\n"])
def test_what_is_no_signed_checkpoint_is_malformed(data):
    with pytest.raises(MalformedMessage):
        small("quorum A").check(data)


def test_a_signed_text_that_is_no_checkpoint_is_malformed():
    body = b"some text\n"
    data = Note(text=body, signatures=(log_line(body),)).to_bytes()
    with pytest.raises(MalformedMessage):
        small("quorum none").check(data)


# ---- small policies


def test_the_quorum_may_be_one_witness():
    found = small("quorum B")
    assert found.check(signed("B")) == ("B",)
    assert found.check(signed("A", "B")) == ("B",)
    with pytest.raises(BadSignature, match="0 of 1"):
        found.check(signed("A"))


def test_the_quorum_may_be_none():
    found = small("quorum none")
    assert found.check(signed()) == ()
    assert found.check(signed("A")) == ()
    with pytest.raises(BadSignature, match="no log"):
        found.check(signed("A", log=False))


# sigsum/sigsum-go at 192b553, pkg/policy/config_test.go, TestValidConfig: its groups
# and which of its witnesses are enough (A to E for W1 to W5).
@pytest.mark.parametrize(
    ("names", "is_enough"),
    [
        ("", False),
        ("A", False),
        ("B", False),
        ("C", False),
        ("CDE", False),
        ("AB", False),
        ("AC", False),
        ("ACD", True),
        ("BCE", True),
    ],
)
def test_a_published_quorum_of_groups(names, is_enough):
    found = small("group G1 any A B\ngroup G2 2 C D E\ngroup G3 all G1 G2\nquorum G3")
    if is_enough:
        assert found.check(signed(*names)) == ("G1", "G2")
    else:
        with pytest.raises(BadSignature, match="the policy wants 2"):
            found.check(signed(*names))


# The same file, TestNumericThreshold (A, B, C for A1 to A3, D, E, F for B1 to B3).
@pytest.mark.parametrize(
    ("names", "is_enough"),
    [
        ("", False),
        ("A", True),
        ("B", True),
        ("C", True),
        ("AC", True),
        ("ACD", True),
        ("D", False),
        ("E", False),
        ("F", False),
        ("DE", True),
        ("DF", True),
        ("EF", True),
        ("DEF", True),
        ("BDEF", True),
    ],
)
def test_a_published_numeric_threshold(names, is_enough):
    found = small("group a 1 A B C\ngroup b 2 D E F\ngroup G any a b\nquorum G")
    if is_enough:
        found.check(signed(*names))
    else:
        with pytest.raises(BadSignature):
            found.check(signed(*names))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_quorums_of_groups_are_those_of_the_definition(draw):
    free, groups, lines = list(W), {}, []
    for number in range(draw.draw(st.integers(0, 4))):
        if not free:
            break
        members = draw.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = draw.draw(st.integers(1, len(members)))
        name = f"G{number}"
        groups[name] = (threshold, members)
        word = draw.draw(
            st.sampled_from(
                [str(threshold)]
                + ["all"] * (threshold == len(members))
                + ["any"] * (threshold == 1)
            )
        )
        lines.append(f"group {name} {word} {' '.join(members)}")
        free = [x for x in free if x not in members] + [name]
    wanted = draw.draw(st.sampled_from([*W, *groups, "none"]))
    found = small("\n".join([*lines, f"quorum {wanted}"]))
    names = draw.draw(st.sets(st.sampled_from(list(W))))
    data = signed(*sorted(names))
    if definition.stands(wanted, groups, names):
        members = groups.get(wanted, (1, [wanted]))[1]
        standing = [m for m in members if definition.stands(m, groups, names)]
        assert found.check(data) == (() if wanted == "none" else tuple(standing))
    else:
        with pytest.raises(BadSignature):
            found.check(data)


# ---- the file


def test_the_published_form():
    # C2SP tlog-policy, "Example policy", with keys
    text = f"""
log {LOG_KEY}

witness X1 {KEYS["A"]}
witness X2 {KEYS["B"]}
witness X3 {KEYS["C"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["D"]}
witness Y2 {KEYS["E"]}
witness Y3 {KEYS["F"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
    found = parsed(text)
    assert found.quorum == "X-and-Y"
    assert [type(x) for x in found.lines] == (
        [Log] + ([Witness] * 3 + [Group]) * 2 + [Group]
    )
    assert found.check(signed("A", "C", "E")) == ("X-witnesses", "Y-witnesses")


def test_blanks_comments_addresses_and_order_mean_nothing():
    plain = parsed(
        f"log {LOG_KEY}\nwitness A {KEYS['A']}\ngroup G 1 A\nquorum G\nwitness B "
        f"{KEYS['B']}\n"
    )
    decorated = parsed(
        f"# a comment\n\n \t\n\tlog\t{LOG_KEY}   https://log.example/\t\n"
        f"  witness  A {KEYS['A']} https://a.example/ \n   # log\n"
        f"group G any A\n\tquorum  G \n#\nwitness B {KEYS['B']}\n#quorum none\n"
    )
    assert plain == decorated


def test_names_are_octets():
    kelvin = parsed(f"log {LOG_KEY}\nwitness \u212a {KEYS['A']}\nquorum \u212a\n")
    assert kelvin.check(signed("A")) == ("\u212a",)
    with pytest.raises(MalformedMessage, match="quorum"):
        parsed(f"witness \u212a {KEYS['A']}\nquorum K\n")
    latin = f"log {LOG_KEY}\nwitness ? {KEYS['A']}\nquorum ?\n".encode()
    found = parsed(latin.replace(b"?", b"\xff"))
    assert found.check(signed("A")) == (b"\xff".decode(errors="surrogateescape"),)
    # a hard space is no white space here
    parsed(f"witness a\xa0b {KEYS['A']}\nquorum a\xa0b\n")


A, B, C = (KEYS[name] for name in "ABC")


# Cases marked * are those of sigsum-go, TestInvalidConfig; ** those of
# transparency-dev/formats at 0b850f1, witness/witness_policy_test.go.
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty *"),
        pytest.param("# \f\nquorum none\n", id="formfeed *"),
        pytest.param("# \x7f\nquorum none\n", id="DEL *"),
        pytest.param("# \r\nquorum none\n", id="carriage return"),
        pytest.param("# \x00\nquorum none\n", id="null"),
        pytest.param(f"log {LOG_KEY}\n log {LOG_KEY}\nquorum none\n", id="log twice *"),
        pytest.param(f"log {LOG_KEY} u #c\nquorum none\n", id="end-of-line comment *"),
        pytest.param(f"witness A {A}\nwitness B {A}\nquorum A\n", id="one key twice *"),
        pytest.param(
            f"witness A {A}\nwitness A {B}\nquorum A\n", id="one name twice *"
        ),
        pytest.param(f"witness none {A}\nquorum none\n", id="called none *"),
        pytest.param(
            f"witness A {A}\nwitness B {B}\ngroup G all A C B\nquorum G\n",
            id="undefined member *",
        ),
        pytest.param(f"witness A {A}\ngroup G all A\n", id="no quorum *"),
        pytest.param(
            f"witness A {A}\nwitness B {B}\ngroup G all A B A\nquorum G\n",
            id="repeated member *",
        ),
        pytest.param(
            f"witness A {A}\nwitness B {B}\nwitness C {C}\ngroup G all A B\n"
            "group H all C B\nquorum G\n",
            id="member of two groups *",
        ),
        pytest.param(
            f"witness A {A}\ngroup G all A none\nquorum G\n", id="none as a member *"
        ),
        pytest.param("quorum unknown\n", id="unknown quorum **"),
        pytest.param(
            f"witness A {A}\ngroup G -1 A\nquorum G\n", id="negative threshold **"
        ),
        pytest.param(f"witness A {A}\ngroup none 1 A\nquorum A\n", id="group none **"),
        pytest.param(f"witness A {A}\ngroup G 0 A\nquorum G\n", id="threshold 0"),
        pytest.param(f"witness A {A}\ngroup G 2 A\nquorum G\n", id="threshold 2 of 1"),
        pytest.param(f"witness A {A}\ngroup G 01 A\nquorum G\n", id="leading zero"),
        pytest.param(f"witness A {A}\ngroup G +1 A\nquorum G\n", id="plus sign"),
        pytest.param(f"witness A {A}\ngroup G \u0661 A\nquorum G\n", id="other digits"),
        pytest.param(f"witness A {A}\ngroup G ALL A\nquorum G\n", id="other word"),
        pytest.param(f"witness A {A}\ngroup G all\nquorum A\n", id="empty group"),
        pytest.param(f"witness A {A}\ngroup G all G\nquorum G\n", id="circle"),
        pytest.param(
            f"witness A {A}\ngroup A all A\nquorum A\n", id="name of a witness"
        ),
        pytest.param(
            f"group G all A\nwitness A {A}\nquorum G\n", id="member on a later line"
        ),
        pytest.param(f"quorum A\nwitness A {A}\n", id="quorum before its name"),
        pytest.param("quorum none\nquorum none\n", id="two quorums"),
        pytest.param("quorum\n", id="quorum of nothing"),
        pytest.param("quorum none none\n", id="quorum of two"),
        pytest.param("quorum none", id="no last newline"),
        pytest.param("quorum none ", id="no last newline, a blank"),
        pytest.param("log\nquorum none\n", id="log without key"),
        pytest.param("witness A\nquorum none\n", id="witness without key"),
        pytest.param(f"witness {A}\nquorum none\n", id="witness without name"),
        pytest.param(f"log {A}\nquorum none\n", id="a witness's key as a log's"),
        pytest.param(
            f"witness A {LOG_KEY}\nquorum A\n", id="a log's key as a witness's"
        ),
        pytest.param(f"Log {LOG_KEY}\nquorum none\n", id="another word"),
        pytest.param(f"log {LOG_KEY[:-1]}\nquorum none\n", id="half a key"),
        pytest.param(f"log\xa0{LOG_KEY}\nquorum none\n", id="hard space"),
    ],
)
def test_malformed_policies_are_refused(text):
    with pytest.raises(MalformedMessage):
        parsed(text)


def test_one_key_may_be_a_log_and_a_witness():
    # sigsum-go, TestValidConfig: "undesirable, but not an error"
    parsed(f"log {LOG_KEY}\nwitness A {vkey(LOG, kind=4, name='a')}\nquorum A\n")


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_our_error_only(data):
    for foreign in (data, b"log " + data + b"\n", LINES.encode() + data + b"\n"):
        with pytest.raises(MalformedMessage):
            policy.parse(foreign)


def test_a_policy_has_a_limit():
    with pytest.raises(MalformedMessage, match="1000000"):
        policy.parse(b"#" * 999_988 + b"\nquorum none\n")
    policy.parse(b"#" * 999_987 + b"\nquorum none\n")


# ---- the policy of a federation


def test_the_policy_of_a_federation_as_written():
    keys = {
        org: (vkey(ed(n), kind=4, name=org), vkey(ml(n), kind=6, name=org))
        for n, org in ((11, "acme"), (12, "beta"), (13, "corp"))
    }
    lines = [f"log {LOG_KEY}"]
    for org, (first, second) in keys.items():
        lines += [
            f"witness {org}.ed25519 {first}",
            f"witness {org}.ml-dsa-44 {second}",
            f"group {org} all {org}.ed25519 {org}.ml-dsa-44",
        ]
    lines += ["group Quorum 2 acme beta corp", "quorum Quorum", ""]
    for order in (keys, dict(reversed(keys.items()))):
        found = policy.policy_text(origin=ORIGIN, log_key=LOG_KEY, witnesses=order)
        assert found == "\n".join(lines)


def _witnesses(**changes):
    given = {
        org: (vkey(ed(n), kind=4, name=org), vkey(ml(n), kind=6, name=org))
        for n, org in ((11, "acme"), (12, "beta"))
    }
    return given | changes


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "log.example/other"},
        {"log_key": vkey(LOG, kind=4, name=ORIGIN)},
        {"log_key": "x"},
        {"witnesses": {}},
        {"witnesses": _witnesses(beta=_witnesses()["acme"])},
        {"witnesses": _witnesses(none=(vkey(ed(3), kind=4, name="n"),) * 2)},
        {"witnesses": {"none": _witnesses()["acme"]}},
        {"witnesses": {"a b": _witnesses()["acme"]}},
        {"witnesses": {"a": _witnesses()["acme"][::-1]}},
        {"witnesses": {"a": (vkey(ed(3), kind=1, name="a"), _witnesses()["acme"][1])}},
        {"witnesses": {policy.QUORUM_GROUP: _witnesses()["acme"]}},
    ],
)
def test_no_policy_is_written_for_such_members(wrong):
    right = {"origin": ORIGIN, "log_key": LOG_KEY, "witnesses": _witnesses()}
    policy.policy_text(**right)
    with pytest.raises(MalformedMessage):
        policy.policy_text(**(right | wrong))


def test_no_policy_can_be_made_that_could_not_be_read():
    witness = Witness(name="A", key=note.parse_verifier_key(A))
    for lines, quorum in (
        ((witness, witness), "A"),
        ((witness,), "B"),
        ((Group(name="G", threshold=1, members=("A",)), witness), "A"),
    ):
        with pytest.raises(MalformedMessage):
            Policy(lines=lines, quorum=quorum)
    for threshold in (-1, 0, 2):
        with pytest.raises(MalformedMessage):
            Group(name="G", threshold=threshold, members=("A",))
