# SPDX-License-Identifier: Apache-2.0
"""``keys``: a ceremony of three from their own keys to shares that open."""

import json
import resource
import stat

import pytest

from fedxdr.app.ceremonies import installed
from fedxdr.cli import keys as keys_module
from fedxdr.cli import serve
from fedxdr.cli.main import COMMANDS
from fedxdr.core import canonical
from fedxdr.core.ids import org_id
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.secagg.encrypted.ceremony import Ceremony, open_box
from fedxdr.storage.secrets import read_seed, write_seed

NAMES = ("alpha", "bravo", "charlie")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The command under its name, and core dumps afterwards as they were."""
    monkeypatch.setitem(COMMANDS, "keys", ("keys", "keys"))
    before = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture(scope="module")
def private():
    """A private key, searched for once; a shorter one stands in for 2,048 bits."""
    return keys_module._private_key(1024, SeededEntropy(3), processes=1)


@pytest.fixture
def quick(monkeypatch, private):
    """A dealer that has found its primes already; returns what it was asked for."""
    asked = []

    def found(bits, entropy, *, processes):
        del entropy, processes
        asked.append(bits)
        return private

    monkeypatch.setattr(keys_module, "_private_key", found)
    return asked


@pytest.fixture
def brought(run, tmp_path):
    """A folder with the ceremony keys of three organisations."""
    folder = tmp_path / "brought"
    for name in NAMES:
        done = run("keys", "new", "--name", name, "--out", folder, "--json")
        assert done.status == 0, done.err
    return folder


def held(run, brought, out, *more):
    return run(
        "keys", "ceremony", "--organisations", brought, "--threshold", 3,
        "--bits", 2048, "--out", out, *more,
    )  # fmt: skip


def test_new_makes_a_secret_and_a_public_half(run, tmp_path):
    done = run("keys", "new", "--name", "alpha", "--out", tmp_path, "--json")
    told = json.loads(done.out)
    secret, public = tmp_path / "alpha.ceremony-key", told["public"]
    assert told["secret"] == str(secret)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text().strip() not in (tmp_path / public).read_text()
    shown = json.loads(run("keys", "show", public, "--json").out)
    assert shown == {"holder": "alpha", "fingerprint": told["fingerprint"]}
    assert told["fingerprint"] in run("keys", "show", public).out


def test_new_never_writes_over_a_key(run, fails, tmp_path):
    run("keys", "new", "--name", "alpha", "--out", tmp_path)
    before = (tmp_path / "alpha.ceremony-key").read_bytes()
    command = ["keys", "new", "--name", "alpha", "--out", tmp_path]
    fails(command, 2, "invalid-settings", "exists")
    (tmp_path / "alpha.ceremony-key.json").unlink()
    fails(command, 2, "invalid-settings", "exists")
    assert (tmp_path / "alpha.ceremony-key").read_bytes() == before
    fails(
        ["keys", "new", "--name", "No Name", "--out", tmp_path], 2, "malformed-message"
    )


def test_a_ceremony_gives_everyone_a_share_that_opens(
    run, brought, tmp_path, quick, private
):
    out = tmp_path / "out"
    done = held(run, brought, out, "--json")
    assert done.status == 0, done.err
    assert quick == [2048]
    told = json.loads(done.out)
    record = canonical.decode((out / "ceremony.json").read_bytes(), Ceremony)
    assert told["fingerprint"] == record.fingerprint
    assert told["holders"] == list(NAMES)
    assert (told["threshold"], told["bits"], told["degree"]) == (3, 1024, 1)
    assert sorted(told["shares"]) == list(NAMES)
    assert record.key.encryption.modulus == private.modulus
    shares = {}
    for name in NAMES:
        mine = HybridPrivateKey.from_seed(read_seed(brought / f"{name}.ceremony-key"))
        box = (out / f"{name}.share").read_bytes()
        shares[name] = open_box(record, org_id(name), box, mine)
        shown = run(
            "keys", "show", out / "ceremony.json", "--json",
            "--share", out / f"{name}.share", "--key", brought / f"{name}.ceremony-key",
        )  # fmt: skip
        assert json.loads(shown.out)["share_of"] == name
    # neither a prime nor a share is in any file that was written
    secrets = [int(x).to_bytes(64) for x in (private.p, private.q)]
    secrets += [share.value for share in shares.values()]
    for path in out.iterdir():
        data = path.read_bytes()
        assert not any(secret in data for secret in secrets)
        assert not any(str(int.from_bytes(s)).encode() in data for s in secrets)
    assert sorted(path.name for path in out.iterdir()) == [
        "alpha.share", "bravo.share", "ceremony.json", "charlie.share",
    ]  # fmt: skip
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0, "no core dumps"


def test_people_are_told_what_to_compare(run, brought, tmp_path, quick):
    files = ",".join(str(brought / f"{name}.ceremony-key.json") for name in NAMES)
    done = held(run, files, tmp_path / "out", "--degree", 2)
    assert done.status == 0, done.err
    record = canonical.decode((tmp_path / "out/ceremony.json").read_bytes(), Ceremony)
    assert record.key.encryption.degree == 2
    for word in ("any 3 of 3", "alpha, bravo, charlie", "1024 bits"):
        assert word in done.out
    assert record.fingerprint[:20] in done.out
    shown = run("keys", "show", tmp_path / "out/ceremony.json")
    assert record.fingerprint[:20] in shown.out
    shown = run(
        "keys", "show", tmp_path / "out/ceremony.json",
        "--share", tmp_path / "out/bravo.share",
        "--key", brought / "bravo.ceremony-key",
    )  # fmt: skip
    assert "share of bravo opens" in shown.out
    assert quick


def test_the_search_for_primes_uses_a_pool(private):
    pooled = keys_module._private_key(1024, SeededEntropy(4), processes=2)
    assert pooled != private
    assert len(pooled.modulus) == 128


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_is_refused(run, fails, brought, tmp_path):
    out = tmp_path / "out"
    base = ["keys", "ceremony", "--organisations", brought, "--out", out]
    fails([*base, "--threshold", 3, "--bits", 1024], 2, "invalid-settings", "1024")
    fails([*base, "--threshold", 2, "--bits", 2048], 2, "invalid-plan", "two thirds")
    fails([*base, "--threshold", 4, "--bits", 2048], 2, "invalid-plan", "threshold 4")
    assert not out.exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    for organisations, words in (
        (empty, "no file"),
        (tmp_path / "nowhere.json", "cannot read"),
    ):
        command = ["keys", "ceremony", "--organisations", organisations]
        fails([*command, "--threshold", 3, "--out", out], 2, "invalid-settings", words)
    alpha = brought / "alpha.ceremony-key.json"
    command = ["keys", "ceremony", "--organisations", f"{alpha},{alpha}"]
    fails([*command, "--threshold", 2, "--out", out], 2, "malformed-message", "once")
    assert held(run, brought, out).status == 0
    fails(
        [*base, "--threshold", 3, "--bits", 2048], 2, "invalid-settings", "move it away"
    )


@pytest.mark.usefixtures("quick")
def test_files_of_another_kind_are_refused(run, fails, brought, tmp_path):
    out = tmp_path / "out"
    held(run, brought, out)
    record, share = out / "ceremony.json", out / "alpha.share"
    bravo = brought / "bravo.ceremony-key"
    show = ["keys", "show"]
    fails([*show, share], 2, "malformed-message", "alpha.share")
    fails([*show, tmp_path / "nowhere"], 2, "invalid-settings", "cannot read")
    fails([*show, record, "--share", share], 2, "invalid-settings", "together")
    fails(
        [*show, record, "--share", share, "--key", bravo], 2, "invalid-share", "bravo"
    )
    stranger = tmp_path / "s"
    run("keys", "new", "--name", "alpha", "--out", stranger)
    fails(
        [*show, record, "--share", share, "--key", stranger / "alpha.ceremony-key"],
        2, "invalid-settings", "no share",
    )  # fmt: skip
    broken = tmp_path / "list.json"
    broken.write_bytes(b"[]")
    fails([*show, broken], 2, "malformed-message", "list.json")


# What the operator publishes and an organisation installs.


@pytest.fixture
def dealt(run, brought, tmp_path, quick):
    out = tmp_path / "dealt"
    assert held(run, brought, out).status == 0
    assert quick
    return out


@pytest.fixture
def member(tmp_path):
    """The folder of an organisation that has joined."""
    folder = tmp_path / "agent"
    folder.mkdir()
    file = {
        "org": "alpha", "server": "http://127.0.0.1:1", "orchestrator": "0" * 64,
        "genesis": "0" * 64, "token": "t",
    }  # fmt: skip
    (folder / "agent.json").write_text(json.dumps(file))
    return folder


def installing(member, brought, dealt, *more, name="alpha"):
    return [
        "keys", "install", "--dir", member, "--key", brought / f"{name}.ceremony-key",
        "--share", dealt / f"{name}.share", *more,
    ]  # fmt: skip


def test_the_operator_publishes_the_record_as_it_is(run, dealt, tmp_path, monkeypatch):
    asked = []

    def as_operator(folder, method, path, form, *, wait_s):
        assert wait_s == serve.CONSENT_S, "the members' agents are waited for"
        asked.append((folder, method, path, canonical.jcs(form)))
        return {"height": 7, "fingerprint": "f" * 64}

    monkeypatch.setattr(serve, "as_operator", as_operator)
    done = run("keys", "publish", dealt / "ceremony.json", "--dir", tmp_path / "s")
    assert done.status == 0, done.err
    assert asked == [
        (
            tmp_path / "s",
            "POST",
            "/federation/key-ceremony",
            (dealt / "ceremony.json").read_bytes(),
        )
    ]
    assert "f" * 64 in done.out
    assert "Block 7" in done.out


def test_what_is_no_record_is_not_published(fails, brought, tmp_path):
    public = brought / "alpha.ceremony-key.json"
    command = ["keys", "publish", public, "--dir", tmp_path]
    fails(command, 2, "malformed-message", "alpha.ceremony-key.json")


def test_an_installed_share_opens_for_the_agent(run, brought, dealt, member):
    record = canonical.decode((dealt / "ceremony.json").read_bytes(), Ceremony)
    command = installing(
        member, brought, dealt, "--record", dealt / "ceremony.json", "--json"
    )
    for _ in range(2):
        done = run(*command)
        assert done.status == 0, done.err
    assert json.loads(done.out)["fingerprint"] == record.fingerprint
    share = installed(member, org_id("alpha"))(record)
    assert share.holder == "alpha"


def test_anothers_share_is_not_installed(fails, brought, dealt, member):
    command = installing(
        member, brought, dealt, "--record", dealt / "ceremony.json", name="bravo"
    )
    fails(command, 2, "invalid-share", "alpha")
    assert not (member / "keys").exists()


def test_without_a_record_the_ledger_is_asked(fails, brought, dealt, member):
    write_seed(member / "keys" / "identity.key", bytes(32))
    fails(installing(member, brought, dealt), 4, "unavailable")


def test_only_an_organisation_that_joined_installs(fails, brought, dealt, tmp_path):
    command = installing(tmp_path, brought, dealt, "--record", dealt / "ceremony.json")
    fails(command, 2, "invalid-settings", "fedxdr join")
