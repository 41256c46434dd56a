# SPDX-License-Identifier: Apache-2.0
"""One canonical form: what was written is read, and not one byte may be another."""

import dataclasses
import hashlib

import pytest

from fedxdr.core.errors import InvalidInput, MalformedMessage, VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.ledger import block, bundle
from fedxdr.ledger.steps import Step
from fedxdr.ledger.verifier import verify

BLOCKS = 7
LINES = 1 + BLOCKS + 1 + 1


def closed_again(lines):
    """Return lines as a bundle whose last line has the right digest."""
    before = b"".join(line + b"\n" for line in lines[:-1])
    head = lines[-1].split(b'"head":', 1)[1]
    digest = hashlib.sha256(before).hexdigest().encode()
    return before + b'{"digest":"' + digest + b'","head":' + head + b"\n"


def refusal(data):
    with pytest.raises(VerificationFailed) as caught:
        bundle.read(data)
    return caught.value


def test_what_was_written_is_read(federation):
    told = federation().founded().commit().commit(survivors=("alpha", "charlie"))
    data = told.export(models=told.models)
    read = bundle.read(data)
    assert read.origin == "test.example/ledger"
    assert list(read.blocks) == told.blocks
    assert list(read.hashes) == [signed.block.hash for signed in told.blocks]
    assert read.models == {sha256(file): file for file in told.models}
    assert (
        bundle.write(blocks=read.blocks, models=read.models.values(), head=read.head)
        == data
    )


def test_order_of_envelopes_and_models_when_writing_does_not_matter(federation):
    told = federation().founded().commit()
    head = bundle.read(told.export()).head
    turned = [
        dataclasses.replace(signed, envelopes=signed.envelopes[::-1])
        for signed in told.blocks
    ]
    one = bundle.write(blocks=told.blocks, models=told.models, head=head)
    other = bundle.write(blocks=turned, models=told.models[::-1], head=head)
    assert one == other


def test_the_line_of_a_block_is_its_height_and_two(small_bundle):
    lines = small_bundle.split(b"\n")
    assert len(lines) == LINES + 1
    for height in range(BLOCKS):
        assert b'"height":%d,' % height in lines[height + 1]


def test_nothing_but_a_ledger_is_written(federation):
    told = federation().founded()
    head = bundle.read(told.export(models=[b"model 0"])).head
    with pytest.raises(MalformedMessage, match="Genesis"):
        bundle.write(blocks=[], models=[], head=head)
    with pytest.raises(MalformedMessage, match="Genesis"):
        bundle.write(blocks=told.blocks[1:], models=[], head=head)


@pytest.mark.parametrize("line", range(LINES))
def test_every_flipped_byte_is_found(small_bundle, line):
    """Flip every byte with 0x01, every 23rd with 0x80, 0x20 and 0xff as well."""
    lines = small_bundle.split(b"\n")
    begin = sum(len(before) + 1 for before in lines[:line])
    end = begin + len(lines[line]) + 1
    height = line - 1 if 1 <= line <= BLOCKS else None
    flips = [(at, 0x01) for at in range(begin, end)]
    flips += [(at, bits) for at in range(begin, end, 23) for bits in (0x80, 0x20, 0xFF)]
    for at, bits in flips:
        mutated = bytearray(small_bundle)
        mutated[at] ^= bits
        with pytest.raises(InvalidInput) as caught:
            verify(bytes(mutated))
        failure = caught.value
        assert isinstance(failure, VerificationFailed), (at, bits, failure)
        assert failure.step in list(Step), (at, bits, failure)
        if height is not None:
            assert failure.height == height, (at, bits, failure)


CONTAINERS = {
    "empty": lambda _: b"",
    "only a line end": lambda _: b"\n",
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "blank before": lambda data: b" " + data,
    "empty line after": lambda data: data + b"\n",
    "blank after": lambda data: data + b" ",
    "twice": lambda data: data + data,
    "no last line end": lambda data: data[:-1],
    "other line ends": lambda data: data.replace(b"\n", b"\r\n"),
    "half of it": lambda data: data[: len(data) // 2],
    "no head": lambda data: data.rsplit(b"\n", 2)[0] + b"\n",
    "short header": lambda _: b'{"blocks":1}\n',
    "deep nesting": lambda data: b"[" * 100_000 + data,
    "another version": lambda data: data.replace(b'":1}', b'":2}', 1),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_any_other_container_is_refused(small_bundle, name):
    changed = CONTAINERS[name](small_bundle)
    assert changed != small_bundle
    assert refusal(changed).step in (Step.CONTAINER, Step.FORM)


def test_a_missing_block_is_refused_at_its_height(small_bundle):
    lines = small_bundle.split(b"\n")
    failure = refusal(b"\n".join([*lines[:4], b""]))
    assert (failure.step, failure.height) == (Step.CONTAINER, 3)


@pytest.mark.parametrize("name", ["empty line after", "blank after", "twice"])
def test_bytes_after_the_end_are_named(small_bundle, name):
    assert "bytes after the last line" in str(refusal(CONTAINERS[name](small_bundle)))


@pytest.mark.parametrize(
    ("old", "new"), [(b'"blocks":7', b'"blocks":0'), (b'"models":1', b'"models":-1')]
)
def test_a_bundle_without_blocks_or_of_less_than_nothing(small_bundle, old, new):
    lines = small_bundle.split(b"\n")[:-1]
    lines[0] = lines[0].replace(old, new)
    assert "at least one block" in str(refusal(closed_again(lines)))


@pytest.mark.parametrize("count", [b"6", b"8", b"0", b"-1", b"7.0", b"1e9", b"null"])
def test_another_count_of_blocks_is_refused(small_bundle, count):
    lines = small_bundle.split(b"\n")[:-1]
    lines[0] = lines[0].replace(b'"blocks":7', b'"blocks":' + count)
    refusal(closed_again(lines))


def test_a_changed_block_is_refused_by_its_hash(small_bundle):
    lines = small_bundle.split(b"\n")[:-1]
    lines[6] = lines[6].replace(b'"convergence":0.25', b'"convergence":0.5')
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.LINKS, 5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"height":5', b'"height": 5'),
        (b'"height":5', b'"height":5.0'),
        (b'"height":5', b'"height":"5"'),
        (b'"height":5', b'"height":5,"height":5'),
        (b'"height":5', b'"height":5,"hitherto":5'),
        (b'"height":5,', b""),
        (b'"height":5', b'"height":-1'),
        (b'"height":5', b'"height":0'),
        (b'"alpha"', b'"\\u0061lpha"'),
        (b'"alpha"', b'"Alpha"'),
        (b"fedxdr/round-committed/v1", b"fedxdr/round-committed/v2"),
        (b'"task":"training"', b'"task":"guessing"'),
        (b'"convergence":0.25', b'"convergence":0.250'),
        (b'"convergence":0.25', b'"convergence":1e999'),
        (b'"convergence":0.25', b'"convergence":null'),
        (b'"timestamp":"2026-01-02T03:04:11Z"', b'"timestamp":"2026-01-02T03:04:11"'),
        (
            b'"timestamp":"2026-01-02T03:04:11Z"',
            b'"timestamp":"2026-01-02T05:04+02:00"',
        ),
        (b'"model_version":"v1"', b'"model_version":"' + b"v" * 501 + b'"'),
        (b'"clip_norm":1.5', b'"clip_norm":"' + b"1" * 65_535 + b'"'),
    ],
)
def test_a_block_in_another_form_is_refused_even_under_its_own_hash(
    small_bundle, old, new
):
    lines = small_bundle.split(b"\n")[:-1]
    body, rest = lines[6].removeprefix(b'{"block":').split(b',"envelopes":')
    assert old in body
    body = body.replace(old, new, 1)
    rest = rest[:-66] + block.hash_of(body).encode() + b'"}'
    lines[6] = b'{"block":' + body + b',"envelopes":' + rest
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.FORM, 5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"block":', b'{ "block":'),
        (b'"envelopes":[', b'"envelopes":[ '),
        (b'"envelopes":[', b'"enveloped":['),
        (b'"hash":', b'"also":1,"hash":'),
        (b'"hash":"', b'"hash":"0'),
    ],
)
def test_a_line_in_another_form_is_refused(small_bundle, old, new):
    lines = small_bundle.split(b"\n")[:-1]
    lines[6] = lines[6].replace(old, new, 1)
    failure = refusal(closed_again(lines))
    assert failure.step in (Step.FORM, Step.LINKS)
    assert failure.height == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"payload":', b'{ "payload":'),
        (b'"payload":"', b'"payload":"\\u0065'),
        (b'=="}]', b'"}]'),
        (b'"signatures":[{', b'"signatures":[{"more":1,'),
        (b'"signatures":', b'"signed":1,"signatures":'),
    ],
)
def test_an_envelope_in_another_form_is_refused_even_when_bound(federation, old, new):
    told = federation().founded().commit()
    beside = [e.to_json() for e in told.blocks[-1].envelopes]
    assert old in beside[0]
    other = sorted([beside[0].replace(old, new, 1), *beside[1:]], key=sha256)
    body = dataclasses.replace(
        told.last, signatures_digest=block.signatures_digest(map(sha256, other))
    ).body()
    lines = told.export().split(b"\n")[:-1]
    lines[6] = b'{"block":%b,"envelopes":[%b],"hash":"%b"}' % (
        body,
        b",".join(other),
        block.hash_of(body).encode(),
    )
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.FORM, 5)


@pytest.mark.parametrize("depth", [500, 900, 5000])
def test_an_envelope_that_is_nested_too_deeply_is_refused(federation, depth):
    told = federation().founded().commit()
    deep = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    body = dataclasses.replace(
        told.last, signatures_digest=block.signatures_digest([sha256(deep)])
    ).body()
    lines = told.export().split(b"\n")[:-1]
    lines[6] = b'{"block":%b,"envelopes":[%b],"hash":"%b"}' % (
        body,
        deep,
        block.hash_of(body).encode(),
    )
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.FORM, 5)


def test_envelopes_in_another_order_are_refused(federation):
    told = federation().founded().commit()
    turned = told.export().split(b"\n")[:-1]
    signed = told.blocks[-1]
    beside = [e.to_json() for e in signed.envelopes]
    swapped = [beside[1], beside[0], *beside[2:]]
    turned[6] = turned[6].replace(b",".join(beside), b",".join(swapped))
    failure = refusal(closed_again(turned))
    assert (failure.step, failure.height) == (Step.SIGNATURES_DIGEST, 5)


@pytest.mark.parametrize("keep", [slice(1, None), slice(0, -1), slice(0, 0)])
def test_missing_envelopes_are_refused(federation, keep):
    told = federation().founded().commit()
    lines = told.export().split(b"\n")[:-1]
    beside = [e.to_json() for e in told.blocks[-1].envelopes]
    lines[6] = lines[6].replace(b",".join(beside), b",".join(beside[keep]))
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.SIGNATURES_DIGEST, 5)


def test_an_envelope_twice_is_refused(federation):
    told = federation().founded().commit()
    lines = told.export().split(b"\n")[:-1]
    first = told.blocks[-1].envelopes[0].to_json()
    lines[6] = lines[6].replace(first, first + b"," + first)
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.SIGNATURES_DIGEST, 5)


def test_a_model_file_with_another_digest_is_refused(small_bundle):
    lines = small_bundle.split(b"\n")[:-1]
    lines[-2] = lines[-2].replace(b"bW9kZWwgMg==", b"bW9kZWwgMw==")
    assert refusal(closed_again(lines)).step == Step.MODELS


@pytest.mark.parametrize("other", [b"bW9kZWwgMh==", b"bW9kZWwgMg", b"bW9kZWwgMg==="])
def test_other_base64_of_the_same_model_is_refused(small_bundle, other):
    lines = small_bundle.split(b"\n")[:-1]
    lines[-2] = lines[-2].replace(b"bW9kZWwgMg==", other)
    assert refusal(closed_again(lines)).step == Step.CONTAINER


def test_models_out_of_order_or_twice_are_refused(federation):
    told = federation().founded().commit()
    lines = told.export(models=told.models).split(b"\n")[:-1]
    refusal(closed_again([*lines[:-3], lines[-2], lines[-3], lines[-1]]))
    refusal(closed_again([*lines[:-3], lines[-3], lines[-3], lines[-1]]))


def test_a_wrong_digest_of_the_container_is_refused(small_bundle):
    lines = small_bundle.split(b"\n")[:-1]
    other = closed_again([b"{}", *lines[1:]]).split(b"\n")[-2]
    failure = refusal(b"".join(line + b"\n" for line in [*lines[:-1], other]))
    assert failure.step == Step.CONTAINER


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"digest":', b'{ "digest":'),
        (b',"head":', b',"hat":1,"head":'),
        (b'"head":{"payload"', b'"head":{ "payload"'),
        (b'"signatures":', b'"signed":1,"signatures":'),
    ],
)
def test_a_last_line_in_another_form_is_refused(small_bundle, old, new):
    lines = small_bundle.split(b"\n")[:-1]
    assert old in lines[-1]
    lines[-1] = lines[-1].replace(old, new, 1)
    failure = refusal(b"".join(line + b"\n" for line in lines))
    assert (failure.step, failure.height) == (Step.CONTAINER, None)
