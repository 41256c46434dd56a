# SPDX-License-Identifier: Apache-2.0
"""What each field of each format holds, and so what becomes of it.

A rule is one word: ``keep``; ``text`` (free-text pass); ``tree`` (keep it whole, with
all below it); or a kind (``address``, ``host``, ``user`` …), which says that the value
is an entity. ``ACTIONS`` says what is done with entities of each kind.

It does NOT list what may be dropped silently: a field that stands in no table goes
through the free-text pass, under the kind its name tells (redaction_names.py).

Rules that always hold: fields that hash addresses without a key (``community_id``) are
identifiers, not numbers; contents (payloads, bodies, subjects) never leave.

Sources: Suricata 8 user guide, "EVE JSON Output" and etc/schema.json; Zeek 7 script
reference, the record ``Info`` of each log; Wazuh 4, alerts and decoders' static fields;
AMiner alerts as in AIT-ADS; corelight community-id-spec 1.0.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from fedxdr.core.errors import InvalidSettings

Action = Literal["keep", "drop", "coarsen", "pseudonymise"]
"""What became of an entity."""

ACTIONS: Final[Mapping[str, Action]] = {
    **dict.fromkeys(
        ("address", "email", "user", "host", "sid", "account", "mac", "phone"),
        "pseudonymise",
    ),
    "certificate": "pseudonymise",
    "id": "pseudonymise",
    "url": "coarsen",
    "file": "coarsen",
    "card": "drop",
    "secret": "drop",
    "content": "drop",
}
"""By kind; the kinds are those that can be found, in a field or in text."""

KEEP: Final = sys.intern("keep")
TREE: Final = sys.intern("tree")
"""Two rules that are compared by identity, once per field."""

Plan = dict[str, "str | Plan"]
"""Rule, or the plan of the fields below, by field name."""


def _table(**names: str) -> dict[str, str]:
    """Return rule by field name, from lists of names by rule."""
    return {
        name: sys.intern(rule.rstrip("_"))
        for rule, text in names.items()
        for name in text.split()
    }


def _nested(dotted: Mapping[str, str]) -> Plan:
    """Return a plan in which dots are levels."""
    plan: Plan = {}
    for name, rule in dotted.items():
        *parents, last = name.split(".")
        level = plan
        for parent in parents:
            below = level.setdefault(parent, {})
            if isinstance(below, str):
                raise InvalidSettings(f"field {parent} has a rule and fields below it")
            level = below
        level[last] = rule
    return plan


_EVE: Final = _table(
    keep=(
        "timestamp flow_id parent_id pcap_cnt in_iface event_type src_port dest_port "
        "proto app_proto app_proto_tc app_proto_ts app_proto_orig app_proto_expected "
        "tx_id tx_guessed icmp_type icmp_code response_icmp_type response_icmp_code "
        "direction stream pkt_src ip_v packet_info.linktype capture_file_offset "
        "alert.action alert.gid alert.signature_id alert.rev alert.category "
        "alert.severity alert.tx_id anomaly.type anomaly.event anomaly.layer "
        "anomaly.code anomaly.app_proto dns.version dns.type dns.id dns.flags dns.qr "
        "dns.aa dns.tc dns.rd dns.ra dns.z dns.opcode dns.rrtype dns.rcode dns.tx_id "
        "dns.answers.rrtype dns.answers.ttl dns.queries.rrtype dns.authorities.rrtype "
        "dns.authorities.ttl http.http_port http.http_method http.http_content_type "
        "http.protocol http.status http.length http.version tls.version tls.notbefore "
        "tls.notafter tls.session_resumed tls.ja3.hash tls.ja3.string tls.ja3s.hash "
        "tls.ja3s.string tls.ja4 tls.from_proto fileinfo.gaps fileinfo.size "
        "fileinfo.state fileinfo.stored fileinfo.tx_id fileinfo.md5 fileinfo.sha1 "
        "fileinfo.sha256 fileinfo.magic fileinfo.mimetype files.gaps files.size "
        "files.state files.stored files.tx_id files.md5 files.sha1 files.sha256 "
        "files.magic ssh.client.proto_version ssh.server.proto_version "
        "ssh.client.software_version ssh.server.software_version "
        "ssh.client.hassh.hash ssh.server.hassh.hash smb.id smb.dialect smb.command "
        "smb.status smb.status_code smb.tree_id smb.session_id krb5.msg_type "
        "krb5.encryption krb5.error_code krb5.weak_encryption email.status "
        "ftp.command ftp.completion_code snmp.version snmp.pdu_type rdp.tx_id "
        "rdp.event_type"
    ),
    tree="flow tcp vlan metadata vars alert.metadata traffic app_layer_stats",
    signature="alert.signature",
    address=(
        "src_ip dest_ip dns.grouped.A dns.grouped.AAAA tunnel.src_ip tunnel.dest_ip"
    ),
    host=(
        "host http.hostname dns.rrname dns.answers.rrname dns.answers.rdata "
        "dns.queries.rrname dns.authorities.rrname dns.authorities.rdata "
        "dns.grouped.CNAME dns.grouped.NS dns.grouped.PTR dns.grouped.MX tls.sni "
        "smtp.helo smb.host krb5.realm smb.share smb.ntlmssp.host sensor_name"
    ),
    user="smb.ntlmssp.user krb5.cname ftp.user rdp.cookie",
    account="krb5.sname smb.ntlmssp.domain",
    url="http.url http.http_refer http.redirect",
    email="smtp.mail_from smtp.rcpt_to email.from email.to email.cc",
    certificate=(
        "tls.subject tls.issuerdn tls.serial tls.fingerprint tls.subjectaltname"
    ),
    id_="community_id",
    content=(
        "payload payload_printable packet http.http_response_body "
        "http.http_request_body http.http_response_body_printable email.subject "
        "email.body_md5 dns.grouped.TXT pcap_filename tls.certificate tls.chain "
        "snmp.community"
    ),
    file="fileinfo.filename files.filename smb.filename",
    text="http.http_user_agent http.http_headers ftp.command_data ftp.reply",
)

_ZEEK: Final = _table(
    keep=(
        "ts uid fuid id.orig_p id.resp_p proto service duration orig_bytes resp_bytes "
        "conn_state local_orig local_resp missed_bytes history orig_pkts "
        "orig_ip_bytes resp_pkts resp_ip_bytes vlan ip_proto trans_id rtt qclass "
        "qclass_name qtype qtype_name rcode rcode_name AA TC RD RA Z rejected opcode "
        "opcode_name cipher curve resumed last_alert next_protocol established "
        "ssl_history sni_matches_cert validation_status ja3 ja3s ja4 trans_depth "
        "request_body_len response_body_len status_code status_msg mime_type depth "
        "is_orig seen_bytes total_bytes missing_bytes overflow_bytes timedout md5 "
        "sha1 sha256 entropy extracted_cutoff stratum poll precision root_delay "
        "root_disp ref_time org_time rec_time xmt_time num_exts security_protocol "
        "keyboard_layout client_build desktop_width desktop_height "
        "requested_color_depth cert_type cert_count cert_permanent encryption_level "
        "encryption_method certificate.version certificate.not_valid_before "
        "certificate.not_valid_after certificate.key_alg certificate.sig_alg "
        "certificate.key_type certificate.key_length certificate.exponent "
        "certificate.curve basic_constraints.ca basic_constraints.path_len host_cert "
        "client_cert tls is_webmail date notice peer request_type success error_msg "
        "forwardable renewable till endpoint operation named_pipe share_type "
        "native_file_system size ts_delta gaps acks percent_lost @stream @proc _path "
        "_write_ts local_orig analyzer failure_reason machine os subsystem is_exe "
        "is_64bit uses_aslr uses_dep uses_code_integrity uses_seh has_import_table "
        "has_export_table has_cert_table has_debug_data compile_ts auth_success "
        "auth_attempts cipher_alg mac_alg compression_alg kex_alg host_key_alg "
        "facility severity"
    ),
    tree=(
        "tunnel_parents TTLs analyzers conn_uids cert_chain_fuids orig_fuids "
        "resp_fuids client_cert_chain_fuids fuids section_names orig_mime_types "
        "resp_mime_types client_header_names server_header_names client_channels "
        "actions times_accessed times_changed times_created times_modified tags"
    ),
    address=(
        "id.orig_h id.resp_h tx_hosts rx_hosts san.ip x_originating_ip path src dst "
        "client_addr server_addr assigned_addr requested_addr framed_addr remote_ip"
    ),
    host=(
        "query answers auth addl server_name helo client_name san.dns host @system "
        "host_name domain client_fqdn hostname domainname server_nb_computer_name "
        "server_dns_computer_name"
    ),
    user="cookie username user",
    account="client",
    mac="orig_l2_addr resp_l2_addr mac",
    email="mailfrom rcptto from to cc reply_to san.email msg_id in_reply_to",
    url="uri referrer san.uri",
    certificate=(
        "certificate.subject certificate.issuer certificate.serial fingerprint "
        "subject issuer cert_chain_fps client_cert_chain_fps resp_certificate_sha1 "
        "client_subject client_issuer sub host_key"
    ),
    secret_="password community",  # noqa: S106 - names of fields
    id_="community_id client_dig_product_id",
    content="first_received second_received",
    file="filename extracted orig_filenames resp_filenames",
    text=(
        "ref_id user_agent last_reply msg message location filter init arg command "
        "reply_msg"
    ),
)
_ZEEK_BY_STREAM: Final[Mapping[str, Mapping[str, str]]] = {
    "conn": dict.fromkeys(("label", "detailedlabel"), KEEP),
    "dns": {"addl": "host"},
    "files": {"source": KEEP},
    "http": dict.fromkeys(("method", "version"), KEEP),
    "kerberos": {"service": "account"},
    "loaded_scripts": {"name": KEEP},
    "notice": dict.fromkeys(("note", "p", "n", "suppress_for"), KEEP),
    "ntp": dict.fromkeys(("version", "mode"), KEEP),
    "pe": {"id": KEEP},
    "rdp": {"result": KEEP},
    "reporter": {"level": KEEP},
    "smb_files": {"path": "file", "name": "file", "action": KEEP},
    "smb_mapping": {"path": "file"},
    "smtp": {"subject": "content"},
    "ssh": {"version": KEEP},
    "ssl": {"version": KEEP},
    "weird": {"name": KEEP, "source": KEEP, "addl": "text"},
    "x509": {"id": KEEP},
}
"""Columns whose name is too common to mean the same in every log."""

_WAZUH: Final = _table(
    keep=(
        "timestamp id rule.level rule.id rule.firedtimes rule.frequency rule.mail "
        "agent.id predecoder.program_name predecoder.timestamp syscheck.event "
        "syscheck.md5_before syscheck.md5_after syscheck.sha1_before "
        "syscheck.sha1_after syscheck.sha256_before syscheck.sha256_after "
        "syscheck.size_before syscheck.size_after syscheck.mode"
    ),
    tree=(
        "rule.groups rule.mitre rule.pci_dss rule.gdpr rule.gpg13 rule.hipaa rule.tsc "
        "rule.nist_800_53 decoder LogData.Timestamps LogData.LogLinesCount"
    ),
    host="agent.name manager.name cluster.name cluster.node predecoder.hostname",
    address="agent.ip AMiner.ID",
    text="rule.description location LogData.RawLogData",
    content="GeoLocation",
)


def plan_of(log: str, stream: str = "", own: Iterable[tuple[str, str]] = ()) -> Plan:
    """Return the rules of a format's fields.

    Args:
        log: ``eve``, ``zeek`` or ``wazuh``; any other has none.
        stream: name of a Zeek log, for example ``dns``.
        own: the organisation's own rules: dotted name and rule; they come first.

    Raises:
        InvalidSettings: an own rule that is none.
    """
    return _plan_of(log, stream, tuple((name, sys.intern(rule)) for name, rule in own))


@functools.lru_cache(maxsize=256)
def _plan_of(log: str, stream: str, own: tuple[tuple[str, str], ...]) -> Plan:
    for name, rule in own:
        if rule not in {"keep", "text", "tree", *ACTIONS}:
            raise InvalidSettings(f"field {name}: no rule is called {rule}")
    match log:
        case "eve":
            return _nested(_EVE | dict(own))
        case "wazuh":
            return _nested(_WAZUH | dict(own))
        case "zeek":
            table = _ZEEK | dict(_ZEEK_BY_STREAM.get(stream, {})) | dict(own)
            flat: Plan = {}
            for name, rule in table.items():
                flat[name] = flat[name.replace(".", "_")] = rule
            return flat
        case _:
            return _nested(dict(own))
