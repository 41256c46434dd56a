# SPDX-License-Identifier: Apache-2.0
"""One record of every type, typed in from Suricata's own documentation.

Source: Suricata 8, doc/userguide/output/eve/eve-json-format.rst at commit 398687d
("Event type: ...") and etc/schema.json for objects without an example there.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from fedxdr.telemetry import Events, Kind, Service, State
from fedxdr.telemetry.catalogue import KINDS
from fedxdr.telemetry.parser import Parsed
from fedxdr.telemetry.suricata import EveParser

TIME = "2021-06-06T15:59:46.457984+0200"


class Tokens:
    """Readable tokens: an account's is negative."""

    def address(self, text: str) -> int:
        return zlib.crc32(text.encode()) or 1

    def user(self, text: str) -> int:
        return -(zlib.crc32(text.encode()) or 1)


def account(text: str) -> int:
    return Tokens().user(text) if text else 0


def record(event_type: str, **fields: Any) -> dict[str, Any]:
    return {
        "timestamp": TIME,
        "flow_id": 77,
        "event_type": event_type,
        "src_ip": "10.0.0.1",
        "src_port": 50_000,
        "dest_ip": "192.0.2.9",
        "dest_port": 443,
        "proto": "TCP",
    } | fields


def parse(*records: dict[str, Any]) -> Parsed:
    block = "".join(json.dumps(one) + "\n" for one in records).encode()
    return EveParser(Tokens()).parse(block)


def events(*records: dict[str, Any]) -> Events:
    parsed = parse(*records)
    assert parsed.rejected == ()
    return parsed.events


KRB5 = {
    "msg_type": "KRB_TGS_REP",
    "cname": "robin",
    "realm": "CYLERA.LAB",
    "sname": "ldap/dc01",
    "encryption": "aes256-cts-hmac-sha1-96",
    "weak_encryption": False,
}
SETUP = {
    "id": 3,
    "dialect": "NT LM 0.12",
    "command": "SMB1_COMMAND_SESSION_SETUP_ANDX",
    "status": "STATUS_SUCCESS",
    "status_code": "0x0",
    "session_id": 2048,
    "ntlmssp": {"domain": "VNET3", "user": "administrator", "host": "BLU"},
}
OPEN = {
    "id": 1,
    "dialect": "unknown",
    "command": "SMB2_COMMAND_CREATE",
    "status": "STATUS_SUCCESS",
    "filename": "atsvc",
}
POP3 = {
    "request": {"command": "USER", "args": ["user@example.com"]},
    "response": {"success": True, "status": "OK", "data": []},
}
RFB = {"authentication": {"security_type": 2, "security_result": "OK"}}
BIND = {"request": {"operation": "bind_request", "bind_request": {"name": "cn=bob"}}}
CODE = "result_code"
BOB = {"usm": "bob", "version": 3, "pdu_type": "get_request"}
STARTUP = {
    "request": {"startup_parameters": {"user": "rep", "optional_parameters": []}}
}

TELLING = [
    ("krb5", KRB5, "CYLERA.LAB\\robin", State.COMPLETED),
    ("krb5", KRB5 | {"cname": "<empty>"}, "", State.COMPLETED),
    (
        "krb5",
        {
            "msg_type": "KRB_ERROR",
            "failed_request": "KRB_AS_REQ",
            "error_code": "KDC_ERR_PREAUTH_FAILED",
            "cname": "robin",
            "realm": "CYLERA.LAB",
        },
        "CYLERA.LAB\\robin",
        State.REJECTED,
    ),
    ("smb", SETUP, "VNET3\\administrator", State.COMPLETED),
    (
        "smb",
        SETUP | {"status": "STATUS_LOGON_FAILURE"},
        "VNET3\\administrator",
        State.REJECTED,
    ),
    (
        "smb",
        SETUP | {"status": "STATUS_MORE_PROCESSING_REQUIRED"},
        "VNET3\\administrator",
        State.UNKNOWN,
    ),
    ("smb", OPEN, "", State.UNKNOWN),
    ("smb", OPEN | {"status": "STATUS_ACCESS_DENIED"}, "", State.UNKNOWN),
    (
        "rdp",
        {"tx_id": 0, "event_type": "initial_request", "cookie": "A70067"},
        "A70067",
        State.UNKNOWN,
    ),
    ("rdp", {"tx_id": 1, "event_type": "initial_response"}, "", State.UNKNOWN),
    (
        "ftp",
        {
            "command": "USER",
            "command_data": "ftp",
            "reply": ["Please specify the password."],
            "completion_code": ["331"],
            "reply_received": "yes",
        },
        "ftp",
        State.UNKNOWN,
    ),
    (
        "ftp",
        {"command": "PASS", "command_data": "x", "completion_code": ["230"]},
        "",
        State.COMPLETED,
    ),
    ("ftp", {"command": "PASS", "completion_code": ["530"]}, "", State.REJECTED),
    (
        "ftp",
        {"command": "RETR", "command_data": "100KB.zip", "completion_code": ["150"]},
        "",
        State.UNKNOWN,
    ),
    ("pgsql", STARTUP, "rep", State.UNKNOWN),
    ("pgsql", {"request": {"simple_query": "select 1"}}, "", State.UNKNOWN),
    ("snmp", BOB, "bob", State.UNKNOWN),
    ("snmp", {"version": 2, "community": "public"}, "", State.UNKNOWN),
    (
        "mqtt",
        {
            "connect": {"client_id": "c", "username": "bob", "password": "x"},
            "connack": {"return_code": 5},
        },
        "bob",
        State.REJECTED,
    ),
    ("mqtt", {"connack": {"return_code": 0}}, "", State.COMPLETED),
    ("mqtt", {"publish": {"topic": "house/bulbs/bulb1"}}, "", State.UNKNOWN),
    ("ldap", BIND, "cn=bob", State.UNKNOWN),
    (
        "ldap",
        BIND | {"responses": [{"bind_response": {CODE: "success"}}]},
        "cn=bob",
        State.COMPLETED,
    ),
    (
        "ldap",
        BIND | {"responses": [{"bind_response": {CODE: "invalid_credentials"}}]},
        "cn=bob",
        State.REJECTED,
    ),
    (
        "ldap",
        BIND | {"responses": [{"bind_response": {CODE: "sasl_bind_in_progress"}}]},
        "cn=bob",
        State.UNKNOWN,
    ),
    ("pop3", POP3, "user@example.com", State.UNKNOWN),
    (
        "pop3",
        {"request": {"command": "PASS"}, "response": {"success": False}},
        "",
        State.REJECTED,
    ),
    ("pop3", {"response": {"success": True}}, "", State.UNKNOWN),
    ("rfb", RFB, "", State.COMPLETED),
    ("rfb", {"authentication": {"security_result": "FAIL"}}, "", State.REJECTED),
    ("rfb", {"screen_shared": False}, "", State.UNKNOWN),
    ("http", {"authorization": "Basic Ym9iOnNlY3JldA=="}, "bob", State.UNKNOWN),
    (
        "http",
        {"request_headers": [{"name": "Authorization", "value": "basic Ym9iOng="}]},
        "bob",
        State.UNKNOWN,
    ),
    ("http", {"authorization": "Bearer Ym9iOng="}, "", State.UNKNOWN),
    ("http", {"authorization": "Basic not base64!"}, "", State.UNKNOWN),
    ("ssh", {"client": {"proto_version": "2.0"}}, "", State.UNKNOWN),
    ("smtp", {"helo": "x", "mail_from": "<bob@x.test>"}, "", State.UNKNOWN),
]


@pytest.mark.parametrize(("event_type", "body", "user", "state"), TELLING)
def test_who_acted_and_whether_that_one_was_let_in(
    event_type: str, body: dict[str, Any], user: str, state: State
) -> None:
    got = events(record(event_type, **{event_type: body}))
    assert got.user.tolist() == [account(user)]
    assert got.state.tolist() == [state]


@pytest.mark.parametrize(
    ("event_type", "kind", "service"),
    [
        ("dns", Kind.DNS, Service.DNS),
        ("mdns", Kind.DNS, Service.DNS),
        ("llmnr", Kind.DNS, Service.DNS),
        ("http", Kind.HTTP, Service.HTTP),
        ("tls", Kind.TLS, Service.TLS),
        ("quic", Kind.QUIC, Service.QUIC),
        ("ssh", Kind.SSH, Service.SSH),
        ("smb", Kind.SMB, Service.SMB),
        ("rdp", Kind.RDP, Service.RDP),
        ("krb5", Kind.KERBEROS, Service.KERBEROS),
        ("ftp", Kind.FTP, Service.FTP),
        ("ftp_data", Kind.FTP, Service.FTP),
        ("tftp", Kind.OTHER, Service.FTP),
        ("smtp", Kind.SMTP, Service.SMTP),
        ("dcerpc", Kind.RPC, Service.RPC),
        ("dhcp", Kind.DHCP, Service.DHCP),
        ("nfs", Kind.OTHER, Service.FILES),
        ("snmp", Kind.OTHER, Service.SNMP),
        ("sip", Kind.OTHER, Service.SIP),
        ("mqtt", Kind.OTHER, Service.MQTT),
        ("rfb", Kind.OTHER, Service.REMOTE_SCREEN),
        ("ike", Kind.OTHER, Service.VPN),
        ("ldap", Kind.OTHER, Service.LDAP),
        ("pgsql", Kind.OTHER, Service.SQL),
        ("pop3", Kind.OTHER, Service.POP3),
        ("modbus", Kind.OTHER, Service.INDUSTRIAL),
        ("dnp3", Kind.OTHER, Service.INDUSTRIAL),
        ("bittorrent_dht", Kind.OTHER, Service.PEER_TO_PEER),
        ("alert", Kind.ALERT, Service.UNKNOWN),
        ("drop", Kind.ALERT, Service.UNKNOWN),
        ("anomaly", Kind.ANOMALY, Service.UNKNOWN),
        ("fileinfo", Kind.FILE, Service.UNKNOWN),
        ("flow", Kind.FLOW, Service.UNKNOWN),
        ("netflow", Kind.FLOW, Service.UNKNOWN),
        ("never_heard_of", Kind.OTHER, Service.UNKNOWN),
    ],
)
def test_every_type_of_two_ends_is_an_event(
    event_type: str, kind: Kind, service: Service
) -> None:
    got = events(record(event_type), record(event_type, **{event_type: {}}))
    assert got.kind.tolist() == [kind] * 2
    assert got.service.tolist() == [service] * 2


def test_a_packet_dropped_by_a_rule_is_the_sensor_s_opinion() -> None:
    drop = record(
        "drop",
        drop={"len": 60, "ttl": 64, "reason": "rules"},
        alert={"severity": 1, "metadata": {"mitre_technique_id": ["T1046"]}},
    )
    got = events(drop)
    assert not got.is_input.any()
    assert (got.label.tolist(), got.techniques) == ([1], ("T1046",))


NETFLOW = {
    "pkts": 1,
    "bytes": 160,
    "start": "2013-02-26T17:02:42.907340-0500",
    "end": "2013-02-26T17:02:44.407340-0500",
    "age": 0,
    "min_ttl": 1,
    "max_ttl": 1,
}


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_netflow_is_one_direction(protocol: str) -> None:
    got = events(record("netflow", netflow=NETFLOW, proto=protocol))
    assert (got.bytes_out.tolist(), got.packets_out.tolist()) == ([160], [1])
    assert (got.bytes_in.tolist(), got.packets_in.tolist()) == ([-1], [-1])
    assert got.duration_s.tolist() == [1.5]
    assert got.time_ns.tolist() == [1_361_916_162_907_340_000]
    assert got.state.tolist() == [State.UNKNOWN]


def test_the_addresses_of_arp_are_in_its_own_object() -> None:
    arp = {
        "hw_type": "ethernet",
        "proto_type": "ipv4",
        "opcode": "request",
        "src_mac": "00:1a:6b:6c:0c:cc",
        "src_ip": "10.10.10.2",
        "dest_mac": "00:00:00:00:00:00",
        "dest_ip": "10.10.10.1",
    }
    bare = {"timestamp": TIME, "event_type": "arp"}
    parsed = parse(bare | {"arp": arp}, bare | {"arp": {}}, bare | {"arp": [1]}, bare)
    assert parsed.rejected == ()
    assert parsed.events.source.tolist() == [Tokens().address("10.10.10.2")]
    assert parsed.events.destination.tolist() == [Tokens().address("10.10.10.1")]
    assert parsed.why_skipped == {"names no two endpoints": 3}


def test_every_query_of_a_message_is_an_event() -> None:
    queries = [{"rrname": name, "rrtype": "A"} for name in ("a.test", "bc.test")]
    dns = {"version": 3, "type": "request", "id": 16_000, "queries": queries}
    got = events(
        record("dns", dns=dns, flow_id=1),
        record("flow", flow_id=2),
        record("dns", dns=dns | {"rrname": "x"}, flow_id=3),
        record("alert", dns=dns, flow_id=4),
        record("dns", dns=dns | {"queries": queries[:1]}, flow_id=5),
    )
    assert got.flow_id.tolist() == [1, 1, 2, 3, 4, 5]
    assert got.text_length.tolist() == [6, 7, -1, 1, 6, 6]


@pytest.mark.parametrize("event_type", ["mdns", "llmnr"])
def test_names_asked_of_the_whole_link(event_type: str) -> None:
    body = {"type": "request", "id": 49_985, "queries": [{"rrname": "hs2011"}]}
    assert events(record(event_type, **{event_type: body})).text_length.tolist() == [6]


def test_the_server_name_of_quic() -> None:
    got = events(record("quic", quic={"version": "1", "sni": "s.test"}))
    assert got.text_length.tolist() == [6]


def test_what_is_skipped_is_counted_by_reason() -> None:
    bare = {"timestamp": TIME, "event_type": "stats", "stats": {"uptime": 1}}
    parsed = parse(bare, bare, bare | {"event_type": "engine"}, record("flow"))
    assert (len(parsed.events), parsed.skipped) == (1, 3)
    assert parsed.why_skipped == {
        "the sensor's own statistics": 2,
        "names no two endpoints": 1,
    }


@pytest.mark.parametrize("event_type", sorted({one[0] for one in TELLING} - {"http"}))
@pytest.mark.parametrize("body", [5, None, [1], "x", {"request": 5}, {"usm": []}])
def test_an_odd_object_of_a_rare_type_costs_what_it_tells(
    event_type: str, body: object
) -> None:
    """Also beside lines of other types, whatever was read before them."""
    odd = record(event_type, **{event_type: body})
    for records in ([odd, record("flow")], [record("flow", smb=body), odd]):
        got = events(*records)
        assert len(got) == 2
        assert not got.user.any()


def test_pieces_of_one_block_may_be_of_any_types() -> None:
    """More than one piece, rare types only in the middle."""
    common = [record("tls", tls={"sni": "x" * 500})] * 600
    rare = record("krb5", krb5=KRB5)
    got = events(*common, rare, *common, rare)
    assert len(got) == 1202
    assert got.user.nonzero()[0].tolist() == [600, 1201]


def test_every_known_type_has_a_name_of_its_own() -> None:
    assert {"netflow", "drop", "mdns", "llmnr"} <= set(KINDS)
