# SPDX-License-Identifier: Apache-2.0
"""An organisation's own logs as what its agent learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedxdr.app import learners
from fedxdr.intake import Intake, files
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.storage.secrets import read_seed

LINE = (
    "Dec 31 23:59:59 h sshd[1]: Accepted password for root from 192.0.2.7 port 5 ssh2"
)


def test_users_are_tokens_of_the_organisations_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Intake] = []
    read = files.read

    def watched(*args: Any, **more: Any) -> Intake:
        taken.append(read(*args, **more))
        return taken[-1]

    monkeypatch.setattr(files, "read", watched)
    (tmp_path / "keys").mkdir()
    log = tmp_path / "auth.log"
    log.write_text(f"{LINE}\n{LINE}\n")
    learner = learners.load(tmp_path, [str(log)], name="north")
    key = read_seed(tmp_path / "keys" / "pseudonym.key")
    assert taken[0].events.user.tolist() == [Pseudonymiser(key).user("root")] * 2
    assert learner.events == learner.samples() == 2
