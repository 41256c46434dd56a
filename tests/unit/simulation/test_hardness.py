# SPDX-License-Identifier: Apache-2.0
"""The embedded telemetry flatters nobody, and yet can be learned.

No single number of an event, or of its nearest past, separates the campaign from
benign traffic; together, over a bounded past, they do, for who has seen it before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedxdr.intake import read
from fedxdr.privacy import Pseudonymiser
from fedxdr.simulation import (
    ALL_TECHNIQUES,
    CAMPAIGN_TECHNIQUES,
    EVERY_MIX,
    generate,
    read_truth,
    write,
)
from fedxdr.telemetry import COLUMNS, Events

NAMES = ["alpha", "bravo", "charlie", "delta", "echo"]
SEED = 7
LAGS = 8
WORST_SINGLE = 0.8
NEW_TECHNIQUES = sorted(set(ALL_TECHNIQUES) - set(CAMPAIGN_TECHNIQUES))
NOT_BEHAVIOUR = {
    *("time_ns", "source", "destination", "user"),
    *("label", "technique", "flow_id"),
}

Column = NDArray[np.float64]
Past = dict[str, tuple[Events, Events, NDArray[np.bool_]]]


def lived(folder: Path, *, only: str | None = None, **asked: Any) -> Past:
    """Weakly and truly labelled events and which are past, by organisation."""
    world = generate(organisations=NAMES, seed=SEED, **asked)
    found: Past = {}
    for number, (name, files) in enumerate(write(world, folder).items()):
        if only not in {None, name}:
            continue
        tokenise = Pseudonymiser(bytes([number] * 32))
        intake = read(files.logs, tokenise=tokenise)
        assert intake.rejected == 0
        weak = intake.events
        weak = weak.select(weak.is_input)
        true = read_truth(files.truth).applied_to(weak)
        found[name] = weak, true, weak.time_ns < int(world.cut.timestamp()) * 10**9
    return found


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return lived(tmp_path_factory.mktemp("world"))


def area(values: Column, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve in the better direction, over the known values."""
    known = ~np.isnan(values)
    values, positive = values[known], positive[known]
    ones, zeros = positive.sum(), (~positive).sum()
    if not ones or not zeros:
        return 0.5
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # ties share their mean rank
    share = (ranks[place][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros)
    return float(max(share, 1 - share))


def lagged(key: NDArray[np.int64], values: Column, lag: int) -> Column:
    """The value of the lag-th earlier event with the same key, NaN where none."""
    order = np.argsort(key, kind="stable")
    sorted_key, sorted_values = key[order], values[order]
    before = np.full(len(key), np.nan)
    before[lag:] = np.where(
        sorted_key[lag:] == sorted_key[:-lag], sorted_values[:-lag], np.nan
    )
    result = np.empty(len(key))
    result[order] = before
    return result


def keys(events: Events) -> dict[str, NDArray[np.int64]]:
    pair = events.source * np.int64(31) + events.destination
    return {"source": events.source, "destination": events.destination, "pair": pair}


def single_features(events: Events) -> dict[str, Column]:
    """Every column that is behaviour, and the gaps to the nearest past."""
    found: dict[str, Column] = {}
    for name, _, unknown in COLUMNS:
        if name not in NOT_BEHAVIOUR:
            values = getattr(events, name).astype(np.float64)
            found[name] = np.where(values == unknown, np.nan, values)
    found["ratio"] = found["bytes_out"] / (found["bytes_in"] + 1)
    found["mean_packet"] = found["bytes_out"] / found["packets_out"]
    seconds = events.time_ns / 1e9
    for name, key in keys(events).items():
        for lag in (1, 2, 4):
            found[f"{name}_gap_{lag}"] = seconds - lagged(key, seconds, lag)
        found[f"{name}_is_new"] = np.isnan(found[f"{name}_gap_1"]).astype(np.float64)
    return found


def user_features(events: Events) -> dict[str, Column]:
    """The same of accounts: a key like an address, but most records name none."""
    found: dict[str, Column] = {}
    seconds = events.time_ns / 1e9
    is_known = events.user != 0
    user = np.where(is_known, events.user, -1 - np.arange(len(events)))
    for lag in (1, 2, 4):
        found[f"user_gap_{lag}"] = seconds - lagged(user, seconds, lag)
    is_new = np.isnan(found["user_gap_1"]).astype(np.float64)
    found["user_is_new"] = np.where(is_known, is_new, np.nan)
    found["user_is_known"] = is_known.astype(np.float64)
    return found


def contextual_features(events: Events) -> NDArray[np.float64]:
    """The same, and what the last few events of an entity or pair have in common."""
    columns = list(single_features(events).values())
    seconds = events.time_ns / 1e9
    volume = np.log1p(np.maximum(events.bytes_out, 0).astype(np.float64))
    peers = {"source": events.destination, "destination": events.source}
    for name, key in keys(events).items():
        then = np.column_stack([lagged(key, seconds, n) for n in range(1, LAGS + 1)])
        sizes = np.column_stack([lagged(key, volume, n) for n in range(1, LAGS + 1)])
        gaps = np.log1p(-np.diff(np.column_stack([seconds, then]), axis=1))
        known = ~np.isnan(gaps)
        count = np.maximum(known.sum(axis=1), 1)
        for block in (gaps, sizes, np.abs(sizes - volume[:, None])):
            mean = np.where(known, block, 0).sum(axis=1) / count
            spread = np.where(known, (block - mean[:, None]) ** 2, 0).sum(axis=1)
            columns += [mean, np.sqrt(spread / count)]
        columns.append(known.sum(axis=1).astype(np.float64))
        features: list[NDArray[np.generic]] = [
            events.destination_port,
            events.state,
            events.service,
            events.text_length,
        ]
        if name in peers:
            features.append(peers[name])
        for values in features:
            # Numbers of different values, not values: which ones they are is unseen.
            _, numbers = np.unique(values, return_inverse=True)
            window = np.column_stack(
                [lagged(key, numbers.astype(np.float64), n) for n in range(1, LAGS + 1)]
            )
            ordered = np.sort(np.nan_to_num(window, nan=-1.0), axis=1)
            columns.append((np.diff(ordered, axis=1) > 0).sum(axis=1).astype(float))
        failing = np.isin(events.state, (1, 2)).astype(np.float64)
        window = np.column_stack([lagged(key, failing, n) for n in range(1, LAGS + 1)])
        columns.append(np.where(known, window, 0).sum(axis=1) / count)
    return np.column_stack(columns)


def test_the_area_is_that_of_the_definition() -> None:
    draw = np.random.default_rng(1)
    values = draw.integers(0, 6, 60).astype(np.float64)
    positive = draw.random(60) < 0.4
    wins = [
        (one > zero) + 0.5 * (one == zero)
        for one in values[positive]
        for zero in values[~positive]
    ]
    assert area(values, positive) == pytest.approx(
        max(np.mean(wins), 1 - np.mean(wins))
    )


@pytest.fixture(scope="module")
def mixes(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """The whole chain of techniques, at organisations with sensors of their own."""
    return lived(
        tmp_path_factory.mktemp("mixes"), techniques=ALL_TECHNIQUES, sensors=EVERY_MIX
    )


@pytest.mark.parametrize("lives", ["past", "mixes"])
def test_no_single_feature_separates_the_campaign(
    lives: str, request: pytest.FixtureRequest
) -> None:
    past: Past = request.getfixturevalue(lives)
    features = {
        name: single_features(true) | user_features(true)
        for name, (_, true, _) in past.items()
    }
    truth = {name: true.label == 1 for name, (_, true, _) in past.items()}
    for feature in features["alpha"]:
        for name in NAMES:
            found = area(features[name][feature], truth[name])
            assert found <= WORST_SINGLE, (feature, name, found)
        pooled = area(
            np.concatenate([features[name][feature] for name in NAMES]),
            np.concatenate([truth[name] for name in NAMES]),
        )
        assert pooled <= WORST_SINGLE, (feature, pooled)


def is_of(events: Events, techniques: list[str]) -> NDArray[np.bool_]:
    names = np.array([*events.techniques, ""])
    return np.isin(names[events.technique], techniques)


@pytest.mark.parametrize(
    "techniques", [NEW_TECHNIQUES, ["T1566.002", "T1204.002"], ["T1105"], ["T1486"]]
)
def test_no_feature_separates_what_is_new_from_records_like_it(
    mixes: Past, techniques: list[str]
) -> None:
    """Among records of the services and kinds that it makes it does not stand out."""
    alike, truth = {}, {}
    for name, (_, true, _) in mixes.items():
        positive = is_of(true, techniques)
        rows = np.isin(true.service, np.unique(true.service[positive]))
        rows &= np.isin(true.kind, np.unique(true.kind[positive]))
        rows &= positive | (true.label == 0)
        alike[name], truth[name] = rows, positive[rows]
    features = {
        name: single_features(true) | user_features(true)
        for name, (_, true, _) in mixes.items()
    }
    for feature in features["alpha"]:
        pooled = area(
            np.concatenate([features[name][feature][alike[name]] for name in NAMES]),
            np.concatenate([truth[name] for name in NAMES]),
        )
        assert pooled <= WORST_SINGLE, (feature, pooled)


Context = dict[str, NDArray[np.float64]]


def fitted(
    past: Past, context: Context, names: list[str], *, unseen: tuple[str, ...] = ()
) -> Any:
    """Gradient boosting on the weak labels of some organisations' pasts.

    As if techniques that are unseen had reached none of them.
    """
    ensemble = pytest.importorskip("sklearn.ensemble")
    model = ensemble.HistGradientBoostingClassifier(
        max_iter=50, learning_rate=0.1, early_stopping=False, random_state=0
    )
    rows, weak = [], []
    for name in names:
        seen = past[name][2] & ~is_of(past[name][1], list(unseen))
        rows.append(context[name][seen])
        weak.append(past[name][0].label[seen] == 1)
    # Threads that spin for one another cost more than they give on a busy machine.
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):
        return model.fit(np.concatenate(rows), np.concatenate(weak))


def told(
    past: Past,
    context: Context,
    model: Any,
    name: str,
    techniques: tuple[str, ...] = (),
) -> tuple[float, float]:
    """AUC, and recall at 1 % false alarms, on an organisation's future.

    Recall is that of some techniques, or of all that happened there.
    """
    _, true, is_past = past[name]
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):
        scores = model.predict_proba(context[name][~is_past])[:, 1]
    truth = true.label[~is_past] == 1
    asked = is_of(true, list(techniques))[~is_past] if techniques else truth
    threshold = np.quantile(scores[~truth], 0.99)
    return area(scores, truth), float((scores[asked] > threshold).mean())


def test_all_together_learn_it_from_those_who_were_hit_before(past: Past) -> None:
    context = {name: contextual_features(weak) for name, (weak, _, _) in past.items()}
    pooled = fitted(past, context, NAMES)
    results = {name: told(past, context, pooled, name) for name in NAMES}
    assert np.mean([result[0] for result in results.values()]) >= 0.97, results
    assert np.mean([result[1] for result in results.values()]) >= 0.7, results
    # The last ones have seen nothing of it themselves; others have.
    for name in ("delta", "echo"):
        _, alone = told(past, context, fitted(past, context, [name]), name)
        assert alone < 0.2, (name, alone)
        assert results[name][1] > alone + 0.4, (name, results[name], alone)


def test_what_reached_nobody_else_is_not_learned_from_others(tmp_path: Path) -> None:
    past = lived(tmp_path, private_campaign_at="echo")
    context = {name: contextual_features(weak) for name, (weak, _, _) in past.items()}
    _, recall = told(past, context, fitted(past, context, NAMES), "echo")
    assert recall < 0.1, recall


def test_what_is_new_is_learned_from_those_who_had_it(tmp_path: Path) -> None:
    """Others' downloads and ransomware are what finds one's own: the rest does not."""
    past = lived(tmp_path, techniques=ALL_TECHNIQUES)
    context = {name: contextual_features(weak) for name, (weak, _, _) in past.items()}
    before = ["alpha", "bravo", "charlie"]
    with_it = fitted(past, context, before)
    without = fitted(past, context, before, unseen=tuple(NEW_TECHNIQUES))
    for technique, worth in (("T1105", 0.2), ("T1486", 0.4)):
        for name in ("delta", "echo"):
            had = told(past, context, with_it, name, (technique,))[1]
            not_had = told(past, context, without, name, (technique,))[1]
            assert not_had < 0.25, (technique, name, not_had)
            assert had > not_had + worth, (technique, name, had, not_had)


def test_nor_is_a_private_intrusion_among_them(mixes: Past, tmp_path: Path) -> None:
    own = lived(
        tmp_path,
        only="echo",
        private_campaign_at="echo",
        techniques=ALL_TECHNIQUES,
        sensors=EVERY_MIX,
    )
    past = mixes | own  # the others' world is the same
    context = {name: contextual_features(weak) for name, (weak, _, _) in past.items()}
    _, recall = told(past, context, fitted(past, context, NAMES), "echo")
    assert recall < 0.1, recall
