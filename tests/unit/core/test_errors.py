# SPDX-License-Identifier: Apache-2.0
"""The tree of errors is the one its docstring draws, with codes of their own."""

from __future__ import annotations

import re

import pytest

from fedxdr.core import errors
from fedxdr.core.errors import Fault, FedxdrError, InvalidInput, Refused

CLASSES = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, FedxdrError)
]


def test_every_class_is_drawn_and_every_drawn_class_is_there():
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {c.__name__ for c in CLASSES} - {"FedxdrError"}


def test_codes_are_unique_and_spell_the_name():
    codes = [found.code for found in CLASSES]
    assert len(set(codes)) == len(codes)
    for found in CLASSES[1:]:
        spelled = re.sub(r"(?<!^)(?=[A-Z])", "-", found.__name__).lower()
        assert found.code == spelled


@pytest.mark.parametrize("found", CLASSES[1:], ids=lambda c: c.__name__)
def test_each_belongs_to_one_family(found):
    assert sum(issubclass(found, f) for f in (InvalidInput, Refused, Fault)) == 1


def test_a_failed_verification_says_where():
    error = errors.VerificationFailed("no root", step="3 merkle root", height=7)
    assert str(error) == "block 7, step 3 merkle root: no root"
    assert (error.height, error.step) == (7, "3 merkle root")
    assert str(errors.VerificationFailed("no", step="1")) == "step 1: no"
