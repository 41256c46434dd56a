# SPDX-License-Identifier: Apache-2.0
"""Words that are hosts, fields' names, or just words."""

from __future__ import annotations

import pytest

from fedxdr.privacy.redaction_names import (
    is_domain,
    is_no_secret,
    is_plain_word,
    kind_of_key,
)


@pytest.mark.parametrize(
    "name",
    [
        *("example.com", "a.b.c.example.co.uk", "dc01.corp.local", "x.internal"),
        *("EXAMPLE.COM", "xn--bcher-kva.example", "a.xn--p1ai", "1.2.3.4.in-addr.arpa"),
        "220-135-151-1.hinet-ip.hinet.net",
    ],
)
def test_hosts(name: str) -> None:
    assert is_domain(name)


@pytest.mark.parametrize(
    "name",
    [
        *("example", "a..com", ".com", "svchost.exe", "nginx.conf", "setup.py", "x.sh"),
        *("System.Net", "user.name", "host.id", "org.apache.kafka.clients", "lib.so"),
        *("com.example.app", "1.2.3.4", "file.tar.gz", "1.com"),
    ],
)
def test_no_hosts(name: str) -> None:
    assert not is_domain(name)


def test_own_suffixes() -> None:
    assert is_domain("fs.acme-hq", frozenset(["acme-hq"]))
    assert not is_domain("fs.acme-hq")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        *[("user", "user"), ("srcuser", "user"), ("TargetUserName", "user")],
        *[("user_name", "user"), ("event.user", "user"), ("HostName", "host")],
        *[("password", "secret"), ("aws_secret_access_key", "secret")],
        *[("x-api-key", "secret"), ("mobile", "phone"), ("accountdomain", "account")],
        *[("port", ""), ("tokens", ""), ("keyboard_layout", ""), ("", "")],
    ],
)
def test_fields(key: str, kind: str) -> None:
    assert kind_of_key(key) == kind


def test_plain_words() -> None:
    assert is_plain_word("Unknown")
    assert not is_plain_word("bob")
    assert is_no_secret("Required")
    assert not is_no_secret("hunter2")
