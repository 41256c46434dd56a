# SPDX-License-Identifier: Apache-2.0
"""verify.html and the Python verifier name the same first fault, or none, of a bundle.

The page's script runs in Node over changed bundles, and the page itself in headless
Chromium over a true and a changed one. Where Node or Chromium cannot be had, these
tests say so and are skipped.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.process.chromium import ChromiumMissing, Tab
from tests.process.ledger_ends import KINDS, closed, ending, turned
from tests.process.ledger_head_lies import HEADS, headed, unasked
from tests.process.ledger_lies import LIES, bundle_of, step_of
from tests.process.ledger_mutations import CHANGES, mutation
from tests.unit.ledger.conftest import Federation

from fedxdr.core.errors import VerificationFailed
from fedxdr.crypto.words import words_of
from fedxdr.ledger import page
from fedxdr.ledger.verifier import verify

pytestmark = pytest.mark.process

BATCH = Path(__file__).with_name("verify_batch.mjs")
SHORT = 168
LONG = 2_000
AT_ONCE = 250

SOURCES = Path(__file__).parents[2] / "verifier"
UNREACHABLE = (
    b"ENOTFOUND",
    b"EAI_AGAIN",
    b"ECONNREFUSED",
    b"ETIMEDOUT",
    b"ENETUNREACH",
)
WAIT = """(async () => {
  const verdict = document.getElementById("verdict");
  while (verdict.getAttribute("aria-busy") !== "false")
    await new Promise((resolve) => setTimeout(resolve, 20));
  return verdict.innerText;
})()"""


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node: the script of verify.html cannot be run")
    return found


def by_script(node: str, bundles: list[bytes]) -> list[dict]:
    framed = b"".join(len(data).to_bytes(4, "big") + data for data in bundles)
    done = subprocess.run(
        [node, str(BATCH), str(page.path())],
        input=framed,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_python(data: bytes) -> dict:
    try:
        report = verify(data)
    except VerificationFailed as error:
        return {
            "ok": False,
            "step": int(error.step.split()[0]),
            "height": error.height,
            "why": str(error),
        }
    return {
        "ok": True,
        "step": None,
        "height": None,
        "report": {
            "federation": report.federation,
            "origin": report.origin,
            "blocks": report.blocks_verified,
            "lastBlock": report.last_block_hash,
            "root": report.root,
            "cosignedBy": list(report.cosigned_by),
            "quorum": report.quorum,
            "rounds": list(report.rounds),
            "roundsFailed": list(report.rounds_failed),
            "model": report.model_hash,
            "version": report.model_version,
            "models": list(report.models_verified),
            "generations": report.generations,
        },
    }


def require_agreement(node: str, named: list[tuple[str, bytes]]) -> Counter:
    """Return how often which verdict was reached by both."""
    verdicts = Counter()
    for begin in range(0, len(named), AT_ONCE):
        part = named[begin : begin + AT_ONCE]
        found = by_script(node, [data for _, data in part])
        for (name, data), script in zip(part, found, strict=True):
            python = by_python(data)
            for key in ("ok", "step", "height"):
                assert script[key] == python[key], (name, script, python)
            for key, value in python.get("report", {}).items():
                assert script["report"][key] == value, (name, key)
            verdicts[python["step"]] += 1
    return verdicts


def test_both_pass_true_ledgers_of_every_kind(node: str) -> None:
    named = [(kind, closed(ending(kind).lines())) for kind in KINDS]
    named.append(("turned", closed(turned().lines())))
    assert require_agreement(node, named) == {None: len(named)}


@pytest.mark.timeout(300)
def test_both_refuse_every_lie_at_its_step(node: str) -> None:
    told = [(name, bundle_of(name), step_of(name)) for name in LIES]
    told += [(name, *headed(name)) for name in HEADS]
    told += [(name, data, 11) for name, data in unasked().items()]
    found = by_script(node, [data for _, data, _ in told])
    for (name, data, step), script in zip(told, found, strict=True):
        python = by_python(data)
        assert python["step"] == step, (name, python)
        for key in ("ok", "step", "height"):
            assert script[key] == python[key], (name, script, python)


@pytest.mark.timeout(300)
def test_both_name_the_same_fault_of_changed_ledgers(node: str) -> None:
    verdicts = require_agreement(node, [mutation(n) for n in range(SHORT)])
    assert len(verdicts) >= 12, verdicts


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_both_name_the_same_fault_of_two_thousand(node: str) -> None:
    verdicts = require_agreement(node, [mutation(n) for n in range(LONG)])
    assert set(verdicts) == {None, *range(13)}, verdicts
    line = {"bundles": LONG, "kinds": len(CHANGES), "steps": verdicts}
    sys.stdout.write(json.dumps(line) + "\n")


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    try:
        found = Tab()
    except ChromiumMissing as error:
        pytest.skip(str(error))
    yield found
    found.close()


def verdict_on(tab: Tab, data: bytes, folder: Path, name: str, *, pin: str = "") -> str:
    """Return what the page says, reading the file as a person hands it over."""
    file = folder / name
    file.write_bytes(data)
    tab.open(page.path())
    tab.run(f'document.getElementById("pin").value = {json.dumps(pin)}')
    if name.startswith("dropped"):
        tab.drop(file, x=200, y=200)
    else:
        tab.choose("#file", file)
    return tab.run(WAIT)


def test_the_page_verifies_a_true_ledger(tab: Tab, tmp_path: Path) -> None:
    true = ending("enrolled")
    said = verdict_on(tab, closed(true.lines()), tmp_path, "true.fedxdr")
    assert said.startswith("Verified\n")
    assert "true.fedxdr: no fault in 3 blocks of Test federation" in said
    assert "epsilon" in said
    assert "fedxdr verify only" in said
    assert "Nothing was pinned" in said
    for org in ("alpha", "bravo", "charlie"):
        words = words_of(true.told.keys[org].public.fingerprint)
        assert f"{org} ({org.title()} Ltd)\n{' '.join(words)}" in said


def test_the_page_takes_a_file_that_is_dropped(tab: Tab, tmp_path: Path) -> None:
    said = verdict_on(tab, closed(ending("round").lines()), tmp_path, "dropped.fedxdr")
    assert said.startswith("Verified\n")


def test_the_page_names_height_and_step_of_a_fault(tab: Tab, tmp_path: Path) -> None:
    true = closed(ending("round").lines())
    bad = true.replace(b'"convergence":0.25', b'"convergence":0.35', 1)
    said = verdict_on(tab, bad, tmp_path, "bad.fedxdr")
    assert said.startswith("Not verified\n")
    assert "bad.fedxdr: the first fault is in block 2, at step 2 (hash links)." in said


def test_the_page_holds_a_ledger_to_the_pinned_key(tab: Tab, tmp_path: Path) -> None:
    true = ending("plan")
    own, other = (
        base64.b64encode(key.public.ed25519).decode()
        for key in (true.told.orchestrator, true.told.keys["alpha"])
    )
    data = closed(true.lines())
    said = verdict_on(tab, data, tmp_path, "mine.fedxdr", pin=own)
    assert said.startswith("Verified\n")
    assert "Only the orchestrator's key was pinned" in said
    said = verdict_on(
        tab, data, tmp_path, "same.fedxdr", pin=true.told.blocks[0].block.hash
    )
    assert said.startswith("Verified\n")
    assert "pinned" not in said
    said = verdict_on(tab, data, tmp_path, "else.fedxdr", pin="0" * 64)
    assert "bundle as a whole, at step 10 (merkle root and checkpoint)" in said
    said = verdict_on(tab, data, tmp_path, "other.fedxdr", pin=other)
    assert "bundle as a whole, at step 10 (merkle root and checkpoint)" in said


def test_the_page_takes_names_for_text_only(tab: Tab, tmp_path: Path) -> None:
    told = Federation(("alpha",))
    told.begin(federation="<img src=x onerror=document.title='caught'>")
    said = verdict_on(tab, told.export(), tmp_path, "named.fedxdr")
    assert "<img src=x onerror" in said
    assert tab.run("document.title") == "fedxdr: verify a ledger"
    assert tab.run("document.querySelectorAll('img').length") == 0


def test_the_page_asks_nobody_and_complains_of_nothing(
    tab: Tab, tmp_path: Path
) -> None:
    del tab.events[:]
    verdict_on(tab, closed(ending("plan").lines()), tmp_path, "quiet.fedxdr")
    asked = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked == [page.path().resolve().as_uri()]
    complaints = {"Log.entryAdded", "Runtime.exceptionThrown"}
    assert not complaints & {event["method"] for event in tab.events}
    # and could not if it wanted to
    refused = tab.run('fetch("data:text/plain,x").then(() => "sent", () => "refused")')
    assert refused == "refused"


def test_the_page_is_what_its_sources_build(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm: verify.html cannot be built again")
    sources = tmp_path / "verifier"
    shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns("node_modules"))
    install = [npm, "ci", "--no-audit", "--no-fund", "--fetch-retries=1"]
    done = subprocess.run(install, cwd=sources, capture_output=True, check=False)
    if any(code in done.stderr for code in UNREACHABLE):
        pytest.skip("npm's registry cannot be reached from here")
    assert done.returncode == 0, done.stderr.decode()
    built = tmp_path / "verify.html"
    node = [npm, "run", "build", "--", str(built)]
    subprocess.run(node, cwd=sources, capture_output=True, check=True)
    assert built.read_bytes() == page.path().read_bytes()
