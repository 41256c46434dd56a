# SPDX-License-Identifier: Apache-2.0
"""A member's folder keeps a key that opens it, wherever its agent is stopped."""

import os

import pytest

from fedxdr.app import participating
from fedxdr.app.participating import NEXT_KEY, OLD_KEY, key_of, take_next_key
from fedxdr.crypto.keys import IdentityKey
from fedxdr.storage.secrets import read_seed, write_seed

OLD, NEXT = bytes([1]) * 32, bytes([2]) * 32
STEPS = ("open", "fsync", "replace", "unlink", "link", "rename")
MOST = 40


class Stopped(BaseException):
    """The process ends here."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(participating, "_renew_token", lambda *_: None)
    write_seed(tmp_path / "keys" / "identity.key", OLD)
    write_seed(tmp_path / "keys" / NEXT_KEY, NEXT)
    # of an earlier rotation
    write_seed(tmp_path / "keys" / OLD_KEY, bytes([3]) * 32)
    return tmp_path


def stop_at(patch, step, *, after):
    """Let the disk's so-manieth step be the last, done or not."""
    done = [0]

    def watched(call):
        def called(*arguments, **options):
            done[0] += 1
            if done[0] == step and not after:
                raise Stopped
            result = call(*arguments, **options)
            if done[0] == step:
                raise Stopped
            return result

        return called

    for name in STEPS:
        patch.setattr(os, name, watched(getattr(os, name)))


@pytest.mark.parametrize("after", [False, True])
def test_stopped_at_any_step_an_agent_starts_and_takes_its_next_key(
    folder, monkeypatch, after
):
    """One step further each time, until none is left to be stopped at."""
    fresh = IdentityKey(seed=NEXT).public
    for step in range(1, MOST):
        for name, seed in (("identity.key", OLD), (NEXT_KEY, NEXT)):
            (folder / "keys" / name).unlink(missing_ok=True)
            write_seed(folder / "keys" / name, seed)
        stopped = False
        with monkeypatch.context() as patch:
            stop_at(patch, step, after=after)
            try:
                take_next_key(folder)
            except Stopped:
                stopped = True
        # what `agent run` reads first
        assert key_of(folder).public in {IdentityKey(seed=OLD).public, fresh}
        take_next_key(folder)
        assert key_of(folder).public == fresh
        assert read_seed(folder / "keys" / OLD_KEY) == OLD
        assert not (folder / "keys" / NEXT_KEY).exists()
        if not stopped:
            break
    assert 3 < step < MOST - 1


def test_the_old_key_is_kept_for_its_owner_alone(folder):
    assert take_next_key(folder)
    for name in ("identity.key", OLD_KEY):
        assert (folder / "keys" / name).stat().st_mode & 0o777 == 0o600
    assert not take_next_key(folder)
    assert read_seed(folder / "keys" / OLD_KEY) == OLD
