# SPDX-License-Identifier: Apache-2.0
"""Files named by their hash: damage is found, leftovers go, nobody else reads."""

from __future__ import annotations

import threading

import pytest

from fedxdr.core.errors import IntegrityFault, StorageFault
from fedxdr.core.ids import sha256
from fedxdr.storage.blobs import FileBlobs


@pytest.mark.parametrize("damage", [b"", b"other", b"data\0"])
def test_a_file_that_changed_is_a_fault(tmp_path, damage):
    blobs = FileBlobs(tmp_path)
    digest = blobs.put(b"data")
    (tmp_path / digest).write_bytes(damage)
    with pytest.raises(IntegrityFault):
        blobs.get(digest)


def test_what_a_killed_writer_left_is_removed_and_never_read(tmp_path):
    (tmp_path / f"{sha256(b'data')}.123.part").write_bytes(b"da")
    blobs = FileBlobs(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not blobs.has(sha256(b"data"))
    blobs.put(b"data")
    assert [path.name for path in tmp_path.iterdir()] == [sha256(b"data")]


def test_the_folder_is_the_owners_only(tmp_path):
    FileBlobs(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_disk_that_says_no_is_a_fault(tmp_path):
    blobs = FileBlobs(tmp_path / "blobs")
    (tmp_path / "blobs").rmdir()
    with pytest.raises(StorageFault):
        blobs.put(b"data")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / sha256(b"data")).mkdir()
    with pytest.raises(StorageFault):
        blobs.get(sha256(b"data"))


def test_two_threads_may_store_the_same_bytes(tmp_path):
    blobs, data, errors = FileBlobs(tmp_path), bytes(200_000), []
    barrier = threading.Barrier(4)

    def put() -> None:
        barrier.wait()
        try:
            blobs.put(data)
        except StorageFault as error:
            errors.append(error)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert blobs.get(sha256(data)) == data
