# SPDX-License-Identifier: Apache-2.0
"""What protection adds to a round whose local fit takes 5 seconds.

    python -m benchmarks.round [--organisations 5 20] [--parameters 100000 1000000]

One JSON line per size. The round is the real one: orchestrator, organisations, masks,
signatures and ledger of simulation/federation.py, with replay by every organisation.
Only the fit is prepared: its 5 seconds are counted, not slept. CPU is counted by party
and by what it was spent on, each function for itself without those it calls:

- ``masking``: everything in secagg (keys, shares, quantising, masks, opening the sum);
- ``signing``: envelopes made and verified;
- ``ledger``: blocks made, checked, mirrored, heads;
- ``replay``: an organisation's own recomputation of the proposed model, all of it;
- ``wire``: packing, hashing and canonical bytes; ``rest``: everything else;
- ``dp``: what DP-SGD adds to as many steps of the same network with batches of 4,096,
  measured beside it on a network of about as many parameters, scaled to a fit of 5
  seconds; ``dp_noise`` is the part of it that is noise, the rest is clipping.

Organisations work side by side on machines of their own, the orchestrator after them:
added = the slowest organisation + the orchestrator + dp, in milliseconds; the network
is not counted. ``ratio`` = (5 s + added) / 5 s, to be at most 1.3. Medians of 5
processes.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import pkgutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

import fedxdr
from benchmarks.measure import MIN_RUNS, Figures, line, run_fresh, show
from fedxdr.core import canonical, ids
from fedxdr.core.errors import FedxdrError
from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Layout, Segment, Vector
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.core.update import Update
from fedxdr.crypto import envelope, signing
from fedxdr.crypto.expand import SEED_BYTES, KeyStream
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import opening, wire
from fedxdr.federation.plan import Training
from fedxdr.federation.protection import Privacy
from fedxdr.learning import dpsgd, fit
from fedxdr.models.architecture import Architecture
from fedxdr.models.graph import Integers
from fedxdr.parties.collecting import accepting
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.participant import Participant
from fedxdr.parties.ports import Learned
from fedxdr.parties.recording import Recorder
from fedxdr.privacy.noise import noisy_sum
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.transport.loopback import Loopback

FIT_S = 5.0
MOST_RATIO = 1.3
ORCHESTRATOR = "orchestrator"
PARTS = ("masking", "signing", "ledger", "replay", "wire", "rest")
DP_STEPS = 4
DP_TURNS = 6
DP_BATCH = 4096
INPUTS = 128


class Costs:
    """CPU seconds by party and part, each moment to what was entered last."""

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], float] = defaultdict(float)
        self._stack: list[tuple[str, str]] = []
        self._since = 0.0

    @contextmanager
    def of(self, part: str, *, party: str | None = None) -> Iterator[None]:
        """Charge what happens inside to a part, of the party at work or another."""
        before = self._stack[-1] if self._stack else (ORCHESTRATOR, "rest")
        if party is None:
            party = before[0]
            # a replay is a replay whatever it calls
            part = "replay" if before[1] == "replay" else part
        self._charge()
        self._stack.append((party, part))
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    def _charge(self) -> None:
        now = time.process_time()
        if self._stack:
            self.spent[self._stack[-1]] += now - self._since
        self._since = now

    def forget(self) -> None:
        """Begin again from nothing."""
        self.spent.clear()


COSTS = Costs()


class Prepared:
    """A learner whose fit was done before."""

    def __init__(self, place: int, size: int) -> None:
        values = generator(place, 5).normal(size=size).astype(np.float32)
        self._values = values / np.float32(np.linalg.norm(values))

    def samples(self) -> int:
        return 1000

    def learn(self, **_: object) -> Learned:
        with COSTS.of("fit"):
            return Learned(
                update=Update(values=self._values, samples=1000),
                metrics=dict.fromkeys(opening.METRICS, 0.5),
            )


class Metered(Loopback):
    """A link whose other end is charged to the orchestrator."""


def _metered_link() -> None:
    for name, found in inspect.getmembers(Loopback, inspect.isfunction):
        if not name.startswith("_"):
            setattr(Metered, name, _charged(found, "rest", party=ORCHESTRATOR))


def _charged(
    function: Callable[..., Any], part: str, *, party: str | None = None
) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any function
        with COSTS.of(part, party=party):
            return function(*arguments, **named)

    return inside


def instrument() -> None:
    """Put a meter around every public function of the rooms that are measured."""
    modules = {
        info.name: importlib.import_module(info.name)
        for room in ("secagg", "ledger")
        for info in pkgutil.walk_packages(
            importlib.import_module(f"fedxdr.{room}").__path__, f"fedxdr.{room}."
        )
    }
    changed: dict[Any, Callable[..., Any]] = {}
    for name, module in modules.items():
        part = "masking" if name.startswith("fedxdr.secagg") else "ledger"
        for function in _public_functions(module):
            changed[function] = _charged(function, part)
    for function in (envelope.sign, envelope.verify, signing.verify):
        changed[function] = _charged(function, "signing")
    for module in (wire, canonical):
        for function in _public_functions(module):
            changed[function] = _charged(function, "wire")
    changed[ids.sha256] = _charged(ids.sha256, "wire")
    judge = accepting._judge  # noqa: SLF001 - modes hold what calls it already
    changed[judge] = _charged(judge, "replay")
    # whoever imported one of them by name gets the metered one too
    for module in [m for n, m in sys.modules.items() if n.startswith(fedxdr.__name__)]:
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value in changed:
                setattr(module, name, changed[value])
    for kind, part in ((Recorder, "ledger"), (IdentityKey, "signing")):
        for name, value in list(vars(kind).items()):
            if inspect.isfunction(value) and not name.startswith("__"):
                setattr(kind, name, _charged(value, part))
    in_force = vars(Recorder)["in_force"]
    setattr(Recorder, "in_force", property(_charged(in_force.fget, "ledger")))  # noqa: B010 - a property is not assigned to
    _metered_link()


def _public_functions(module: ModuleType) -> list[Callable[..., Any]]:
    return [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__ == module.__name__
    ]


def _organisation_steps() -> None:
    before = Participant.step

    def step(self: Participant, **named: Any) -> Any:  # noqa: ANN401 - as the original
        with COSTS.of("rest", party=self.me):
            return before(self, **named)

    setattr(Participant, "step", step)  # noqa: B010 - a method is not assigned to


def protection(organisations: int, parameters: int, *, seed: int) -> Figures:
    """Play rounds and return milliseconds per party and part of the last one."""
    layout = Layout(
        segments=(
            Segment(name="statistics.mean", shape=(1,)),
            Segment(name="weights.w", shape=(parameters,)),
        )
    )
    names = [OrgId(f"org-{place:02}") for place in range(organisations)]
    instrument()
    _organisation_steps()
    federation = SimulatedFederation(
        {name: Prepared(place, parameters) for place, name in enumerate(names)},
        plan={"layout": layout, "architecture": {"kind": "prepared"}},
        initial=np.zeros(layout.size, np.float32),
        seed=seed,
        link_of=_link,
    )
    federation.run_round(task="training")  # the first one warms what is made once
    COSTS.forget()
    with COSTS.of("rest", party=ORCHESTRATOR):
        federation.run_round(task="training")
    spent = COSTS.spent
    figures: Figures = {}
    for part in PARTS:
        each = [1000 * spent[name, part] for name in names]
        figures[f"organisation_{part}_ms"] = float(np.median(each))
        figures[f"orchestrator_{part}_ms"] = 1000 * spent[ORCHESTRATOR, part]
    totals = [1000 * sum(spent[name, part] for part in PARTS) for name in names]
    figures["slowest_organisation_ms"] = max(totals)
    figures["orchestrator_ms"] = 1000 * sum(spent[ORCHESTRATOR, p] for p in PARTS)
    return figures


def _link(orchestrator: Orchestrator, org: OrgId) -> Loopback:
    return Metered(orchestrator, org)


def private_fit(parameters: int, *, seed: int) -> Figures:
    """Return what DP-SGD adds to a fit of 5 seconds, in milliseconds.

    Both fits take the same steps over the same number of examples: the plain one with
    batches of ``DP_BATCH``, the private one with a sampling rate of 1 over as many
    rows, so that no step is smaller by chance. They take turns, and the least of each
    counts: whatever else runs on the machine only ever adds.
    """
    architecture = _about(parameters)
    draw = generator(seed, 6)
    features: npt.NDArray[np.float32] = draw.uniform(
        0, 2, (DP_BATCH, architecture.inputs)
    ).astype(np.float32)
    family = (draw.random(DP_BATCH) < 0.5).astype(np.int64)
    vector = architecture.first_vector(seed)
    plain: list[float] = []
    private: list[float] = []
    noise: list[float] = []
    stream = KeyStream(bytes(SEED_BYTES), label="benchmark")
    zeros = np.zeros(architecture.layout.size)
    for _ in range(DP_TURNS):
        plain.append(_cpu_s(lambda: _plain(vector, architecture, features, family)))
        private.append(_cpu_s(lambda: _private(vector, architecture, features, family)))
        noise.append(
            _cpu_s(
                lambda: noisy_sum(zeros, clip=1.0, noise_multiplier=1.0, stream=stream)
            )
        )
    steps = FIT_S / min(plain) * DP_STEPS
    return {
        "dp_ms": 1000 * max(0.0, FIT_S * (min(private) / min(plain) - 1)),
        "dp_noise_ms": 1000 * steps * min(noise),
        "dp_steps": round(steps),
        "dp_batch": DP_BATCH,
        "dp_parameters": architecture.layout.size,
    }


def _cpu_s(act: Callable[[], object]) -> float:
    begin = time.process_time()
    act()
    return time.process_time() - begin


def _about(parameters: int) -> Architecture:
    """Return a network of about that many parameters."""
    # fuse: inputs * e + e, embed: e^2 + e, head: e + 1
    e = int(((INPUTS + 3) ** 2 / 4 + parameters) ** 0.5 - (INPUTS + 3) / 2)
    return Architecture(features="benchmark", own=INPUTS, embedding=e)


def _plain(
    vector: Vector, architecture: Architecture, features: Vector, family: Integers
) -> None:
    fit.fit(
        vector,
        architecture=architecture,
        features=features,
        family=family,
        training=Training(
            batch_size=DP_BATCH, local_epochs=DP_STEPS, examples_per_epoch=DP_BATCH
        ),
        seed=(1,),
    )


def _private(
    vector: Vector, architecture: Architecture, features: Vector, family: Integers
) -> None:
    dpsgd.fit_privately(
        vector,
        architecture=architecture,
        features=features,
        family=family,
        privacy=Privacy(
            mechanism="dp-sgd",
            unit="event",
            epsilon=8.0,
            delta=1e-5,
            noise_multiplier=1.0,
            sampling_rate=1.0,
            steps=DP_STEPS,
            clipping_norm=1.0,
            own=1,
        ),
        training=Training(batch_size=DP_BATCH),
        entropy=SeededEntropy(1),
    )


def once(organisations: int, parameters: int, *, seed: int) -> Figures:
    """Return one process's figures."""
    private = private_fit(parameters, seed=seed)
    figures = protection(organisations, parameters, seed=seed)
    added = (
        float(figures["slowest_organisation_ms"])
        + float(figures["orchestrator_ms"])
        + float(private["dp_ms"])
    )
    ratio = (1000 * FIT_S + added) / (1000 * FIT_S)
    return {**figures, **private, "added_ms": added, "ratio": ratio}


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--organisations", type=int, nargs="+", default=[5, 20])
    parser.add_argument(
        "--parameters", type=int, nargs="+", default=[100_000, 1_000_000]
    )
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", choices=["once"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        show(once(options.organisations[0], options.parameters[0], seed=options.seed))
        return 0
    is_within = True
    for n in options.organisations:
        for d in options.parameters:
            arguments_of_one = [
                f"--organisations={n}",
                f"--parameters={d}",
                f"--seed={options.seed}",
                "--side=once",
            ]
            result = line(
                "round",
                sizes={"organisations": n, "parameters": d, "fit_s": FIT_S},
                seed=options.seed,
                ours=functools.partial(run_fresh, "benchmarks.round", arguments_of_one),
                runs=options.runs,
            )
            show(result)
            ours = result["ours"]
            if not isinstance(ours, dict):
                raise FedxdrError("a benchmark's figures have names")
            is_within &= ours["ratio"] <= MOST_RATIO
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
