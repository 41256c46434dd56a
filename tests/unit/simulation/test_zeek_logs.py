# SPDX-License-Identifier: Apache-2.0
"""Records of Zeek: which there are for a session, when, and of what form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.sessions import ICMP, TCP, UDP, Sessions, sessions
from fedxdr.simulation.zeek_logs import LOGS, Record, zeek_records

START_US = 1_740_960_000_000_000
NAMES = ["ws1.abc.example", "fs1.abc.example"]


def made(*, port: int, name: str = "", user: str = "", refused: bool = False,
         protocol: int = TCP) -> Sessions:  # fmt: skip
    one = sessions(
        generator(1),
        start_s=np.array([10.0]),
        source=0,
        destination=1,
        port=port,
        protocol=protocol,
        sent=700.0,
        received=900.0,
        duration_s=1.5,
        name=[name],
    )
    return dataclasses.replace(
        one,
        user=np.array([user], np.object_),
        is_refused=np.array([refused], np.bool_),
    )


def records(one: Sessions, *, names: list[str] | None = None) -> list[Record]:
    return list(
        zeek_records(
            one,
            addresses=["10.0.0.1", "10.0.0.2"],
            uids=["Cabc"],
            found_out={0: "T1486"},
            start_us=START_US,
            names=NAMES if names is None else names,
        )
    )


@pytest.mark.parametrize(
    ("asked", "logs"),
    [
        ({"port": 53, "protocol": UDP, "name": "a.test"}, ["dns"]),
        ({"port": 80, "name": "a.test/b"}, ["http"]),
        ({"port": 443, "name": "a.test"}, ["ssl"]),
        ({"port": 443}, []),
        ({"port": 22, "user": "eve"}, ["ssh"]),
        ({"port": 22}, []),
        ({"port": 3389, "user": "eve"}, ["rdp"]),
        ({"port": 88, "user": "eve"}, ["kerberos"]),
        ({"port": 88, "user": "eve", "refused": True}, ["kerberos"]),
        (
            {"port": 445, "user": "eve", "name": "s\\a\\b.txt"},
            ["ntlm", "smb_mapping", "smb_files"],
        ),
        ({"port": 445, "user": "eve", "refused": True}, ["ntlm"]),
        ({"port": 5432, "user": "eve"}, []),
        ({"port": 0, "protocol": ICMP}, []),
    ],
)
def test_the_logs_of_a_session(asked: dict[str, object], logs: list[str]) -> None:
    found = records(made(**asked))  # type: ignore[arg-type] # one of several shapes
    assert [one.log for one in found] == [*logs, "conn"]
    for one in found:
        assert set(one.values) <= {name for name, _ in LOGS[one.log]}
        assert one.values["uid"] == "Cabc"
        assert one.values["detailedlabel"] == "T1486"
        assert one.values["ts"] <= one.written_us
    assert found[-1].written_us > START_US + 11_500_000, "when it is over"
    assert [one.log for one in records(made(**asked), names=[])] == ["conn"]  # type: ignore[arg-type] # the same


def test_values() -> None:
    opened = records(made(port=445, user="eve", name="s\\a\\b.txt"))[2].values
    assert opened["path"] == "\\\\fs1.abc.example\\s"
    assert opened["name"] == "a\\b.txt"
    logon = records(made(port=445, user="eve", refused=True))[0].values
    assert (logon["username"], logon["domainname"], logon["success"]) == (
        "eve",
        "ABC",
        False,
    )
    ticket = records(made(port=88, user="eve", refused=True))[0].values
    assert ticket["client"] == "eve/ABC.EXAMPLE"
    assert ticket["error_msg"] == "KDC_ERR_PREAUTH_FAILED"
    assert records(made(port=3389, user="adm-eve.bob"))[0].values["cookie"] == (
        "adm-eve.b"
    )
