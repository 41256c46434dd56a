# SPDX-License-Identifier: Apache-2.0
"""Rules of fields: known words only, and the ones that matter most by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.privacy.redaction_fields import ACTIONS, KEEP, TREE, Plan, plan_of


def rules(plan: Plan) -> Iterator[str]:
    for rule in plan.values():
        if isinstance(rule, dict):
            yield from rules(rule)
        else:
            yield rule


@pytest.mark.parametrize("log", ["eve", "zeek", "wazuh"])
def test_every_rule_is_a_known_word(log: str) -> None:
    known = {KEEP, TREE, "text", "signature", *ACTIONS}
    found = set(rules(plan_of(log)))
    assert found <= known
    assert all(rule is KEEP for rule in rules(plan_of(log)) if rule == "keep")
    assert all(rule is TREE for rule in rules(plan_of(log)) if rule == "tree")


def test_what_must_never_be_kept() -> None:
    eve, zeek = plan_of("eve"), plan_of("zeek", "conn")
    for name in ("payload", "payload_printable", "packet"):
        assert eve[name] == "content"
    for plan in (eve, zeek):
        assert plan["community_id"] == "id"
    assert (zeek["password"], zeek["community"]) == ("secret", "secret")
    assert zeek["id.orig_h"] == zeek["id_orig_h"] == "address"


def test_common_words_mean_what_their_log_says() -> None:
    assert plan_of("zeek", "kerberos")["service"] == "account"
    assert plan_of("zeek", "conn")["service"] == KEEP
    assert plan_of("zeek", "notice")["note"] == KEEP
    assert "note" not in plan_of("zeek", "conn")


def test_own_rules_come_first_and_are_checked() -> None:
    own = [("alert.signature", "keep"), ("x.y", "host")]
    plan = plan_of("eve", own=own)
    assert isinstance(plan["alert"], dict)
    assert plan["alert"]["signature"] is KEEP
    assert plan["x"] == {"y": "host"}
    with pytest.raises(InvalidSettings, match="no rule is called"):
        plan_of("eve", own=[("a", "hash")])
    with pytest.raises(InvalidSettings, match="rule and fields below"):
        plan_of("eve", own=[("src_ip.x", "host")])


def test_another_format_has_only_own_rules() -> None:
    assert plan_of("json") == {}
    assert plan_of("json", own=[("a", "user")]) == {"a": "user"}
