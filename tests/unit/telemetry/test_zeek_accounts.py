# SPDX-License-Identifier: Apache-2.0
"""Who acted in Zeek's logs, in both forms; and the ends of logs without ``id``.

Source: Zeek documentation, "Zeek Log Formats and Inspection" (examples of kerberos.log,
ntlm.log, rdp.log, ftp.log, ssh.log, dhcp.log, files.log, notice.log); MITRE BZAR,
scripts/bzar_smb_report.zeek.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from fedxdr.telemetry import Events, Kind, Service, State
from fedxdr.telemetry.parser import Parsed
from fedxdr.telemetry.suricata import mark_alerted
from fedxdr.telemetry.zeek import ZeekTsvParser
from fedxdr.telemetry.zeek_json import ZeekJsonParser

ENDS: dict[str, Any] = {
    "ts": 1588206977.855494,
    "uid": "CL6wTx1zdKr1lfHXIh",
    "id.orig_h": "10.0.1.4",
    "id.orig_p": 60813,
    "id.resp_h": "10.0.0.4",
    "id.resp_p": 88,
}


class Tokens:
    """Readable tokens: an account's is negative."""

    def address(self, text: str) -> int:
        return zlib.crc32(text.encode()) or 1

    def user(self, text: str) -> int:
        return -(zlib.crc32(text.encode()) or 1)


def cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)[0] if isinstance(value, bool) else str(value)


def tabs(log: str, record: dict[str, Any]) -> Parsed:
    lines = [
        "#separator \\x09",
        "#unset_field\t-",
        f"#path\t{log}",
        "#fields\t" + "\t".join(record),
        "\t".join(map(cell, record.values())),
    ]
    return ZeekTsvParser(Tokens()).parse("\n".join(lines).encode())


def both(log: str, record: dict[str, Any]) -> list[Events]:
    """The one event of a record, written with tabs and as JSON in three ways."""
    parsed = [
        tabs(log, record),
        ZeekJsonParser(Tokens(), log=log).parse(json.dumps(record).encode()),
        ZeekJsonParser(Tokens()).parse(json.dumps(record | {"_path": log}).encode()),
    ]
    assert all(one.rejected == () for one in parsed)
    assert [len(one.events) for one in parsed] == [1] * 3
    return [one.events for one in parsed]


@pytest.mark.parametrize(
    ("log", "fields", "user", "state"),
    [
        (
            "kerberos",
            {"client": "pbeesly/dmevals", "service": "krbtgt/DMEVALS", "success": True},
            "dmevals\\pbeesly",
            State.COMPLETED,
        ),
        (
            "kerberos",
            {
                "client": "pbeesly/dmevals",
                "success": False,
                "error_msg": "KDC_ERR_PREAUTH_FAILED",
            },
            "dmevals\\pbeesly",
            State.REJECTED,
        ),
        (
            "kerberos",
            {
                "client": "pbeesly",
                "success": False,
                "error_msg": "KDC_ERR_PREAUTH_REQUIRED",
            },
            "pbeesly",
            State.UNKNOWN,
        ),
        ("kerberos", {"service": "DNS/x", "success": False}, "", State.REJECTED),
        (
            "ntlm",
            {
                "username": "bob",
                "hostname": "PC",
                "domainname": "CORP",
                "success": True,
            },
            "CORP\\bob",
            State.COMPLETED,
        ),
        ("rdp", {"cookie": "A70067", "result": "encrypted"}, "A70067", State.UNKNOWN),
        (
            "ftp",
            {"user": "bob", "command": "PASS", "reply_code": 530},
            "bob",
            State.REJECTED,
        ),
        (
            "ftp",
            {"user": "<unknown>", "command": "RETR", "reply_code": 230},
            "",
            State.UNKNOWN,
        ),
        ("http", {"host": "h.test", "username": "bob"}, "bob", State.UNKNOWN),
        ("ssh", {"client": "SSH-2.0-x", "auth_success": True}, "", State.COMPLETED),
        ("ssh", {"client": "SSH-2.0-x", "auth_success": False}, "", State.REJECTED),
        ("ssh", {"client": "SSH-2.0-x"}, "", State.UNKNOWN),
        ("socks", {"user": "bob", "status": "succeeded"}, "bob", State.UNKNOWN),
        ("radius", {"username": "bob", "result": "failed"}, "bob", State.REJECTED),
        ("irc", {"user": "bob", "nick": "b"}, "bob", State.UNKNOWN),
        ("postgresql", {"user": "bob", "database": "d"}, "bob", State.UNKNOWN),
        (
            "ldap",
            {"opcode": "bind simple", "object": "cn=bob", "result": "success"},
            "cn=bob",
            State.COMPLETED,
        ),
        ("ldap", {"opcode": "search", "object": "cn=bob"}, "", State.UNKNOWN),
        ("dns", {"query": "x.test", "user": "bob"}, "", State.UNKNOWN),
    ],
)
def test_who_acted_and_whether_that_one_was_let_in(
    log: str, fields: dict[str, Any], user: str, state: State
) -> None:
    for events in both(log, ENDS | fields):
        assert events.user.tolist() == [Tokens().user(user) if user else 0]
        assert events.state.tolist() == [state]


@pytest.mark.parametrize(
    ("log", "kind", "service"),
    [
        ("dns", Kind.DNS, Service.DNS),
        ("http", Kind.HTTP, Service.HTTP),
        ("ssl", Kind.TLS, Service.TLS),
        ("ssh", Kind.SSH, Service.SSH),
        ("rdp", Kind.RDP, Service.RDP),
        ("smb_files", Kind.SMB, Service.SMB),
        ("smb_mapping", Kind.SMB, Service.SMB),
        ("kerberos", Kind.KERBEROS, Service.KERBEROS),
        ("ntlm", Kind.AUTH, Service.KERBEROS),
        ("radius", Kind.AUTH, Service.OTHER),
        ("ftp", Kind.FTP, Service.FTP),
        ("smtp", Kind.SMTP, Service.SMTP),
        ("dce_rpc", Kind.RPC, Service.RPC),
        ("dhcp", Kind.DHCP, Service.DHCP),
        ("snmp", Kind.OTHER, Service.SNMP),
        ("sip", Kind.OTHER, Service.SIP),
        ("socks", Kind.OTHER, Service.OTHER),
        ("tunnel", Kind.OTHER, Service.OTHER),
        ("ldap_search", Kind.OTHER, Service.LDAP),
        ("mqtt_connect", Kind.OTHER, Service.MQTT),
        ("modbus", Kind.OTHER, Service.INDUSTRIAL),
        ("weird", Kind.ANOMALY, Service.UNKNOWN),
        ("notice", Kind.ALERT, Service.UNKNOWN),
    ],
)
def test_every_log_of_two_ends_is_events(
    log: str, kind: Kind, service: Service
) -> None:
    for events in both(log, ENDS):
        assert (events.kind.tolist(), events.service.tolist()) == ([kind], [service])


FILE = {
    "ts": 1588206049.300416,
    "fuid": "FZ7E9x2gD5KHc8KoDg",
    "tx_hosts": ["10.0.0.4"],
    "rx_hosts": ["10.0.1.6", "10.0.1.7"],
    "conn_uids": ["CL6wTx1zdKr1lfHXIh"],
    "source": "SMB",
}


def test_the_ends_of_a_file_are_who_asked_and_who_was_asked() -> None:
    sender, receiver = (Tokens().address(a) for a in ("10.0.0.4", "10.0.1.6"))
    for is_orig, want in ((True, (sender, receiver)), (False, (receiver, sender))):
        for events in both("files", FILE | {"is_orig": is_orig}):
            assert (events.source[0], events.destination[0]) == want
            assert events.flow_id.tolist() == both("conn", ENDS)[0].flow_id.tolist()


def test_the_ends_of_dhcp() -> None:
    dhcp = {"ts": 1.5, "client_addr": "10.0.0.7", "server_addr": "10.0.0.1", "mac": "x"}
    for events in both("dhcp", dhcp):
        assert events.source.tolist() == [Tokens().address("10.0.0.7")]
        assert events.destination.tolist() == [Tokens().address("10.0.0.1")]


@pytest.mark.parametrize(
    ("note", "sub", "technique"),
    [
        ("Scan::Port_Scan", "remote", "T1046"),
        ("SSH::Password_Guessing", "Sampled servers: 10.0.0.1", "T1110.001"),
        ("HTTP::SQL_Injection_Attacker", "", "T1190"),
        (
            "ATTACK::Lateral_Movement",
            "T1077 Windows Admin Share + T1105 Remote File Copy",
            "T1021.002",
        ),
        ("ATTACK::Credential_Access", "T1003.006 DCSync", "T1003.006"),
        ("ATTACK::Discovery", "see T1003", ""),
        ("SSL::Invalid_Server_Cert", "CN=x, T1046", ""),
        ("CaptureLoss::Too_Much_Loss", "", ""),
    ],
)
def test_what_a_notice_means_is_a_weak_label(
    note: str, sub: str, technique: str
) -> None:
    ends = {"ts": 1.5, "src": "10.0.0.1", "dst": "10.0.0.2"}
    fields = {"note": note, "sub": sub or "-", "msg": "T1003 \\\\x"}
    for notice in (ENDS | fields, ends | fields):
        for events in both("notice", notice):
            assert events.techniques == ((technique,) if technique else ())
            assert events.label.tolist() == [1 if technique else -1]
            assert not events.is_input.any()


def test_a_notice_labels_its_connection() -> None:
    notice = ENDS | {"_path": "notice", "note": "Scan::Port_Scan"}
    block = "\n".join(
        json.dumps(one)
        for one in (
            ENDS | {"_path": "conn", "conn_state": "S0"},
            notice,
            ENDS | {"_path": "conn", "uid": "CX"},
            ENDS | {"_path": "conn", "label": "Malicious", "detailedlabel": "C&C"},
        )
    )
    events = mark_alerted(ZeekJsonParser(Tokens()).parse(block.encode()).events)
    assert events.label.tolist() == [1, 1, -1, 1]
    named = [events.techniques[n] if n >= 0 else "" for n in events.technique.tolist()]
    assert named[:3] == ["T1046", "T1046", ""]


def test_what_names_no_ends_is_skipped_and_counted() -> None:
    lines = [
        {"_path": "loaded_scripts", "name": "x"},
        {"_path": "files", "ts": 1.5, "fuid": "F"},
        {"_path": "notice", "ts": 1.5, "note": "Scan::Address_Scan", "src": "10.0.0.1"},
        {"_path": "notice", "note": "Scan::Address_Scan", "src": "10.0.0.1"},
    ]
    block = "\n".join(map(json.dumps, lines)).encode()
    parsed = ZeekJsonParser(Tokens()).parse(block)
    assert (len(parsed.events), parsed.skipped) == (0, 3)
    assert parsed.why_skipped == {"names no two endpoints": 3}
    assert [one.line_number for one in parsed.rejected] == [4]
    assert tabs("x509", {"ts": 1.5, "fingerprint": "ab"}).why_skipped == {
        "names no two endpoints": 1
    }


@pytest.mark.parametrize("value", [5, None, [1, None], {"a": 1}, True, 1.5])
def test_an_odd_value_of_such_a_field_costs_no_line(value: object) -> None:
    record = ENDS | {"_path": "kerberos", "client": value, "success": value}
    parsed = ZeekJsonParser(Tokens()).parse(json.dumps(record).encode())
    assert (len(parsed.events), parsed.rejected) == (1, ())
