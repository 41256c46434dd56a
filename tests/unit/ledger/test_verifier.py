# SPDX-License-Identifier: Apache-2.0
"""The report on a faultless ledger; the heads, their quorum, the models, the pin."""

import subprocess
import sys
from datetime import timedelta

import pytest

from fedxdr.core.canonical import encode
from fedxdr.core.errors import MalformedMessage, VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.ledger import bundle, checkpoint, heads, note
from fedxdr.ledger.cosignature import sign_ml_dsa_44
from fedxdr.ledger.note_form import Note, NoteSignature
from fedxdr.ledger.steps import Step
from fedxdr.ledger.verifier import verify

WITHOUT_TORCH = """
import sys
for name in ("torch", "sqlalchemy", "httpx", "fastapi", "pydantic", "numpy.random"):
    sys.modules[name] = None
from fedxdr.ledger.verifier import verify
print(verify(sys.stdin.buffer.read()).blocks_verified)
"""
NAMES = ("alpha", "bravo", "charlie", "delta", "echo")


@pytest.fixture
def told(federation):
    return federation().founded().commit().commit(survivors=("alpha", "charlie"))


def refused(data, step, match=None, **options):
    with pytest.raises(VerificationFailed, match=match) as caught:
        verify(data, **options)
    assert (caught.value.step, caught.value.height) == (step, None), caught.value


def with_lines(head, lines):
    return Note(text=note.parse(head).text, signatures=tuple(lines)).to_bytes()


def lines_of(head):
    return note.parse(head).signatures


def test_the_report_on_a_faultless_ledger(told):
    hashes = [signed.block.hash for signed in told.blocks]
    report = verify(
        told.export(),
        pinned_orchestrator_key=told.orchestrator.public.ed25519,
        pinned_genesis=hashes[0],
    )
    assert report.federation == "Test federation"
    assert report.origin == "test.example/ledger"
    assert report.blocks_verified == 4
    assert report.last_block_hash == hashes[-1]
    assert report.root == heads.root_of(hashes)
    assert report.cosigned_by == ("alpha", "bravo", "charlie")
    assert report.quorum == 2
    assert report.head_timestamp == told.now
    assert report.members == ("alpha", "bravo", "charlie")
    assert report.rounds == ("round-1", "round-2")
    assert report.rounds_failed == ()
    assert report.model_hash == sha256(b"model 2")
    assert report.model_version == "v2"
    assert report.models_verified == (sha256(b"model 2"),)
    assert report.generations == 3
    assert report.warnings == ()
    assert encode(report)


def test_a_ledger_without_rounds_is_faultless_too(federation):
    told = federation().begin()
    report = verify(told.export())
    assert (report.blocks_verified, report.generations) == (1, 1)
    assert report.members == ("alpha", "bravo", "charlie")
    assert report.rounds == ()


def test_an_unpinned_audit_says_so(told):
    assert any("no orchestrator key" in w for w in verify(told.export()).warnings)


def test_needs_no_torch_database_or_network(small_bundle):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input=small_bundle,
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"5\n", done.stderr.decode()


# (10) whose ledger


def test_a_ledger_of_another_orchestrator_than_the_pinned_one(told, federation):
    other = federation(seed=2).orchestrator.public.ed25519
    refused(told.export(), Step.HEAD, "pinned", pinned_orchestrator_key=other)
    refused(told.export(), Step.HEAD, "pinned", pinned_orchestrator_key=b"")


def test_a_ledger_with_another_genesis_than_the_pinned_one(told, federation):
    """Under the same orchestrator's key another one could have been founded."""
    genesis = told.blocks[0].block.hash
    assert verify(told.export(), pinned_genesis=genesis).warnings == ()
    other = federation().begin(federation="Another").blocks[0].block.hash
    refused(told.export(), Step.HEAD, pinned_genesis=other)


def test_a_pinned_key_alone_leaves_a_warning(told):
    key = told.orchestrator.public.ed25519
    (warning,) = verify(told.export(), pinned_orchestrator_key=key).warnings
    assert "could have founded another" in warning
    both = {"pinned_orchestrator_key": key, "seen": seen(told, 2)}
    assert verify(told.export(), **both).warnings == ()


def test_the_pin_is_of_the_first_orchestrator(told):
    first = told.orchestrator.public.ed25519
    told.replace("next.example/ledger")
    verify(told.export(), pinned_orchestrator_key=first)
    later = told.orchestrator.public.ed25519
    refused(told.export(), Step.HEAD, "pinned", pinned_orchestrator_key=later)


def test_a_container_under_another_name(told):
    data = told.export()
    lines = data.split(b"\n")[:-1]
    lines[0] = lines[0].replace(b"test.example/ledger", b"other.example/ledger")
    before = b"".join(line + b"\n" for line in lines[:-1])
    head = lines[-1].split(b'"head":', 1)[1]
    closed = before + b'{"digest":"' + sha256(before).encode() + b'","head":' + head
    refused(closed + b"\n", Step.HEAD, "origin of the container")


# (10) the head seen earlier


def seen(told, size, **lies):
    return checkpoint.parse(told.head(size, **lies))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_ledger_that_extends_the_head_seen_earlier(told, size):
    verify(told.export(), seen=seen(told, size))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_ledger_with_another_past_than_the_head_seen_earlier(told, size):
    other = seen(told, size, root=sha256(b"another past"))
    refused(told.export(), Step.HEAD, f"the first {size} blocks are others", seen=other)


def test_a_ledger_shorter_than_the_head_seen_earlier(told):
    before = seen(told, 4)
    told.blocks.pop()
    told.models.pop()
    refused(told.export(), Step.HEAD, "over more blocks", seen=before)


def test_a_ledger_rewritten_after_the_head_seen_earlier(told):
    before = seen(told, 4)
    told.blocks.pop()
    told.rounds -= 1
    told.tick()
    told.commit().commit()
    verify(told.export())
    refused(told.export(), Step.HEAD, "the first 4 blocks are others", seen=before)


# (10) what the log signs


def test_a_head_signed_by_somebody_else(told):
    refused(told.export(signer=told.keys["alpha"]), Step.HEAD)


@pytest.mark.parametrize(
    ("lie", "match"),
    [
        ({"says": 3}, "size is 3, want 4"),
        ({"says": 5}, "size is 5, want 4"),
        ({"root": sha256(b"another root")}, "root"),
        ({"origin": "another.example/ledger"}, "did not sign this head"),
    ],
)
def test_a_head_that_says_something_else(told, lie, match):
    refused(told.export(**lie), Step.HEAD, match)


@pytest.mark.parametrize("kept", [0, 1], ids=["Ed25519", "ML-DSA-44"])
def test_a_head_with_one_of_the_logs_two_signatures(told, kept):
    head = told.head()
    left = [lines_of(head)[kept], *lines_of(head)[2:]]
    refused(told.export(heads={4: with_lines(head, left)}), Step.HEAD, "did not sign")


def test_a_head_that_is_no_note(told):
    refused(told.export(heads={4: b"no head"}), Step.HEAD)


def test_a_truncated_ledger_under_the_head_of_the_whole(told):
    head = told.head()
    cut = bundle.write(blocks=told.blocks[:-1], models=[b"model 1"], heads={3: head})
    refused(cut, Step.HEAD, "size is 4, want 3")


def test_a_last_block_exchanged_under_the_head(told, federation):
    other = federation().founded().commit().commit()
    data = bundle.write(
        blocks=other.blocks, models=[b"model 2"], heads={4: told.head()}
    )
    refused(data, Step.HEAD)


def test_the_log_before_signs_no_head_over_the_turn_to_the_next(told):
    old = told.orchestrator
    told.replace("next.example/ledger")
    verify(told.export())
    refused(told.export(signer=old), Step.HEAD)
    refused(told.export(signer=old, origin="test.example/ledger"), Step.HEAD)


def test_the_log_before_signs_no_later_head(told):
    old = told.orchestrator
    told.replace("next.example/ledger").commit()
    verify(told.export())
    lies = {"signer": old, "origin": "test.example/ledger"}
    refused(told.export(**lies), Step.HEAD)


# (11) who cosigns


@pytest.mark.parametrize("count", range(1, 6))
def test_a_quorum_cosigned_or_one_fewer(federation, count):
    told = federation(NAMES[:count]).begin()
    # Castro and Liskov 1999: more than (n + f) / 2 with f = floor((n - 1) / 3)
    enough = (count + (count - 1) // 3) // 2 + 1
    for names in (NAMES[:enough], NAMES[count - enough : count]):
        assert verify(told.export(cosigners=names)).cosigned_by == names
    refused(
        told.export(cosigners=NAMES[: enough - 1]),
        Step.QUORUM,
        f"{enough - 1} of {count} cosigned, the policy wants {enough}",
    )


@pytest.mark.parametrize("kept", [0, 1], ids=["Ed25519", "ML-DSA-44"])
def test_a_member_that_cosigned_with_one_key_does_not_count(told, kept):
    head = told.head(cosigners=("alpha",))
    half = told.lines(head, "bravo")[kept]
    data = told.export(heads={4: with_lines(head, [*lines_of(head), half])})
    refused(data, Step.QUORUM, "1 of 3 cosigned, the policy wants 2")


def test_only_ed25519_lines_are_no_quorum(told):
    head = told.head(cosigners=())
    lines = [told.lines(head, org)[0] for org in told.keys]
    data = told.export(heads={4: with_lines(head, [*lines_of(head), *lines])})
    refused(data, Step.QUORUM, "0 of 3 cosigned")


@pytest.mark.parametrize("at", [0, 1], ids=["Ed25519", "ML-DSA-44"])
@pytest.mark.parametrize("org", ["bravo", "charlie"])
def test_a_wrong_line_is_refused_even_beyond_the_quorum(told, org, at):
    head, other = told.head(), told.head(root=sha256(b"another root"))
    lines = list(lines_of(head))
    (place,) = (
        i
        for i, line in enumerate(lines)
        if (line.name, line.key_id) == (org, told.lines(head, org)[at].key_id)
    )
    lines[place] = told.lines(other, org)[at]
    data = told.export(heads={4: with_lines(head, lines)})
    refused(data, Step.QUORUM, "does not verify")


def test_members_that_cosigned_another_head(told):
    head, other = told.head(cosigners=()), told.head(root=sha256(b"another root"))
    moved = lines_of(other)[2:]
    data = told.export(heads={4: with_lines(head, [*lines_of(head), *moved])})
    refused(data, Step.QUORUM, "does not verify")


@pytest.mark.parametrize(
    "stranger",
    [
        "nobody",
        "a member under another key",
        "the log under another key",
        "a name that is no organisation's",
    ],
)
def test_a_line_by_a_stranger(told, stranger):
    """Whoever reads heads alone ignores it (C2SP); a bundle has one form only."""
    head = told.head()
    match stranger:
        case "nobody":
            more = heads.cosign(head, told.new_key(), org="zulu", at=told.now)
        case "a member under another key":
            more = heads.cosign(head, told.new_key(), org="alpha", at=told.now)
        case _:
            name = told.standing().log.origin if "log" in stranger else "Zulu.Ltd"
            more = [NoteSignature(name=name, key_id=b"1234", signature=b"5")]
    data = told.export(heads={4: with_lines(head, [*lines_of(head), *more])})
    refused(data, Step.QUORUM, "lines by strangers")


@pytest.mark.parametrize(
    "mixed",
    [
        lambda lines: [*lines, lines[-1]],
        lambda lines: lines[::-1],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:-1], lines[-1], lines[-2]],
    ],
    ids=["one twice", "backwards", "the log's", "one after its other"],
)
def test_lines_in_any_but_their_one_order(told, mixed):
    """A bundle with one content has one sequence of bytes."""
    head = told.head()
    lines = mixed(list(lines_of(head)))
    data = told.export(heads={4: with_lines(head, lines)})
    refused(data, Step.QUORUM, "another order than")


def test_a_witness_with_an_impossible_clock_stops_nobody(told):
    head, key = told.head(cosigners=("alpha", "bravo")), told.keys["charlie"]
    late = sign_ml_dsa_44(
        note.parse(head).text,
        name="charlie",
        timestamp=2**63 - 1,
        sign=key.sign_tlog_ml_dsa_44,
        public_key=key.public.tlog_ml_dsa_44,
    )
    first = told.lines(head, "charlie")[0]
    head = with_lines(head, [*lines_of(head), first, late])
    report = verify(told.export(heads={4: head}))
    assert report.cosigned_by == ("alpha", "bravo", "charlie")
    assert report.head_timestamp == told.now


# (11) heads over turns


TURNS = {
    "enrol": lambda told: told.enrol("delta"),
    "rotate": lambda told: told.rotate("charlie"),
    "suspend": lambda told: told.suspend("charlie"),
    "replace": lambda told: told.replace("next.example/ledger"),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_head_over_a_turn_is_missing(told, turn):
    TURNS[turn](told).fail("round-x")
    found = told.heads()
    assert sorted(found) == [5, 6]
    verify(told.export())
    refused(
        told.export(heads={6: found[6]}), Step.QUORUM, "head over 5 blocks is missing"
    )


def test_a_head_that_nobody_asked_for(told):
    found = told.heads() | {2: told.head(2)}
    refused(told.export(heads=found), Step.QUORUM, "head over 2 blocks is not asked")


def test_a_head_over_nothing(told):
    """No step of the blocks comes by it, so the container has no place for it."""
    with pytest.raises(MalformedMessage, match="head over all of its blocks"):
        told.export(heads=told.heads() | {0: b"nothing"})
    lines = told.export().split(b"\n")[:-1]
    lines[0] = lines[0].replace(b'"heads":0', b'"heads":1')
    lines.insert(-1, b'{"head":"nothing","size":0}')
    before = b"".join(line + b"\n" for line in lines[:-1])
    head = lines[-1].split(b'"head":', 1)[1]
    closed = before + b'{"digest":"' + sha256(before).encode() + b'","head":' + head
    refused(closed + b"\n", Step.CONTAINER, "heads ascend by size from 1")


@pytest.mark.parametrize("turn", TURNS)
def test_a_head_over_a_turn_without_a_quorum(told, turn):
    TURNS[turn](told).fail("round-x")
    short = told.heads() | {5: told.head(5, cosigners=("alpha",))}
    refused(told.export(heads=short), Step.QUORUM, "1 of 3 cosigned")


def test_the_newcomer_does_not_cosign_its_own_turn(told):
    told.enrol("delta")
    head = told.head(cosigners=("alpha",))
    more = heads.cosign(head, told.keys["delta"], org="delta", at=told.now)
    with_delta = with_lines(head, [*lines_of(head), *more])
    refused(told.export(heads={5: with_delta}), Step.QUORUM, "1 of 3 cosigned")
    whole = told.head()
    with_delta = with_lines(whole, [*lines_of(whole), *more])
    refused(told.export(heads={5: with_delta}), Step.QUORUM)


def test_the_newcomer_counts_for_the_next_head(told):
    told.enrol("delta").fail("round-x")
    names = ("bravo", "charlie", "delta")
    assert verify(told.export(cosigners=names)).cosigned_by == names
    refused(told.export(cosigners=names[1:]), Step.QUORUM, "2 of 4 cosigned")


def test_who_is_suspended_cosigns_its_own_turn_and_no_later_head(told):
    told.suspend("charlie")
    names = ("alpha", "charlie")
    assert verify(told.export(cosigners=names)).cosigned_by == names
    told.fail("round-x")
    head = told.head(cosigners=("alpha",))
    late = heads.cosign(head, told.keys["charlie"], org="charlie", at=told.now)
    found = told.heads() | {6: with_lines(head, [*lines_of(head), *late])}
    refused(told.export(heads=found), Step.QUORUM, "1 of 2 cosigned")


def test_a_turn_of_keys_is_cosigned_by_the_keys_before(told):
    told.rotate("bravo")
    head = told.head(cosigners=("alpha",))
    new = heads.cosign(head, told.keys["bravo"], org="bravo", at=told.now)
    data = told.export(heads={5: with_lines(head, [*lines_of(head), *new])})
    refused(data, Step.QUORUM, "1 of 3 cosigned")
    verify(told.export(cosigners=("alpha", "bravo")))


def test_after_a_turn_of_keys_the_old_ones_cosign_nothing(told):
    old = told.keys["bravo"]
    told.rotate("bravo").fail("round-x")
    head = told.head(cosigners=("alpha",))
    late = heads.cosign(head, old, org="bravo", at=told.now)
    found = told.heads() | {6: with_lines(head, [*lines_of(head), *late])}
    refused(told.export(heads=found), Step.QUORUM, "1 of 3 cosigned")


def test_a_founders_quorum_stands_for_the_genesis(federation):
    told = federation().begin()
    refused(told.export(cosigners=("alpha",)), Step.QUORUM, "1 of 3 cosigned")
    verify(told.export(cosigners=("alpha", "charlie")))


# (12) the models


def test_all_models_may_be_there(told):
    report = verify(told.export(models=told.models))
    assert sorted(report.models_verified) == sorted(map(sha256, told.models))


@pytest.mark.parametrize("models", [[], [b"model 0", b"model 1"]])
def test_the_newest_model_is_missing(told, models):
    refused(told.export(models=models), Step.MODELS, "missing")


def test_a_model_that_no_block_names(told):
    data = told.export(models=[b"model 2", b"a stranger's model"])
    refused(data, Step.MODELS, "no block names")


def test_after_a_withdrawal_the_model_that_came_back_is_wanted(told):
    told.retire(b"model 2", b"model 1")
    verify(told.export(models=[b"model 1"]))
    refused(told.export(models=[b"model 2"]), Step.MODELS, "missing")


# The order of faults


def test_a_fault_in_a_block_is_named_before_one_of_the_whole(told):
    told.commit(metrics_lies={"num_clients": 9})
    with pytest.raises(VerificationFailed) as caught:
        verify(told.export(signer=told.keys["alpha"], models=[]))
    assert (caught.value.step, caught.value.height) == (Step.METRICS, 4)


def test_times_of_blocks_may_be_equal(told):
    told.now -= timedelta(seconds=1)
    told.fail("round-x")
    assert told.blocks[-1].block.timestamp == told.blocks[-2].block.timestamp
    verify(told.export())


def test_another_genesis_than_the_pinned_one_is_refused(told):
    with pytest.raises(VerificationFailed, match="not the pinned one"):
        verify(told.export(), pinned_genesis=sha256(b"another"))


def test_a_pinned_key_alone_leaves_something_to_be_said(told):
    key = told.orchestrator.public.ed25519
    (warning,) = verify(told.export(), pinned_orchestrator_key=key).warnings
    assert "pin the Genesis" in warning
