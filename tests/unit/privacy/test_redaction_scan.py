# SPDX-License-Identifier: Apache-2.0
"""Entities in free text: what is found, and what looks alike and is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.randomness import generator
from fedxdr.privacy.redaction_scan import find
from fedxdr.simulation.planted import sentences
from fedxdr.simulation.planted_labels import Span
from fedxdr.simulation.planted_score import score


def found(text: str, suffixes: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    return [(kind, text[begin:end]) for begin, end, kind in find(text, suffixes)]


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("from 10.0.0.1 port 22", [("address", "10.0.0.1")]),
        ("(10.0.0.1), [::1]:80.", [("address", "10.0.0.1"), ("address", "::1")]),
        ("at fe80::1%eth0: down", [("address", "fe80::1%eth0")]),
        ("dst=2001:db8::1:2345:54321", [("address", "2001:db8::1:2345")]),
        ("range 10.0.0.1-10.0.0.9", [("address", "10.0.0.1"), ("address", "10.0.0.9")]),
        ("<bob.x+y@example.com>", [("email", "bob.x+y@example.com")]),
        ("sender=o'neil@example.com ok", [("email", "o'neil@example.com")]),
        ('to="o\'neil@example.com"', [("email", "o'neil@example.com")]),
        ("{'user':'bob','x':1}", [("user", "bob")]),
        ("via ::ffff:10.0.0.1 took", [("address", "::ffff:10.0.0.1")]),
        ("root@10.0.0.1", [("email", "root@10.0.0.1")]),
        ("id=bob%40example.com;", [("email", "bob%40example.com")]),
        ("at www.example.com.", [("host", "www.example.com")]),
        ("to db.example.com:443", [("host", "db.example.com")]),
        ("host web01 is slow", [("host", "web01")]),
        ("hostname=intranet", [("host", "intranet")]),
        (r"open \\FILES\share$ now", [("host", "FILES")]),
        (r"open \\10.0.0.9\share$", [("address", "10.0.0.9")]),
        ("see https://a.example/x?y=z.", [("url", "https://a.example/x?y=z")]),
        ("S-1-5-21-1-2-3-500 logs on", [("sid", "S-1-5-21-1-2-3-500")]),
        (r"by CORP\bob today", [("account", r"CORP\bob")]),
        (r"by CORP\nadia today", [("account", r"CORP\nadia")]),
        ("mac 00:1A:2b:3c:4d:5e up", [("mac", "00:1A:2b:3c:4d:5e")]),
        ("mac 001a.2b3c.4d5e up", [("mac", "001a.2b3c.4d5e")]),
        ("paid 4111 1111 1111 1111.", [("card", "4111 1111 1111 1111")]),
        ("paid 378282246310005", [("card", "378282246310005")]),
        ("call +44 20 7946 0958", [("phone", "+44 20 7946 0958")]),
        ("call (202) 555-0143", [("phone", "(202) 555-0143")]),
        ("tel: 030 1234567", [("phone", "030 1234567")]),
        ("password=hunter2;", [("secret", "hunter2")]),
        ('{"apiKey": "abc123"}', [("secret", "abc123")]),
        ("Authorization: Bearer abc123XYZ789", [("secret", "abc123XYZ789")]),
        ("key AKIAIOSFODNN7EXAMPLE", [("secret", "AKIAIOSFODNN7EXAMPLE")]),
        ("Failed password for bob from", [("user", "bob")]),
        (
            "Invalid user admin from 10.0.0.1",
            [("user", "admin"), ("address", "10.0.0.1")],
        ),
        ("session closed for user news", [("user", "news")]),
        (
            "session opened for user root by bob(uid=0)",
            [("user", "root"), ("user", "bob")],
        ),
        ("bob : TTY=pts/0 ; USER=root", [("user", "bob"), ("user", "root")]),
        ("by LOGIN(uid=0)", [("user", "LOGIN")]),
        ("Invalid user Management from x", [("user", "Management")]),
        ("invalid user manager [preauth]", [("user", "manager")]),
        ("(backup) CMD (/bin/x)", [("user", "backup")]),
        ("in /home/bob/x", [("user", "bob")]),
        (r"in C:\Users\bob\x", [("user", "bob")]),
        ("Account Name: bob Logon ID: 0x1", [("user", "bob")]),
        (r"a\n10.0.0.1\tb", [("address", "10.0.0.1")]),
        ("ip-10.0.0.7", [("address", "10.0.0.7")]),
        ("at fs01.acme-hq", []),
    ],
)
def test_what_is_found(text: str, entities: list[tuple[str, str]]) -> None:
    assert found(text) == entities


def test_own_suffixes_make_hosts() -> None:
    assert found("at fs01.acme-hq", frozenset(["acme-hq"])) == [
        ("host", "fs01.acme-hq")
    ]


def test_a_private_key_is_one_secret_to_its_end() -> None:
    for newline in ("\n", "\\n", " "):
        begin, end = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
        key = newline.join((begin, "A" * 64, "B" * 20 + "==", end))
        assert found(f"x={key} end") == [("secret", key)]
    cut = "-----BEGIN PRIVATE KEY----- " + "C" * 64
    assert found(cut) == [("secret", cut)]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "version 1.2.3.4",
            "v10.0.0.1 of it",
            "Chrome/91.0.4472.124",
            "1.3.6.1.4.1.9",
        ),
        *(
            "Package~31bf~~6.1.1.1,",
            "at 12:34:56.789 on",
            "2024-05-01T10:00:00.5+02:00",
        ),
        *("md5 d41d8cd98f00b204e9800998ecf8427e", "0xdeadbeef", "T1059.001 TA0002"),
        "{31B2F340-016D-11D2-945F-00C04FB984F9}",
        *(
            "svchost.exe kernel32.dll setup.py",
            "System.Net.Sockets",
            "user.name host.id",
        ),
        *("openssl-1.1.1k-7.el8.x86_64", "com.android.systemui", "CVE-2024-1234"),
        *("user unknown", "user not found", "host unreachable", "password changed"),
        *("order 4111111111111112", "port 65535", "S-1-5-18", r"NT AUTHORITY\SYSTEM"),
        *(r"HKLM\Software\Microsoft", r"C:\Windows\System32\cmd.exe", r"\pipe\lsass"),
        *(
            "Foo::Bar std::string",
            "PWD=/root",
            "TTY=pts/0",
            "password: ****",
            "sum = 5",
        ),
        *(
            "Session: 30546173_4286503818 opened",
            "basic authentication",
            "GET /bin/b.pl",
        ),
        *(
            "0000000f@2016/9/27",
            "node@18.19.0",
            "user=",
            "user= uid=0",
            "check pass; user unknown",
        ),
    ],
)
def test_what_looks_alike_is_left(text: str) -> None:
    assert found(text) == []


@given(st.text(max_size=300))
def test_any_text_gives_hits_in_order_that_do_not_overlap(text: str) -> None:
    last = 0
    for begin, end, kind in find(text):
        assert last <= begin < end <= len(text)
        assert kind
        last = end


@given(
    st.lists(
        st.sampled_from(
            [
                *("user=", "for user ", "a@b", "10.0.0.", "::", "\\\\", "C:\\", "x"),
                *("-----BEGIN ", "4111 ", "+1 ", "http://", "a.b.", "Bearer ", " "),
                *("\\n", "version ", "host ", "1.2.3", "eyJ", "%40", '"'),
            ]
        ),
        max_size=40,
    )
)
def test_pieces_of_entities_in_any_order_are_no_trouble(pieces: list[str]) -> None:
    last = 0
    for begin, end, _ in find("".join(pieces)):
        assert last <= begin < end
        last = end


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "a.",
            "a@",
            "1.",
            "1:",
            "a=",
            "user=",
            "\\\\a",
            "http://",
            "4111 ",
            "+1",
            "::",
        ),
        *(
            "-----BEGIN PRIVATE KEY----- ",
            "for user ",
            "eyJa.",
            "S-1-5-",
            "a" * 300 + ".",
        ),
        *("%40", "\\n", "'", "Failed a for ", "/home/", "(", "0-", "abcd."),
    ],
)
def test_long_hostile_lines_are_read_to_their_end(piece: str) -> None:
    # 100,000 characters: what is quadratic here does not end in the test's time
    text = piece * (100_000 // len(piece)) + " 10.11.12.13"
    assert find(text)[-1][:2] == (len(text) - 11, len(text))


def test_planted_sentences_are_found_and_look_alikes_left() -> None:
    seed = int(generator(4).integers(1 << 30))
    lines = sentences(seed=seed, formats="tune", count=300)
    result = score(
        (
            line,
            [Span(kind=k, begin=b, end=e) for b, e, k in find(line.line.text)],
        )
        for line in lines
    )
    assert result.total.entities > 2_000
    for kind, count in result.kinds.items():
        assert count.recall >= 0.99, kind
        assert count.precision >= 0.97, kind
    assert result.trapped <= result.traps // 100
