# SPDX-License-Identifier: Apache-2.0
"""Bodies of the agent's own routes: a gradient in, a gradient out, in the same form.

A gradient is what the two documents of the origin write: numbers in (nested) arrays or
the object ``{model_weights, shape, samples_seen}``; or arrays by the name of a segment;
or base64 of float32 words, their lowest byte first.

Rules that always hold: unknown fields are refused; so are NaN, infinity, what float32
cannot hold, arrays of uneven length, and anything that only looks like a number.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.layout import Vector

MAX_DEPTH: Final = 8
"""Most dimensions of a gradient."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Weights(_Form):
    """A gradient as the deployment guide writes it."""

    model_weights: list[Any] = Field(description="numbers, in arrays of the shape")
    shape: list[int] | None = Field(default=None, description="must be what is found")
    samples_seen: int | None = Field(default=None, ge=0, description="handed back")


GradientForm = list[Any] | dict[str, Any] | str


class SanitizeConfig(_Form):
    """What is to be done: bound and thinning."""

    clip_norm: float | None = Field(
        default=None, gt=0, description="L2 norm; comes before sensitivity"
    )
    top_k: int | None = Field(
        default=None, ge=1, description="keep that many values, the largest"
    )


class Sanitize(_Form):
    """A raw gradient, made fit to be shown."""

    raw_gradient: GradientForm
    sensitivity: float | Literal["low", "medium", "high"] = Field(
        default="medium", description="L2 norm it is clipped to, or a word for one"
    )
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
class Part:
    """Numbers and the arrays they came in.

    Attributes:
        values: (d,) float32, finite, d >= 1.
        shape: of the arrays; (d,) for base64.
        is_base64: whether they came as base64.
    """

    values: Vector
    shape: tuple[int, ...]
    is_base64: bool = False

    @classmethod
    def of(cls, form: object) -> Part:
        """Return the numbers of arrays or base64.

        Raises:
            MalformedMessage: neither.
            InvalidUpdate: NaN, infinity, or a number that float32 cannot hold.
        """
        if isinstance(form, str):
            values = _from_base64(form)
            return cls(values=values, shape=values.shape, is_base64=True)
        if isinstance(form, list):
            values, shape = _from_arrays(form)
            return cls(values=values, shape=shape)
        raise MalformedMessage("a gradient is arrays of numbers, or base64")

    def written(self, values: npt.ArrayLike) -> Any:  # noqa: ANN401 - any JSON value
        """Return other numbers in the form these came in.

        Args:
            values: (d,) numbers, as many as there were.
        """
        vector = np.asarray(values, np.float32)
        if self.is_base64:
            return base64.b64encode(vector.astype("<f4").tobytes()).decode()
        return vector.reshape(self.shape).tolist()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gradient:
    """A gradient as numbers, and how it was written.

    Attributes:
        parts: segment -> its numbers; the name is empty where there are no segments.
        weights: the object it came in, None without.
    """

    parts: Mapping[str, Part]
    weights: Weights | None = None

    @classmethod
    def of(cls, form: GradientForm) -> Gradient:
        """Return the gradient that a body holds.

        Raises:
            MalformedMessage: not one of the forms, or a shape that is not the one that
                is found.
            InvalidUpdate: NaN, infinity, or a number that float32 cannot hold.
        """
        if not isinstance(form, dict):
            return cls(parts={"": Part.of(form)})
        if not Weights.model_fields.keys() & form.keys():
            if not form or "" in form:
                raise MalformedMessage("segments of a gradient have names")
            return cls(parts={name: Part.of(part) for name, part in form.items()})
        weights = validated(Weights, form)
        part = Part.of(weights.model_weights)
        if weights.shape is not None and tuple(weights.shape) != part.shape:
            raise MalformedMessage(
                f"the gradient says shape {weights.shape} and has {list(part.shape)}"
            )
        return cls(parts={"": part}, weights=weights)

    @property
    def has_segments(self) -> bool:
        """Whether its numbers came by the name of a segment."""
        return "" not in self.parts

    def written(self, values: Mapping[str, npt.ArrayLike]) -> Any:  # noqa: ANN401 - JSON
        """Return other numbers in the form this gradient came in.

        Args:
            values: for each segment that is left, as many numbers as it had.
        """
        told = {name: self.parts[name].written(part) for name, part in values.items()}
        if self.has_segments:
            return told
        if self.weights is None:
            return told[""]
        found = {"model_weights": told[""], "shape": list(self.parts[""].shape)}
        if self.weights.samples_seen is not None:
            found["samples_seen"] = self.weights.samples_seen
        return found


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
        # its cause holds the gradient, so it is not kept
        raise _why(error) from None


def validated(form: type[F], value: object) -> F:
    """Return a JSON value as a form.

    Raises:
        MalformedMessage: as for ``parse``.
    """
    try:
        return form.model_validate(value)
    except ValidationError as error:
        raise _why(error) from None


def _why(error: ValidationError) -> MalformedMessage:
    told = []
    for found in error.errors(include_input=False, include_url=False)[:4]:
        where = ".".join(str(part) for part in found["loc"][:4])
        told.append(f"{where}: {found['msg']}")
    return MalformedMessage("; ".join(told))


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
