# SPDX-License-Identifier: Apache-2.0
"""Bodies of the agent's own routes: a gradient in, a gradient out, in the same form.

A gradient is what the two documents of the origin write: numbers in (nested) arrays or
the object ``{model_weights, shape, samples_seen}``; or base64 of float32 words, their
lowest byte first.

Rules that always hold: unknown fields are refused; so are NaN, infinity, what float32
cannot hold, arrays of uneven length, and anything that only looks like a number.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.layout import Vector

MAX_DEPTH: Final = 8
"""Most dimensions of a gradient."""

Spelling = Literal["arrays", "object", "base64"]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Weights(_Form):
    """A gradient as the deployment guide writes it."""

    model_weights: list[Any] = Field(description="numbers, in arrays of the shape")
    shape: list[int] | None = Field(default=None, description="must be what is found")
    samples_seen: int | None = Field(default=None, ge=0, description="handed back")


GradientForm = list[Any] | Weights | str


class SanitizeConfig(_Form):
    """What is to be done beside clipping."""

    top_k: int | None = Field(
        default=None, ge=1, description="keep that many values, the largest"
    )
    keep_fraction: float | None = Field(
        default=None, gt=0, le=1, description="keep that part of them, the largest"
    )

    def kept(self, size: int) -> int | None:
        """Return how many of ``size`` values are kept, None for all.

        Raises:
            MalformedMessage: both fields, or more values than there are.
        """
        if self.top_k is not None and self.keep_fraction is not None:
            raise MalformedMessage("give top_k or keep_fraction, not both")
        if self.keep_fraction is not None:
            return max(1, math.floor(self.keep_fraction * size))
        if self.top_k is not None and self.top_k > size:
            raise MalformedMessage(f"top_k is {self.top_k}, of {size} values")
        return self.top_k


class Sanitize(_Form):
    """A raw gradient, made fit to be shown."""

    raw_gradient: GradientForm
    sensitivity: float = Field(gt=0, description="L2 norm it is clipped to")
    config: SanitizeConfig = Field(default_factory=SanitizeConfig)


class PaillierKey(_Form):
    """A public key of python-paillier (n alone) or of a ceremony (modulus, base)."""

    n: int | str | None = Field(default=None, description="decimal")
    modulus: str | None = Field(default=None, description="base64, big-endian")
    base: str | None = Field(default=None, description="base64, big-endian")
    degree: int = Field(default=1, ge=1, le=8)


class Encrypt(_Form):
    """A gradient to be encrypted under a public key."""

    gradient: GradientForm
    public_key: PaillierKey | str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gradient:
    """A gradient as numbers, and how it was written.

    Attributes:
        values: (d,) float32, finite, d >= 1.
        shape: of the arrays it came in; (d,) for base64.
        spelling: how it was written.
        samples_seen: as it came, None without.
    """

    values: Vector
    shape: tuple[int, ...]
    spelling: Spelling
    samples_seen: int | None = None

    @classmethod
    def of(cls, form: GradientForm) -> Gradient:
        """Return the gradient that a body holds.

        Raises:
            MalformedMessage: not one of the three forms, or a shape that is not the
                one found.
            InvalidUpdate: NaN, infinity, or a number that float32 cannot hold.
        """
        match form:
            case str():
                values = _from_base64(form)
                return cls(values=values, shape=values.shape, spelling="base64")
            case Weights():
                values, shape = _from_arrays(form.model_weights)
                if form.shape is not None and tuple(form.shape) != shape:
                    raise MalformedMessage(
                        f"the gradient says shape {form.shape} and has {list(shape)}"
                    )
                return cls(
                    values=values,
                    shape=shape,
                    spelling="object",
                    samples_seen=form.samples_seen,
                )
            case _:
                values, shape = _from_arrays(form)
                return cls(values=values, shape=shape, spelling="arrays")

    def written(self, values: Vector) -> Any:  # noqa: ANN401 - any JSON value
        """Return other values in the form this gradient came in.

        Args:
            values: (d,) float32, as many as there were.
        """
        if self.spelling == "base64":
            return base64.b64encode(values.astype("<f4").tobytes()).decode()
        arrays = values.reshape(self.shape).tolist()
        if self.spelling == "arrays":
            return arrays
        told = {"model_weights": arrays, "shape": list(self.shape)}
        if self.samples_seen is not None:
            told["samples_seen"] = self.samples_seen
        return told


F = TypeVar("F", bound=_Form)


def parse(form: type[F], body: bytes) -> F:
    """Return a body as a form.

    Raises:
        MalformedMessage: not JSON, an unknown or missing field, a wrong type, NaN. The
            message names the field and shows nothing of what it held.
    """
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(p) for p in e['loc'][:4])}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)[:4]
        )
        # its cause holds the gradient, so it is not kept
        raise MalformedMessage(found) from None


def _from_base64(text: str) -> Vector:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedMessage("the gradient is not base64") from error
    if not data or len(data) % 4:
        raise MalformedMessage(
            f"a gradient of {len(data)} bytes: want 4 for each value, one at least"
        )
    return _finite(np.frombuffer(data, "<f4").astype(np.float32))


def _from_arrays(arrays: list[Any]) -> tuple[Vector, tuple[int, ...]]:
    shape: list[int] = []
    level: Any = arrays
    while isinstance(level, list):
        if len(shape) == MAX_DEPTH:
            raise MalformedMessage(f"a gradient has at most {MAX_DEPTH} dimensions")
        if not level:
            raise MalformedMessage("a gradient has one value at least")
        shape.append(len(level))
        level = level[0]
    numbers = np.fromiter(_numbers(arrays, shape), np.float64, math.prod(shape))
    with np.errstate(over="ignore"):
        values = _finite(numbers.astype(np.float32))
    return values, tuple(shape)


def _numbers(level: list[Any], shape: list[int]) -> Iterator[float]:
    if len(level) != shape[0]:
        raise MalformedMessage("the arrays of a gradient have uneven lengths")
    if len(shape) > 1:
        for inner in level:
            if not isinstance(inner, list):
                raise MalformedMessage("a gradient mixes numbers and arrays")
            yield from _numbers(inner, shape[1:])
        return
    for number in level:
        # not bool, which is an int in Python, and not text
        if type(number) is not float and type(number) is not int:
            raise MalformedMessage("a gradient holds something that is no number")
        try:
            yield float(number)
        except OverflowError as error:
            raise InvalidUpdate("a value that float32 cannot hold") from error


def _finite(values: Vector) -> Vector:
    if not np.isfinite(values).all():
        raise InvalidUpdate("a value is NaN, infinite or more than float32 can hold")
    return values
