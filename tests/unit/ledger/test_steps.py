# SPDX-License-Identifier: Apache-2.0
"""Every failure gets its number and, where there is one, its height, once."""

import pytest

from fedxdr.core.errors import BadSignature, NotFound, VerificationFailed
from fedxdr.ledger.steps import Step, located, require


def test_the_steps_are_numbered_in_order():
    assert [int(step.split(" ")[0]) for step in Step] == list(range(13))


def test_what_is_refused_inside_gets_step_and_height():
    with pytest.raises(VerificationFailed) as caught, located(Step.FORM, 3):
        raise BadSignature("wrong")
    assert (caught.value.step, caught.value.height) == ("1 canonical form", 3)
    assert str(caught.value) == "block 3, step 1 canonical form: wrong"
    assert isinstance(caught.value.__cause__, BadSignature)


def test_what_is_located_stays_where_it_is():
    with pytest.raises(VerificationFailed) as caught, located(Step.FORM, 3):
        require(False, "no", step=Step.PRIVACY, height=7)
    assert (caught.value.step, caught.value.height) == (Step.PRIVACY, 7)


def test_other_families_pass_through():
    with pytest.raises(NotFound), located(Step.FORM, 3):
        raise NotFound("not an invalid input")


def test_what_holds_is_let_through():
    require(True, "no", step=Step.PRIVACY)


def test_nesting_without_end_is_refused():
    def endless():
        endless()

    nested = pytest.raises(VerificationFailed, match="nested")
    with nested as caught, located(Step.FORM, 3):
        endless()
    assert caught.value.height == 3
