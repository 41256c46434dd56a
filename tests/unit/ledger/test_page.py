# SPDX-License-Identifier: Apache-2.0
"""verify.html is shipped, whole, and may ask nobody; what it says is tested elsewhere.

See tests/process/test_verify_html.py.
"""

import re

import pytest

from fedxdr.ledger import page
from fedxdr.ledger.steps import Step

TEXT = page.path().read_text()


def test_it_lies_beside_the_python_verifier() -> None:
    assert page.path().name == "verify.html"
    assert TEXT.startswith("<!DOCTYPE html>\n<!-- SPDX-License-Identifier: Apache-2.0")
    assert TEXT.endswith("</html>\n")


def test_its_policy_lets_it_ask_nobody() -> None:
    (policy,) = re.findall(
        r'http-equiv="Content-Security-Policy" content="(.*?)"', TEXT
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert {rule for rule in rules if rule.endswith("-src")} == {
        "default-src",
        "script-src",
        "style-src",
    }


@pytest.mark.parametrize("word", ["src=", "href=", "@import", "url(", "innerHTML"])
def test_it_holds_all_it_needs(word: str) -> None:
    assert word not in TEXT


@pytest.mark.parametrize(
    "package",
    ["@noble/curves", "@noble/hashes", "@noble/post-quantum", "@scure/bip39"],
)
def test_each_library_inside_comes_with_its_licence(package: str) -> None:
    notice = TEXT.split("/*\nInlined below")[1].split("*/")[0]
    part = notice.split(f"\n{package} ")[1]
    assert "Permission is hereby granted" in part
    assert "Copyright (c)" in part


def test_it_names_the_steps_as_the_verifier_does() -> None:
    (names,) = re.findall(r"var STEPS = \[(.*?)\];", TEXT, flags=re.DOTALL)
    assert re.findall(r'"(.*?)"', names) == [step.split(" ", 1)[1] for step in Step]
