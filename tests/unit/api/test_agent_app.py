# SPDX-License-Identifier: Apache-2.0
"""The agent's own service on loopback, over plain callables."""

import asyncio
import base64
import functools
import inspect
import json
import socket
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phe.paillier import EncryptedNumber, PaillierPrivateKey, PaillierPublicKey

from fedxdr import __version__
from fedxdr.api import agent_app
from fedxdr.api.agent_app import PREFIX, AgentService, create_agent_app, listen
from fedxdr.api.agent_encryption import Quantisation, encrypted, public_key
from fedxdr.api.agent_forms import Gradient, PaillierKey
from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import InvalidSettings, InvalidUpdate, MalformedMessage
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import SeededEntropy, SystemEntropy
from fedxdr.federation.protection import Privacy
from fedxdr.parties import privacy_views
from fedxdr.privacy.budget import Purse
from fedxdr.privacy.mechanism import Charge
from fedxdr.secagg.encrypted import paillier

BASE = "http://127.0.0.1:8808"
QUANTISATION = Quantisation(bound=4.0, bits=24, participants=5)
PRIVACY = Privacy(
    mechanism="dp-sgd",
    unit="event",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=4.0,
    sampling_rate=1.0,
    steps=2,
    clipping_norm=1.0,
    own=1,
)
# primes of 1,024 bits each (not safe ones: nobody shares this key), made by gmpy2
P = 2**1023 + 2**1022 + 1037
Q = 2**1023 + 2**1022 + 1697


def spending():
    purse = Purse(epsilon=8.0, delta=1e-5, unit="event")
    for number in range(3):
        purse = purse.after(purse.reserve(f"round-{number}", PRIVACY.charge))
    return privacy_views.spent_from_purse(purse, PRIVACY, org=OrgId("alpha"))


def encrypt(values, key):
    return encrypted(values, key, quantisation=QUANTISATION, entropy=SeededEntropy(4))


def service(**changed):
    kind = {
        "org": OrgId("alpha"),
        "clock": ManualClock(datetime(2026, 1, 1, tzinfo=UTC)),
        "config": lambda: privacy_views.protection(None),
        "budget": spending,
        "encrypt": encrypt,
        "ready": lambda: {"ledger": True, "key": True},
        "max_body_bytes": 100_000,
    }
    return AgentService(**{**kind, **changed})


@functools.cache
def usual_app():
    return create_agent_app(service())


def ask(method, path, form=None, *, headers=None, peer="127.0.0.1", content=None, **kw):
    """Return the answer to one request, as a client on that machine gets it."""

    app = create_agent_app(service(**kw)) if kw else usual_app()

    async def request():
        transport = httpx.ASGITransport(
            app, raise_app_exceptions=False, client=(peer, 40_000)
        )
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            kind = {"json": form} if form is not None else {"content": content}
            return await client.request(method, PREFIX + path, headers=headers, **kind)

    return asyncio.run(request())


# --- what it is


def test_it_is_alive_and_says_what_it_is():
    assert ask("GET", "/health").json() == {
        "status": "healthy",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    found = ask("GET", "/info").json()
    assert found == {
        "system": "fedxdr",
        "version": __version__,
        "org_id": "alpha",
        "components": ["Agent", "PrivacyLayer"],
        "api_endpoints": 9,
    }


def test_it_hands_out_what_convicts_the_log_byte_for_byte():
    assert ask("GET", "/ledger/equivocation").json() == {"proofs": {}}
    name = f"equivocation-{'ab' * 32}.json"
    found = ask(
        "GET", "/ledger/equivocation", proofs=lambda: {name: b'{"a":1}', "x": b"\xff"}
    )
    assert found.json() == {"proofs": {name: '{"a":1}', "x": "\ufffd"}}


def test_it_is_ready_when_everything_is_there():
    good = ask("GET", "/ready")
    assert (good.status_code, good.json()) == (
        200,
        {"ready": True, "ledger": True, "key": True},
    )
    bad = ask("GET", "/ready", ready=lambda: {"ledger": False, "key": True})
    assert (bad.status_code, bad.json()["ready"]) == (503, False)


# --- the purse


def test_the_budget_is_that_of_its_own_purse():
    purse = ask("GET", "/privacy/budget").json()
    assert purse["org_id"] == "alpha"
    assert purse["unit"] == "event"
    assert purse["rounds_trained"] == 3
    assert purse["epsilon_total"] == 8.0
    assert 0 < purse["epsilon_used"] < 8.0
    assert purse["epsilon_remaining"] == 8.0 - purse["epsilon_used"]
    assert purse["delta"] == 1e-5
    assert purse["rounds_until_budget_exhausted"] > 0
    assert purse["textbook_epsilon"] > purse["epsilon_used"]


def test_the_architectures_path_has_the_same_figures():
    purse = ask("GET", "/privacy/budget").json()
    assert ask("GET", "/privacy/privacy-budget").json() == {
        "remaining_epsilon": purse["epsilon_remaining"],
        "remaining_delta": purse["delta"],
        "total_used": purse["epsilon_used"],
    }


def test_the_config_is_answered():
    found = ask("GET", "/privacy/config").json()
    assert found["differential_privacy"]["mechanism"] == "none"
    assert found["homomorphic_encryption"] == "disabled"


# --- sanitise


def sanitize(raw, *, sensitivity=1.0, **more):
    form = {"raw_gradient": raw, "sensitivity": sensitivity, **more}
    return ask("POST", "/privacy/sanitize", form)


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ([3.0, 4.0], [0.6, 0.8]),
        ([[3.0], [4.0]], [[0.6], [0.8]]),
        (
            {"model_weights": [[3, 4]], "shape": [1, 2], "samples_seen": 64},
            {"model_weights": [[0.6, 0.8]], "shape": [1, 2], "samples_seen": 64},
        ),
        ({"model_weights": [3, 4]}, {"model_weights": [0.6, 0.8], "shape": [2]}),
    ],
)
def test_a_gradient_comes_back_clipped_in_the_form_it_came_in(raw, want):
    answer = sanitize(raw)
    assert answer.status_code == 200
    found = answer.json()
    assert found["clipped"] is True
    flat = json.dumps(found["sanitized_gradient"])
    shape = json.loads(flat)
    if isinstance(want, dict):
        assert shape.keys() == want.keys()
        assert shape["shape"] == want["shape"]
        shape, want = shape["model_weights"], want["model_weights"]
    assert np.array(shape) == pytest.approx(np.array(want), rel=1e-5)


def test_bytes_come_back_as_bytes():
    raw = base64.b64encode(np.array([3, 4], "<f4").tobytes()).decode()
    found = sanitize(raw, sensitivity=10.0).json()
    assert found["sanitized_gradient"] == raw
    assert found["clipped"] is False


def test_what_is_local_never_comes_back():
    found = sanitize(
        {"weights.w": [[0.3, 0.4]], "local.hosts": [7.0, 8.0], "weights.b": "AACAPw=="},
        sensitivity="low",
    ).json()
    assert found["sanitized_gradient"]["weights.w"] == [pytest.approx([0.3, 0.4])]
    assert found["sanitized_gradient"]["weights.b"] == "AACAPw=="
    assert found["removed"] == ["local.hosts"]
    assert found["removed_values"] == 2
    assert "local.hosts" not in found["sanitized_gradient"]


def test_a_number_in_the_config_comes_before_sensitivity():
    for more, norm in (
        ({}, 1.0),
        ({"sensitivity": "high"}, 0.1),
        ({"sensitivity": 0.5}, 0.5),
        ({"sensitivity": 0.5, "config": {"clip_norm": 0.25}}, 0.25),
    ):
        form = {"raw_gradient": [30.0, 40.0], **more}
        found = ask("POST", "/privacy/sanitize", form).json()
        assert found["clip_norm"] == norm
        assert found["norm_after"] == pytest.approx(norm, rel=1e-5)


def test_a_gradient_is_thinned_as_its_config_says():
    raw = [0.1, -0.5, 0.2, 0.3]
    for config, want in (
        ({"top_k": 1}, [0, -0.5, 0, 0]),
        ({"top_k": 2}, [0, -0.5, 0, 0.3]),
        ({"top_k": 9}, raw),
        ({}, raw),
    ):
        found = sanitize(raw, config=config).json()["sanitized_gradient"]
        assert found == pytest.approx(want)


@pytest.mark.parametrize(
    "form",
    [
        {"sensitivity": 1.0},
        {"raw_gradient": [1.0], "sensitivity": 0.0},
        {"raw_gradient": [1.0], "sensitivity": -1.0},
        {"raw_gradient": [1.0], "sensitivity": "1"},
        {"raw_gradient": [1.0], "sensitivity": True},
        {"raw_gradient": [1.0], "sensitivity": 1.0, "more": 1},
        {"raw_gradient": [1.0], "sensitivity": 1.0, "config": {"more": 1}},
        {"raw_gradient": [1.0], "sensitivity": 1.0, "config": {"top_k": 0}},
        {"raw_gradient": [1.0], "sensitivity": 1.0, "config": {"top_k": 1.5}},
        {"raw_gradient": [1.0], "sensitivity": 1.0, "config": {"clip_norm": -1.0}},
        {"raw_gradient": [1.0], "sensitivity": "huge"},
        {"raw_gradient": {}, "sensitivity": 1.0},
        {"raw_gradient": {"": [1.0]}, "sensitivity": 1.0},
        {"raw_gradient": {"w": 1.0}, "sensitivity": 1.0},
        {"raw_gradient": {"w": {"v": [1.0]}}, "sensitivity": 1.0},
        {"raw_gradient": {"local.hosts": [1.0]}, "sensitivity": 1.0},
        {"raw_gradient": [], "sensitivity": 1.0},
        {"raw_gradient": [[]], "sensitivity": 1.0},
        {"raw_gradient": [[1.0], [1.0, 2.0]], "sensitivity": 1.0},
        {"raw_gradient": [[1.0], 2.0], "sensitivity": 1.0},
        {"raw_gradient": [1.0, [2.0]], "sensitivity": 1.0},
        {"raw_gradient": ["1.0"], "sensitivity": 1.0},
        {"raw_gradient": [True], "sensitivity": 1.0},
        {"raw_gradient": [None], "sensitivity": 1.0},
        {"raw_gradient": [1e39], "sensitivity": 1.0},
        {"raw_gradient": [10**400], "sensitivity": 1.0},
        {"raw_gradient": [[[[[[[[[1.0]]]]]]]]], "sensitivity": 1.0},
        {"raw_gradient": 1.0, "sensitivity": 1.0},
        {"raw_gradient": "no base64!", "sensitivity": 1.0},
        {"raw_gradient": "AAAA", "sensitivity": 1.0},
        {"raw_gradient": "", "sensitivity": 1.0},
        {"raw_gradient": {"model_weights": [1.0], "shape": [2]}, "sensitivity": 1.0},
        {"raw_gradient": {"model_weights": [1.0], "more": 1}, "sensitivity": 1.0},
        {"raw_gradient": {"shape": [1]}, "sensitivity": 1.0},
        [],
    ],
)
def test_what_is_no_gradient_is_refused(form, problem):
    answer = ask("POST", "/privacy/sanitize", form)
    assert answer.status_code == 422
    code = answer.json()["type"].rpartition("/")[2]
    problem(answer, 422, code)
    assert code in ("malformed-message", "invalid-update")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_are_refused(number):
    for body in (
        f'{{"raw_gradient": [{number}], "sensitivity": 1.0}}',
        f'{{"raw_gradient": [1.0], "sensitivity": {number}}}',
        f'{{"raw_gradient": [1], "sensitivity": 1, "config": {{"top_k": {number}}}}}',
    ):
        answer = ask(
            "POST",
            "/privacy/sanitize",
            content=body.encode(),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 422
    nan = base64.b64encode(np.array([np.nan], "<f4").tobytes()).decode()
    assert sanitize(nan).status_code == 422


def test_a_refusal_does_not_repeat_the_gradient():
    answer = sanitize([0.123456789, "secret"], more="private")
    assert answer.status_code == 422
    assert "0.123456789" not in answer.text
    assert "secret" not in answer.text
    assert "private" not in answer.text


# --- encrypt


def test_ciphertexts_are_read_by_python_paillier_and_add_up():
    key = PaillierPublicKey(P * Q)
    private = PaillierPrivateKey(key, P, Q)
    vectors = ([1.5, -2.25, 0.0, 3.75], [[-1.5, 1.0], [0.5, -3.75]])
    sums, told = None, {}
    for gradient in vectors:
        answer = ask(
            "POST",
            "/privacy/encrypt",
            {"gradient": gradient, "public_key": {"n": str(P * Q)}},
        )
        assert answer.status_code == 200, answer.text
        told = answer.json()["encrypted_gradient"]
        data = base64.b64decode(told["ciphertexts"])
        width = told["ciphertext_bytes"]
        assert len(data) == width == 512  # all four in one ciphertext
        number = EncryptedNumber(key, int.from_bytes(data))
        sums = number if sums is None else sums + number
    # the docstring's way of reading, in plain integers
    plain = private.raw_decrypt(sums.ciphertext())
    plain -= P * Q if plain > P * Q // 2 else 0
    k, width = told["slots_per_ciphertext"], told["slot_bits"]
    found = []
    for _ in range(k):
        digit = (plain + (1 << width - 1)) % (1 << width) - (1 << width - 1)
        found.append(digit / told["steps_per_unit"])
        plain = (plain - digit) >> width
    want = np.array(vectors[0]) + np.array(vectors[1]).ravel()
    assert plain == 0
    assert found[::-1][:4] == pytest.approx(want, abs=2 / told["steps_per_unit"])
    assert not any(found[::-1][4:])


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("12", "malformed-message"),
        (str(2**511 + 1), "invalid-settings"),
        (str(2**1023 + 1), "invalid-settings"),
        (str(2**2047), "malformed-message"),
        ("-5", "malformed-message"),
        ("1e5", "malformed-message"),
        ("٣" * 700, "malformed-message"),
        ("9" * 3000, "malformed-message"),
        ({"n": 15}, "malformed-message"),
        ({"n": -15}, "malformed-message"),
        ({"n": str(2**2047 + 1), "degree": 2}, "malformed-message"),
        ({"n": str(2**2047 + 1), "base": "AA=="}, "malformed-message"),
        ({"modulus": "AA=="}, "malformed-message"),
        ({"modulus": "!", "base": "AA=="}, "malformed-message"),
        ({}, "malformed-message"),
        ({"n": "15", "more": 1}, "malformed-message"),
    ],
)
def test_keys_that_hide_nothing_are_refused(key, code, problem):
    form = {"gradient": [1.0], "public_key": key}
    problem(ask("POST", "/privacy/encrypt", form), 422, code)


def test_a_key_of_a_ceremony_is_taken_as_it_is():
    modulus = (P * Q).to_bytes(256)
    base = (4).to_bytes(256)
    form = PaillierKey(
        modulus=base64.b64encode(modulus).decode(),
        base=base64.b64encode(base).decode(),
    )
    assert public_key(form) == paillier.PublicKey(modulus=modulus, base=base)
    # of n alone the base is a square that n determines
    short = public_key(str(P * Q))
    assert short.modulus == modulus
    assert public_key(PaillierKey(n=P * Q)) == short


def test_segments_are_encrypted_in_their_order_and_local_ones_never(problem):
    form = {"gradient": {"w": [[1.0], [2.0]], "b": [3.0]}, "public_key": str(P * Q)}
    answer = ask("POST", "/privacy/encrypt", form).json()
    assert answer["shape"] == {"w": [2, 1], "b": [1]}
    assert answer["encrypted_gradient"]["values"] == 3
    form["gradient"]["local.hosts"] = [4.0]
    problem(ask("POST", "/privacy/encrypt", form), 422, "invalid-update", "local")


def test_noise_of_ciphertexts_is_fresh():
    values = np.ones(3, np.float32)
    key = public_key(str(P * Q))
    found = {
        encrypted(
            values, key, quantisation=QUANTISATION, entropy=SystemEntropy()
        ).ciphertexts
        for _ in range(2)
    }
    assert len(found) == 2


def test_values_above_the_bound_are_refused(problem):
    form = {"gradient": [4.5], "public_key": str(P * Q)}
    problem(ask("POST", "/privacy/encrypt", form), 422, "invalid-update", "clip norm")


# --- loopback alone


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "any"])  # noqa: S104 - refused, as the test says
def test_it_listens_on_loopback_or_not_at_all(host):
    with pytest.raises(InvalidSettings, match=r"127\.0\.0\.1"):
        listen(host, port=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_listens_on_loopback(host):
    with listen(host, port=0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(InvalidSettings, match="cannot listen"):
            listen(host, port=listener.getsockname()[1])
        with socket.create_connection(listener.getsockname()[:2], timeout=5):
            pass
    with pytest.raises(InvalidSettings):
        listen(host, port=70_000)


@pytest.mark.parametrize("peer", ["192.168.1.7", "8.8.8.8", "::ffff:8.8.8.8", "nobody"])
def test_a_peer_from_elsewhere_is_refused(peer, problem):
    for path in ("/health", "/privacy/budget", "/nowhere"):
        problem(ask("GET", path, peer=peer), 403, "unauthorised", "own machine")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8808",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "192.168.1.7:8808",
        "[::2]",
        "",
    ],
)
def test_a_name_that_resolves_to_loopback_is_no_way_in(host, problem):
    answer = ask("GET", "/privacy/budget", headers={"host": host})
    problem(answer, 421, "unauthorised", "Host")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9", "localhost:8808", "LocalHost", "[::1]:8808"]
)
def test_loopback_by_any_of_its_names_is_answered(host):
    assert ask("GET", "/health", headers={"host": host}).status_code == 200


def test_two_hosts_are_refused(problem):
    headers = [("host", "127.0.0.1"), ("host", "127.0.0.1")]
    problem(ask("GET", "/health", headers=headers), 421, "unauthorised")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8808"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_pages_of_a_browser_are_refused(headers, problem):
    for method, path in (("GET", "/privacy/budget"), ("OPTIONS", "/privacy/sanitize")):
        answer = ask(method, path, headers=headers)
        problem(answer, 403, "unauthorised", "browser")
        assert not [h for h in answer.headers if h.startswith("access-control")]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"]
)
def test_a_body_that_a_page_may_send_unasked_is_refused(kind, problem):
    body = b'{"raw_gradient": [1.0], "sensitivity": 1.0}'
    answer = ask(
        "POST", "/privacy/sanitize", content=body, headers={"content-type": kind}
    )
    problem(answer, 401, "unauthorised", "application/json")
    good = {"content-type": "Application/JSON; charset=utf-8"}
    assert (
        ask("POST", "/privacy/sanitize", content=body, headers=good).status_code == 200
    )


def test_a_large_body_is_refused_before_it_is_read(problem):
    form = {"raw_gradient": [1.0] * 30_000, "sensitivity": 1.0}
    answer = ask("POST", "/privacy/sanitize", form)
    problem(answer, 413, "too-large", "100000")


@pytest.mark.parametrize("declared", ["100001", "many", "-1"])
def test_nothing_is_read_of_a_body_that_says_it_is_too_large(declared, problem):
    read = 0

    async def body():
        nonlocal read
        read += 1
        yield b"{}"

    headers = {"content-type": "application/json", "content-length": declared}
    answer = ask("POST", "/privacy/sanitize", content=body(), headers=headers)
    problem(answer, 413, "too-large")
    assert read == 0


def test_a_body_of_no_length_is_cut_off_where_the_limit_is(problem):
    sent = 0

    async def endless():
        nonlocal sent
        while sent < 200:
            sent += 1
            yield b"[" * 10_000

    answer = ask(
        "POST",
        "/privacy/sanitize",
        content=endless(),
        headers={"content-type": "application/json"},
    )
    problem(answer, 413, "too-large")
    assert sent <= 12


def test_nothing_but_http_is_answered():
    async def connect():
        sent = []
        app = create_agent_app(service())

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await app(
            {"type": "websocket", "path": "/", "headers": [], "client": None},
            receive,
            send,
        )
        return sent

    assert asyncio.run(connect()) == []


def test_errors_show_nothing_of_the_inside(problem):
    def broken():
        raise RuntimeError("secret path /home/alpha")

    answer = ask("GET", "/privacy/budget", budget=broken)
    problem(answer, 500, "fault", "its log says why")
    assert "secret" not in answer.text
    problem(ask("GET", "/nowhere"), 404, "not-found")
    problem(ask("PUT", "/health"), 405, "method-not-allowed")


def test_every_route_says_what_it_does():
    app = create_agent_app(service())
    for methods in app.openapi()["paths"].values():
        for described in methods.values():
            assert described["description"]
    assert inspect.getdoc(agent_app)


def test_no_documentation_is_fetched_from_elsewhere():
    assert ask("GET", "/../../docs").status_code == 404


def test_a_key_needs_a_form():
    with pytest.raises(MalformedMessage):
        public_key(PaillierKey(modulus=None, base="AA=="))


def test_the_charge_of_the_plan_is_what_the_purse_counts():
    assert PRIVACY.charge == Charge(unit="event", noise_multiplier=4.0, steps=2)


# --- anything at all

FIELDS = (
    "config",
    "gradient",
    "model_weights",
    "modulus",
    "n",
    "public_key",
    "raw_gradient",
    "samples_seen",
    "sensitivity",
    "shape",
    "top_k",
    "x",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(
    value=JSON,
    wrap=st.sampled_from([None, "raw_gradient", "gradient", "public_key"]),
    path=st.sampled_from(["/privacy/sanitize", "/privacy/encrypt"]),
)
def test_no_body_makes_the_agent_fail(value, wrap, path):
    good = {"sensitivity": 1.0, "raw_gradient": [1.0]}
    if path.endswith("encrypt"):
        good = {"gradient": [1.0], "public_key": "15"}
    form = value if wrap is None else {**good, wrap: value}
    body = json.dumps(form).encode()  # NaN and Infinity as Python writes them
    kind = {"content-type": "application/json"}
    answer = ask("POST", path, content=body, headers=kind)
    assert answer.status_code in (200, 422)
    json.loads(answer.text, parse_constant=pytest.fail)


@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=60))
@example(body=b'{"\\ud800": 1}')
@example(body=b'{"raw_gradient": "\\ud800", "sensitivity": 1.0}')
@example(body=b"[" * 50_000)
def test_no_bytes_make_the_agent_fail(body):
    kind = {"content-type": "application/json"}
    answer = ask("POST", "/privacy/sanitize", content=body, headers=kind)
    assert answer.status_code == 422


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e39, -(10**400)])
def test_no_form_of_a_gradient_holds_what_is_not_finite(bad):
    words = np.array([bad if abs(bad) != 10**400 else np.inf], np.float64)
    with np.errstate(over="ignore"):
        text = base64.b64encode(words.astype("<f4").tobytes()).decode()
    for form in ([bad], [[1.0, bad]], {"w": [bad]}, {"model_weights": [bad]}, text):
        with pytest.raises(InvalidUpdate):
            Gradient.of(form)
