# SPDX-License-Identifier: Apache-2.0
"""The report's text, word for word, and its folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import plots, report
from fedxdr.learning.curves import Run
from fedxdr.learning.evaluation import FIGURES, Gain, MethodResult, OrganisationResult
from fedxdr.learning.report import Facts

FACTS = Facts(
    dataset="cic",
    protocol="unseen-family",
    split="test",
    features="cic-own",
    protect="secagg",
    privacy=None,
    seeds=2,
    rounds=12,
    parameters=9767,
    seconds=3.5,
    command="fedxdr evaluate --dataset cic --data DIR",
    program="fedxdr 0.1.0, commit abc",
)
RUN = Run(
    scores=np.array([3, 2, 1, 0], np.float32),
    is_attack=np.array([True, False, True, False]),
    own_bar=1.5,
)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Draw few dots: what is drawn is the same."""
    monkeypatch.setattr(plots, "_DPI", 40)


def organisation(value, families, *, is_counted=True):
    return OrganisationResult(
        figures={**dict.fromkeys(FIGURES, value), "ap": None},
        families=families,
        earlier_victims=int(is_counted),
        is_counted=is_counted,
        runs=(RUN, RUN),
    )


def result(value):
    return MethodResult(
        mean={**dict.fromkeys(FIGURES, value), "ap": None},
        interval={**dict.fromkeys(FIGURES, (value - 0.1, value + 0.1)), "ap": None},
        organisations={
            "a": organisation(value, {"scan": value, "a|b": 0.5}),
            "b": organisation(value, {"scan": 0.0}, is_counted=False),
        },
    )


RESULTS = {"local": result(0.25), "federated": result(0.875)}
GAINS = {
    "a": {
        "b": Gain(recall=0.2, families={"scan": 0.4, "a|b": 0.01}),
        "c": Gain(recall=0.01, families={"scan": -0.02, "a|b": 0.0}),
    },
    "b": {"a": Gain(recall=None, families={})},
}
GOLDEN = """# cic, protocol unseen-family

Scored on the test. Features `cic-own`, 9,767 parameters, 12 rounds, protected by \
secagg, seeds 0 to 1.

## Means over organisations

With the 95 % Student interval over seeds. Every organisation that counts weighs the \
same. Recall at 1 % and 0.1 % puts the threshold on the test's benign rows, as \
published protocols do; the own threshold comes from the organisation's past alone.

| method | AUC | average precision | recall at 1 % | recall at 0.1 % \
| recall by family | recall, families new here | recall, own threshold \
| false alarms there |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| local | {low} | - | {low} | {low} | {low} | {low} | {low} | {low} |
| federated | {high} | - | {high} | {high} | {high} | {high} | {high} | {high} |

## By organisation

In brackets: not in the means, nobody was attacked before it.

Recall at 1 % false alarms:

{table}

Recall at the threshold of the own past:

{table}

False alarms at that threshold:

{table}

Area under the ROC curve:

{table}

## By attack family

Recall at 1 % false alarms, mean over the organisations that met it.

| family | met by | local | federated |
| --- | ---: | ---: | ---: |
| a\\|b | 1 | 0.500 | 0.500 |
| scan | 2 | 0.125 | 0.438 |

![Recall against false alarms](recall-false-alarms.png)

![Precision and recall](precision-recall.png)

## Who learned what from whom

Federated, with everybody, less the same without one organisation. A gain below nought \
means that it was better off without; one within the interval over seeds means nothing.

![Who learned from whom](who-learned-from-whom.png)

| who learned | from whom | recall at 1 % | families |
| --- | ---: | ---: | ---: |
| a | b | +0.20 | scan +0.40 |

## Once more

    fedxdr evaluate --dataset cic --data DIR

Program: fedxdr 0.1.0, commit abc. The whole took 3.5 s.
""".format(
    low="0.250 [0.150, 0.350]",
    high="0.875 [0.775, 0.975]",
    table="""| organisation | earlier victims | local | federated |
| --- | ---: | ---: | ---: |
| a | 1 | 0.250 | 0.875 |
| (b) | 0 | 0.250 | 0.875 |""",
)


def test_the_text_word_for_word():
    assert report.markdown(FACTS, RESULTS, GAINS) == GOLDEN


def test_what_was_not_asked_is_not_told():
    facts = replace(FACTS, seeds=1, split="validation", privacy="Events are hidden.")
    text = report.markdown(facts, RESULTS)
    assert "Who learned" not in text
    assert "no interval, there is one seed" in text
    assert "seed 0. Events are hidden." in text
    assert "part of the past (validation)" in text
    quiet = report.markdown(FACTS, RESULTS, {"a": {"b": Gain(recall=0.0, families={})}})
    assert "| who learned |" not in quiet


def test_the_folder_has_what_the_text_shows(tmp_path):
    folder = tmp_path / "deep" / "report"
    path = report.write(folder, facts=FACTS, results=RESULTS, gains=GAINS)
    assert path.read_text() == GOLDEN
    pictures = {report.PRECISION, report.FALSE_ALARMS, report.WHO_FROM}
    assert {item.name for item in folder.iterdir()} == {report.FILE, *pictures}
    for name in pictures:
        assert f"]({name})" in GOLDEN
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidSettings, match="cannot be made"):
        report.write(tmp_path / "file", facts=FACTS, results=RESULTS)
    (tmp_path / report.FILE).mkdir()
    with pytest.raises(InvalidSettings, match="cannot be written"):
        report.write(tmp_path, facts=FACTS, results=RESULTS)
