# SPDX-License-Identifier: Apache-2.0
"""A published model: three commands as printed, every byte, every moment of a kill."""

from __future__ import annotations

import os
import shutil
import string
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.errors import (
    BadSignature,
    IntegrityFault,
    MalformedMessage,
    NotFound,
    StorageFault,
)
from fedxdr.core.ids import sha256
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.storage import openssf
from fedxdr.storage.model_directory import (
    BESIDE,
    FILES,
    KEY,
    MODEL,
    PROVENANCE,
    SIGNATURE,
    SIGNED,
    SUMMED,
    SUMS,
    SUMS_SIGNATURE,
    check_model_directory,
    how_to_verify,
    mirror_model_directory,
    read_seal,
    write_model_directory,
)

PUBLISHER = PublisherKey(seed=bytes(range(32)))
OTHER = PublisherKey(seed=bytes(32))
CONTENT = {
    "model": bytes(range(256)) * 4,
    "provenance": b'{"block":{},"envelopes":[]}\n',
    "card": b"# Model v1\n",
}
HASH = sha256(CONTENT["model"])
TOOLS = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A directory whose path a shell must not take apart."""
    folder = tmp_path_factory.mktemp("models of") / "it's $HOME; #1\\"
    return write_model_directory(folder, **CONTENT, publisher=PUBLISHER)


@pytest.fixture
def copy(published, tmp_path):
    """The same directory, to be spoilt."""
    return Path(shutil.copytree(published, tmp_path / "copy" / published.name))


def statuses(directory, *, only=(0, 1, 2), publisher=PUBLISHER, model_hash=HASH):
    """Run the printed commands as they are and return their exit statuses."""
    commands = how_to_verify(
        directory, model_hash=model_hash, publisher=publisher.public
    )
    assert len(commands) == 3
    return [
        subprocess.run(
            ["sh", "-c", commands[number]],
            cwd="/",
            env=TOOLS,
            capture_output=True,
            check=False,
            timeout=60,
        ).returncode
        for number in only
    ]


def is_good(directory):
    try:
        check_model_directory(directory, model_hash=HASH, publisher=PUBLISHER.public)
    except (BadSignature, MalformedMessage, NotFound):
        return False
    return True


def spoil(path, at, flip):
    data = bytearray(path.read_bytes())
    data[at] ^= flip
    path.write_bytes(data)
    return bytes(data)


def test_the_three_commands_succeed_as_printed(published):
    assert statuses(published) == [0, 0, 0]
    assert is_good(published)
    assert {path.name for path in published.iterdir()} == FILES
    assert published.name == HASH


def test_each_command_is_one_line_and_one_tool(published):
    commands = how_to_verify(published, model_hash=HASH, publisher=PUBLISHER.public)
    assert not any("\n" in command for command in commands)
    for command, tool in zip(
        commands, ("model_signing ", "openssl ", "sha256sum "), strict=True
    ):
        assert tool in command
    assert HASH in commands[2]
    assert PUBLISHER.public.fingerprint in commands[2]


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_byte_fails_a_command(copy, name):
    path = copy / name
    good = path.read_bytes()
    drawn = np.random.default_rng(len(name))
    places = {0, len(good) - 1, *drawn.integers(len(good), size=10).tolist()}
    for at in sorted(places):
        spoil(path, at, int(drawn.choice((0x01, 0x20, 0x80, 0xFF))))
        # either of the two tools that everybody has sees it; all three ran above
        assert any(statuses(copy, only=(1, 2))), (name, at)
        assert not is_good(copy)
        path.write_bytes(good)
    assert is_good(copy)


@pytest.mark.soak
def test_every_changed_byte_is_refused(copy):
    for name in sorted(FILES):
        good = (copy / name).read_bytes()
        for at in range(len(good)):
            for flip in (0x01, 0x20, 0x80):
                spoil(copy / name, at, flip)
                assert not is_good(copy), (name, at, flip)
        (copy / name).write_bytes(good)
    assert is_good(copy)


@pytest.mark.parametrize("name", SIGNED)
def test_model_signing_sees_each_file_and_names_it(copy, name):
    spoil(copy / name, 40 if name == KEY else 5, 0x01)
    with pytest.raises(BadSignature, match=None if name == KEY else name):
        openssf.verify(copy, copy / SIGNATURE, public_key=copy / KEY, beside=BESIDE)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_fails(copy, name):
    (copy / name).unlink()
    assert any(statuses(copy, only=(1, 2)))
    assert not is_good(copy)


@pytest.mark.parametrize("name", ["extra.bin", ".gitignore", "deep/.hidden"])
def test_a_file_too_much_fails(copy, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"")
    assert statuses(copy, only=(0,)) == [1]
    with pytest.raises(MalformedMessage, match="too much"):
        check_model_directory(copy, model_hash=HASH, publisher=PUBLISHER.public)


def test_a_link_in_place_of_a_file_fails(copy, published):
    (copy / MODEL).unlink()
    (copy / MODEL).symlink_to(published / MODEL)
    with pytest.raises(BadSignature, match="symlink"):
        openssf.verify(copy, copy / SIGNATURE, public_key=copy / KEY, beside=BESIDE)
    assert not is_good(copy)


def test_model_signing_reads_base64_leniently_and_the_others_do_not(copy):
    """Why the sums cover model.sig: bits of a last digit of base64 say nothing."""
    good = (copy / SIGNATURE).read_bytes()
    at = good.index(b'=","payloadType"') - 1
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    other = digits[digits.index(chr(good[at])) ^ 1].encode()
    (copy / SIGNATURE).write_bytes(good[:at] + other + good[at + 1 :])
    assert statuses(copy) == [0, 0, 1]
    assert not is_good(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda sums: b"#" + sums[1:],  # a comment
        lambda sums: sums[:64].upper() + sums[64:],  # digits in capitals
        lambda sums: sums.replace(b"  model.sig", b" *model.sig"),  # binary mode
        lambda sums: b"".join(sums.splitlines(keepends=True)[:-1]),  # a line less
    ],
)
def test_sums_that_sha256sum_still_takes_fail_openssl(copy, change):
    sums = (copy / SUMS).read_bytes()
    (copy / SUMS).write_bytes(change(sums))
    assert change(sums) != sums
    assert statuses(copy, only=(1, 2)) == [1, 0]


def test_another_publishers_directory_fails_the_pin_alone(tmp_path):
    forged = write_model_directory(tmp_path, **CONTENT, publisher=OTHER)
    assert statuses(forged) == [0, 0, 1]
    with pytest.raises(BadSignature, match="not the publisher's key"):
        check_model_directory(forged, model_hash=HASH, publisher=PUBLISHER.public)


def test_another_model_of_the_same_publisher_fails_the_pin_alone(tmp_path):
    content = {**CONTENT, "model": b"another"}
    swapped = write_model_directory(tmp_path, **content, publisher=PUBLISHER)
    assert statuses(swapped, only=(1, 2)) == [0, 1]
    with pytest.raises(MalformedMessage, match="is not model"):
        check_model_directory(swapped, model_hash=HASH, publisher=PUBLISHER.public)


def test_files_signed_again_under_the_old_key_file_fail(copy):
    """An attacker with a key of his own who leaves publisher.pem as it is."""
    (copy / MODEL).write_bytes(b"poisoned")
    openssf.sign(copy, copy / SIGNATURE, key=OTHER, beside=BESIDE)
    sums = "".join(f"{sha256((copy / n).read_bytes())}  {n}\n" for n in SUMMED).encode()
    (copy / SUMS).write_bytes(sums)
    (copy / SUMS_SIGNATURE).write_bytes(OTHER.sign(sums))
    assert statuses(copy) == [1, 1, 1]


# Writing


def test_writing_the_same_again_changes_nothing(published):
    before = {
        p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in published.iterdir()
    }
    content = {**CONTENT, "card": b"# worded otherwise by another release\n"}
    for again in (CONTENT, content):
        assert (
            write_model_directory(published.parent, **again, publisher=PUBLISHER)
            == published
        )
    assert before == {
        p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in published.iterdir()
    }


def test_another_provenance_or_publisher_under_the_name_is_a_fault(published):
    content = {**CONTENT, "provenance": b"{}\n"}
    with pytest.raises(IntegrityFault, match=PROVENANCE):
        write_model_directory(published.parent, **content, publisher=PUBLISHER)
    with pytest.raises(IntegrityFault, match="broken"):
        write_model_directory(published.parent, **CONTENT, publisher=OTHER)
    assert is_good(published)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_damaged_directory_is_a_fault_and_not_mended(copy, name):
    damaged = spoil(copy / name, 3, 0x01)
    with pytest.raises(IntegrityFault, match="broken"):
        write_model_directory(copy.parent, **CONTENT, publisher=PUBLISHER)
    assert (copy / name).read_bytes() == damaged


def test_a_file_under_the_name_is_a_fault(tmp_path):
    (tmp_path / HASH).write_bytes(b"")
    with pytest.raises(IntegrityFault, match="broken"):
        write_model_directory(tmp_path, **CONTENT, publisher=PUBLISHER)


def test_two_writers_stand_in_line(tmp_path):
    faults = []

    def write():
        try:
            write_model_directory(tmp_path, **CONTENT, publisher=PUBLISHER)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the test shows it
            faults.append(fault)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert faults == []
    assert is_good(tmp_path / HASH)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", HASH}


def test_a_disk_that_says_no_is_a_fault(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFault):
        write_model_directory(tmp_path / "file", **CONTENT, publisher=PUBLISHER)


KILLED = """
import os, signal, sys
from pathlib import Path
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.storage import openssf  # before the fork: it is slow
from fedxdr.storage.model_directory import check_model_directory, write_model_directory
from fedxdr.core.ids import sha256

content = {"model": b"model", "provenance": b"{}", "card": b"#"}
key = PublisherKey(seed=bytes(32))
top = Path(sys.argv[1])
EVENTS = {"open", "os.mkdir", "os.rename", "os.rmdir", "os.remove"}

def killed_at(number, folder):
    left = number
    def hook(event, arguments):
        nonlocal left
        if event in EVENTS and str(folder) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    write_model_directory(folder, **content, publisher=key)
    os._exit(0)

found, number = set(), 0
while True:
    number += 1
    folder = top / str(number)
    child = os.fork()
    if child == 0:
        killed_at(number, folder)
    _, status = os.waitpid(child, 0)
    place = folder / sha256(content["model"])
    is_there = place.exists()
    if is_there:
        check_model_directory(
            place, model_hash=sha256(content["model"]), publisher=key.public
        )
    found.add(is_there)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    write_model_directory(folder, **content, publisher=key)
    left = sorted(path.name for path in folder.iterdir())
    assert left == [".lock", place.name], (number, left)
assert found == {True, False}
print(number - 1)
"""


def test_killed_at_any_call_it_is_whole_or_not_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 25  # that many calls, a kill before each


# Mirroring


def test_a_mirror_writes_the_same_bytes(published, tmp_path):
    model, provenance = CONTENT["model"], CONTENT["provenance"]
    place = mirror_model_directory(
        tmp_path,
        model=model,
        provenance=provenance,
        publisher=PUBLISHER.public,
        seal=read_seal(published),
    )
    assert {p.name: p.read_bytes() for p in place.iterdir()} == {
        p.name: p.read_bytes() for p in published.iterdir()
    }
    assert statuses(place) == [0, 0, 0]


@pytest.mark.parametrize(
    "lie",
    [
        {"provenance": b'{"block":{"forged":1}}\n'},
        {"publisher": OTHER.public},
        {"model": b"another model"},
    ],
)
def test_a_seal_over_something_else_is_refused(published, tmp_path, lie):
    given = {
        "model": CONTENT["model"],
        "provenance": CONTENT["provenance"],
        "publisher": PUBLISHER.public,
        "seal": read_seal(published),
    }
    with pytest.raises(BadSignature):
        mirror_model_directory(tmp_path, **(given | lie))
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


@pytest.mark.parametrize("field", ["card", "signature", "sums_signature"])
@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b'{"verificationMaterial":1}'])
def test_a_spoilt_seal_is_refused(published, tmp_path, field, value):
    seal = read_seal(published)
    fields = {name: getattr(seal, name) for name in type(seal).__dataclass_fields__}
    with pytest.raises(BadSignature):
        mirror_model_directory(
            tmp_path,
            model=CONTENT["model"],
            provenance=CONTENT["provenance"],
            publisher=PUBLISHER.public,
            seal=type(seal)(**(fields | {field: value})),
        )
    assert not (tmp_path / HASH).exists()


def test_what_is_not_published_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        read_seal(tmp_path / HASH)
    with pytest.raises(NotFound):
        check_model_directory(
            tmp_path / HASH, model_hash=HASH, publisher=PUBLISHER.public
        )
