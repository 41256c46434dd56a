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

# small_bundle: Genesis, plan, round, member, round; a model; the head over the turn
BLOCKS = 5
LINES = 1 + BLOCKS + 1 + 1 + 1


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
    assert sorted(read.heads) == [len(told.blocks)]
    assert (
        bundle.write(blocks=read.blocks, models=read.models.values(), heads=read.heads)
        == data
    )


def test_order_of_envelopes_models_and_heads_when_writing_does_not_matter(federation):
    told = federation().founded().commit()
    heads = told.enrol("delta").heads()
    turned = [
        dataclasses.replace(signed, envelopes=signed.envelopes[::-1])
        for signed in told.blocks
    ]
    one = bundle.write(blocks=told.blocks, models=told.models, heads=heads)
    other = bundle.write(
        blocks=turned,
        models=told.models[::-1],
        heads=dict(sorted(heads.items(), reverse=True)),
    )
    assert one == other


def test_the_line_of_a_block_is_its_height_and_two(small_bundle):
    lines = small_bundle.split(b"\n")
    assert len(lines) == LINES + 1
    for height in range(BLOCKS):
        assert b'"height":%d,' % height in lines[height + 1]


def test_nothing_but_a_ledger_is_written(federation):
    told = federation().founded()
    heads = told.heads()
    with pytest.raises(MalformedMessage, match="Genesis"):
        bundle.write(blocks=[], models=[], heads=heads)
    with pytest.raises(MalformedMessage, match="Genesis"):
        bundle.write(blocks=told.blocks[1:], models=[], heads=heads)


@pytest.mark.parametrize("sizes", [[], [1], [3], [1, 3], [2, 3], [0, 2], [-1, 2]])
def test_a_ledger_is_written_with_the_head_over_all_of_it(federation, sizes):
    told = federation().founded()
    heads = dict.fromkeys(sizes, told.head())
    with pytest.raises(MalformedMessage, match="head over all of its blocks"):
        bundle.write(blocks=told.blocks, models=[], heads=heads)


def every_byte_is_found(data, line, *, step):
    """Flip bytes of a line, the first and last among them, by four masks in turn."""
    lines = data.split(b"\n")
    begin = sum(len(before) + 1 for before in lines[:line])
    end = begin + len(lines[line]) + 1
    height = line - 1 if 1 <= line <= BLOCKS else None
    places = sorted({*range(begin, end, step), end - 2, end - 1})
    for turn, at in enumerate(places):
        bits = (0x01, 0x80, 0x20, 0xFF)[turn % 4]
        mutated = bytearray(data)
        mutated[at] ^= bits
        with pytest.raises(InvalidInput) as caught:
            verify(bytes(mutated))
        failure = caught.value
        assert isinstance(failure, VerificationFailed), (at, bits, failure)
        assert failure.step in list(Step), (at, bits, failure)
        if height is not None:
            assert failure.height == height, (at, bits, failure)


@pytest.mark.parametrize("line", range(LINES))
def test_flipped_bytes_are_found(small_bundle, line):
    size = len(small_bundle.split(b"\n")[line])
    every_byte_is_found(small_bundle, line, step=max(1, size // 40))


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("line", range(LINES))
def test_every_flipped_byte_is_found(small_bundle, line):
    every_byte_is_found(small_bundle, line, step=1)


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
    "the version before": lambda data: data.replace(b'":2}', b'":1}', 1),
    "another version": lambda data: data.replace(b'":2}', b'":3}', 1),
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


@pytest.mark.parametrize("line", [BLOCKS + 1, BLOCKS + 2, BLOCKS + 3])
def test_a_missing_model_or_head_is_refused(small_bundle, line):
    lines = small_bundle.split(b"\n")[:-1]
    failure = refusal(b"\n".join([*lines[:line], b""]))
    assert (failure.step, failure.height) == (Step.CONTAINER, None)
    if line < LINES - 1:
        failure = refusal(closed_again([*lines[:line], *lines[line + 1 :]]))
        assert (failure.step, failure.height) == (Step.CONTAINER, None)


def with_heads(lines, *others):
    """Return a bundle whose heads before the last are these."""
    first = lines[0].replace(b'"heads":1', b'"heads":%d' % len(others))
    return closed_again([first, *lines[1 : BLOCKS + 2], *others, lines[-1]])


def test_heads_ascend_each_once_between_the_first_block_and_the_last(small_bundle):
    lines = small_bundle.split(b"\n")[:-1]
    good = lines[-2]
    assert good.endswith(b'"size":4}')
    bundle.read(with_heads(lines, good))

    def of(size):
        return good.replace(b'"size":4}', b'"size":%d}' % size)

    bundle.read(with_heads(lines, of(1), of(2), good))
    for wrong in (
        [good, good],
        [good, of(2)],
        [of(0)],
        [of(0), good],
        [of(-1)],
        [good, of(5)],
        [good, of(6)],
    ):
        failure = refusal(with_heads(lines, *wrong))
        assert failure.step == Step.CONTAINER
        assert "heads ascend" in str(failure)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"head":', b'{ "head":'),
        (b'"size":4', b'"size":4.0'),
        (b'"size":4', b'"size":"4"'),
        (b'"size":4', b'"more":1,"size":4'),
        (b'"size":4', b'"size":4,"size":4'),
        (b"test.example", b"\\u0074est.example"),
        (b'"head":"', b'"head":"\\ud800'),
    ],
)
def test_a_head_in_another_form_is_refused(small_bundle, old, new):
    lines = small_bundle.split(b"\n")[:-1]
    assert old in lines[-2]
    failure = refusal(with_heads(lines, lines[-2].replace(old, new, 1)))
    assert (failure.step, failure.height) == (Step.CONTAINER, None)


@pytest.mark.parametrize("name", ["empty line after", "blank after", "twice"])
def test_bytes_after_the_end_are_named(small_bundle, name):
    assert "bytes after the last line" in str(refusal(CONTAINERS[name](small_bundle)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"blocks":5', b'"blocks":0'),
        (b'"models":1', b'"models":-1'),
        (b'"heads":1', b'"heads":-1'),
    ],
)
def test_a_bundle_without_blocks_or_of_less_than_nothing(small_bundle, old, new):
    lines = small_bundle.split(b"\n")[:-1]
    lines[0] = lines[0].replace(old, new)
    assert "at least one block" in str(refusal(closed_again(lines)))


@pytest.mark.parametrize("count", [b"4", b"6", b"0", b"-1", b"5.0", b"1e9", b"null"])
def test_another_count_of_blocks_is_refused(small_bundle, count):
    lines = small_bundle.split(b"\n")[:-1]
    lines[0] = lines[0].replace(b'"blocks":5', b'"blocks":' + count)
    refusal(closed_again(lines))


def test_a_changed_block_is_refused_by_its_hash(small_bundle):
    lines = small_bundle.split(b"\n")[:-1]
    lines[3] = lines[3].replace(b'"convergence":0.25', b'"convergence":0.5')
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.LINKS, 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"height":2', b'"height": 2'),
        (b'"height":2', b'"height":2.0'),
        (b'"height":2', b'"height":"2"'),
        (b'"height":2', b'"height":2,"height":2'),
        (b'"height":2', b'"height":2,"hitherto":5'),
        (b'"height":2,', b""),
        (b'"height":2', b'"height":-1'),
        (b'"height":2', b'"height":0'),
        (b'"alpha"', b'"\\u0061lpha"'),
        (b'"alpha"', b'"Alpha"'),
        (b"fedxdr/round-committed/v1", b"fedxdr/round-committed/v2"),
        (b'"task":"training"', b'"task":"guessing"'),
        (b'"convergence":0.25', b'"convergence":0.250'),
        (b'"convergence":0.25', b'"convergence":1e999'),
        (b'"convergence":0.25', b'"convergence":null'),
        (b'"timestamp":"2026-01-02T03:04:08Z"', b'"timestamp":"2026-01-02T03:04:08"'),
        (
            b'"timestamp":"2026-01-02T03:04:08Z"',
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
    body, rest = lines[3].removeprefix(b'{"block":').split(b',"envelopes":')
    assert old in body
    body = body.replace(old, new, 1)
    rest = rest[:-66] + block.hash_of(body).encode() + b'"}'
    lines[3] = b'{"block":' + body + b',"envelopes":' + rest
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.FORM, 2)


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
    lines[3] = lines[3].replace(old, new, 1)
    failure = refusal(closed_again(lines))
    assert failure.step in (Step.FORM, Step.LINKS)
    assert failure.height == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"payload":', b'{ "payload":'),
        (b'"payload":"', b'"payload":"\\u0065'),
        (b'=="},', b'"},'),
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
    lines[3] = b'{"block":%b,"envelopes":[%b],"hash":"%b"}' % (
        body,
        b",".join(other),
        block.hash_of(body).encode(),
    )
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.FORM, 2)


@pytest.mark.parametrize("depth", [500, 900, 5000])
def test_an_envelope_that_is_nested_too_deeply_is_refused(federation, depth):
    told = federation().founded().commit()
    deep = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    body = dataclasses.replace(
        told.last, signatures_digest=block.signatures_digest([sha256(deep)])
    ).body()
    lines = told.export().split(b"\n")[:-1]
    lines[3] = b'{"block":%b,"envelopes":[%b],"hash":"%b"}' % (
        body,
        deep,
        block.hash_of(body).encode(),
    )
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.FORM, 2)


def test_envelopes_in_another_order_are_refused(federation):
    told = federation().founded().commit()
    turned = told.export().split(b"\n")[:-1]
    signed = told.blocks[-1]
    beside = [e.to_json() for e in signed.envelopes]
    swapped = [beside[1], beside[0], *beside[2:]]
    turned[3] = turned[3].replace(b",".join(beside), b",".join(swapped))
    failure = refusal(closed_again(turned))
    assert (failure.step, failure.height) == (Step.SIGNATURES_DIGEST, 2)


@pytest.mark.parametrize("keep", [slice(1, None), slice(0, -1), slice(0, 0)])
def test_missing_envelopes_are_refused(federation, keep):
    told = federation().founded().commit()
    lines = told.export().split(b"\n")[:-1]
    beside = [e.to_json() for e in told.blocks[-1].envelopes]
    lines[3] = lines[3].replace(b",".join(beside), b",".join(beside[keep]))
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.SIGNATURES_DIGEST, 2)


def test_an_envelope_twice_is_refused(federation):
    told = federation().founded().commit()
    lines = told.export().split(b"\n")[:-1]
    first = told.blocks[-1].envelopes[0].to_json()
    lines[3] = lines[3].replace(first, first + b"," + first)
    failure = refusal(closed_again(lines))
    assert (failure.step, failure.height) == (Step.SIGNATURES_DIGEST, 2)


def test_a_model_file_with_another_digest_is_refused(small_bundle):
    lines = small_bundle.split(b"\n")[:-1]
    lines[BLOCKS + 1] = lines[BLOCKS + 1].replace(b"bW9kZWwgMg==", b"bW9kZWwgMw==")
    assert refusal(closed_again(lines)).step == Step.MODELS


@pytest.mark.parametrize("other", [b"bW9kZWwgMh==", b"bW9kZWwgMg", b"bW9kZWwgMg==="])
def test_other_base64_of_the_same_model_is_refused(small_bundle, other):
    lines = small_bundle.split(b"\n")[:-1]
    lines[BLOCKS + 1] = lines[BLOCKS + 1].replace(b"bW9kZWwgMg==", other)
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
        (b'"head":"test.', b'"head": "test.'),
        (b'"head":"test.', b'"head":"\\u0074est.'),
        (b'"head":"test.', b'"head":5,"hidden":"test.'),
    ],
)
def test_a_last_line_in_another_form_is_refused(small_bundle, old, new):
    lines = small_bundle.split(b"\n")[:-1]
    assert old in lines[-1]
    lines[-1] = lines[-1].replace(old, new, 1)
    failure = refusal(b"".join(line + b"\n" for line in lines))
    assert (failure.step, failure.height) == (Step.CONTAINER, None)


def test_skimming_gives_the_bytes_that_reading_checks(small_bundle):
    read, skimmed = bundle.read(small_bundle), bundle.skim(small_bundle)
    assert skimmed.origin == read.origin
    assert list(skimmed.bodies) == [signed.block.body() for signed in read.blocks]
    assert skimmed.head == read.heads[BLOCKS]


@pytest.mark.parametrize("line", range(LINES - 1))
def test_skimming_finds_flipped_bytes(small_bundle, line):
    lines = small_bundle.split(b"\n")
    begin = sum(len(found) + 1 for found in lines[:line])
    for at in range(begin, begin + len(lines[line]) + 1, 1 + len(lines[line]) // 8):
        changed = bytearray(small_bundle)
        changed[at] ^= 1
        with pytest.raises(VerificationFailed):
            list(bundle.skim(bytes(changed)).bodies)


@pytest.mark.parametrize("end", [b"\n", b"{}\n", b" "])
def test_skimming_ends_where_the_bundle_ends(small_bundle, end):
    for wrong in (small_bundle + end, small_bundle[:-1], b""):
        with pytest.raises(VerificationFailed) as caught:
            list(bundle.skim(wrong).bodies)
        assert caught.value.step == Step.CONTAINER


def test_skimming_names_the_block_whose_bytes_changed(small_bundle):
    lines = small_bundle.split(b"\n")
    lines[3] = lines[3].replace(b'"height":2', b'"height":7', 1)
    with pytest.raises(VerificationFailed) as caught:
        list(bundle.skim(b"\n".join(lines)).bodies)
    assert (caught.value.step, caught.value.height) == (Step.LINKS, 2)


@pytest.mark.parametrize("count", [1, 4, 6, 9])
def test_skimming_counts_the_lines(small_bundle, count):
    lines = small_bundle[:-1].split(b"\n")
    lines[0] = lines[0].replace(b'"blocks":%d' % BLOCKS, b'"blocks":%d' % count)
    with pytest.raises(VerificationFailed):
        list(bundle.skim(closed_again(lines)).bodies)
