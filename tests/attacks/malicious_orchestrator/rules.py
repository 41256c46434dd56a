# SPDX-License-Identifier: Apache-2.0
"""Rules of the product, found by the sentence with which they refuse, and taken away.

A rule is one ``raise`` in the code, or one ``require(…)`` of the ledger's. ``Rule``
finds it by a part of its sentence, wherever it stands: nothing here names a file, so
that a rule which moves is found again and one which is gone fails its test. ``removed``
takes exactly that statement out of the running code (the function's compiled code is
replaced, so whoever holds the function sees it) and puts it back.

It does NOT change conditions, arguments or anything around the statement. Rules that
are no ``raise`` (a signature check inside a library, a value that is kept) are
``Swap``: a function that is replaced by one without the rule.

Rule that always holds: a sentence that fits no statement, or two, is an error.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import fedxdr
from fedxdr.core import errors

ROOMS = (
    "core",
    "crypto",
    "secagg",
    "ledger",
    "federation",
    "parties",
    "storage",
    "transport",
    "api",
)

_REQUIRING = ("require", "at")
"""What the ledger's rules call ``steps.require``, and that with step and height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One ``raise`` in the product, or one ``require``.

    Attributes:
        module: where it stands.
        function: in which function, with its class.
        error: the class that is raised, empty where it is not named.
        sentence: what it says; ``{}`` for what is filled in.
        line: in the module.
    """

    module: str
    function: str
    error: str
    sentence: str
    line: int

    @property
    def code(self) -> str:
        """The stable code of the error."""
        return getattr(errors, self.error).code


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, by what it says when it refuses.

    Attributes:
        name: what must hold, in few words.
        says: part of the sentence; ``{}`` for what is filled in.
        within: part of ``module.function``, where one sentence stands twice.
    """

    name: str
    says: str
    within: str = ""

    @property
    def place(self) -> Place:
        """Where it stands.

        Raises:
            LookupError: nowhere, or in two places.
        """
        found = [
            place
            for place in _places()
            if self.says in place.sentence
            and self.within in f"{place.module}.{place.function}"
        ]
        if len(found) != 1:
            raise LookupError(f"{self.says!r}: stands in {found}")
        return found[0]

    @property
    def where(self) -> str:
        """``module.function``, for people."""
        return f"{self.place.module}.{self.place.function}"

    @property
    def code(self) -> str:
        """The code of the error it raises."""
        return self.place.code

    def matches(self, sentence: str) -> bool:
        """Return whether a refusal is this rule's."""
        at = 0
        for piece in self.says.split("{}"):
            at = sentence.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return True

    @contextmanager
    def removed(self) -> Iterator[None]:
        """Run without this rule."""
        place = self.place
        function = _function(place.module, place.function)
        kept, gone = function.__code__, _gone.setdefault(function, [])
        gone.append(place.line)
        function.__code__ = _without(place, function, gone)
        try:
            yield
        finally:
            gone.remove(place.line)
            function.__code__ = kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A rule that is not one ``raise``: who keeps it, and how it is without.

    Attributes:
        name: what must hold, in few words.
        where: ``module.function``, or ``module.Class.method``.
        without: takes the true function and returns the one without the rule.
        says: part of the sentence with which it refuses.
        code: of the error.
    """

    name: str
    where: str
    without: Callable[[Callable[..., Any]], Callable[..., Any]]
    says: str
    code: str

    def matches(self, sentence: str) -> bool:
        """Return whether a refusal is this rule's."""
        return bool(self.says) and self.says in sentence

    @contextmanager
    def removed(self) -> Iterator[None]:
        """Run without this rule."""
        owner, name = _owner(self.where)
        kept = inspect.getattr_static(owner, name)
        setattr(owner, name, self.without(getattr(owner, name)))
        try:
            yield
        finally:
            setattr(owner, name, kept)


AnyRule = Rule | Swap


@contextmanager
def removed(rules: tuple[AnyRule, ...]) -> Iterator[None]:
    """Run without these rules."""
    with ExitStack() as stack:
        for rule in rules:
            stack.enter_context(rule.removed())
        yield


# Where rules stand.


@cache
def _places() -> tuple[Place, ...]:
    found: list[Place] = []
    for name in _modules():
        tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        _collect(tree, name, (), found)
    return tuple(found)


def _modules() -> Iterator[str]:
    for room in ROOMS:
        package = importlib.import_module(f"{fedxdr.__name__}.{room}")
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield module.name


def _collect(
    node: ast.AST, module: str, path: tuple[str, ...], found: list[Place]
) -> None:
    for child in ast.iter_child_nodes(node):
        below = path
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            below = (*path, child.name)
        required = _required(child)
        if required is not None:
            found.append(
                Place(
                    module=module,
                    function=".".join(path),
                    error=errors.VerificationFailed.__name__,
                    sentence=required,
                    line=child.lineno,
                )
            )
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
            raised = child.exc.func
            found.append(
                Place(
                    module=module,
                    function=".".join(path),
                    error=raised.id if isinstance(raised, ast.Name) else "",
                    sentence=_sentence(child.exc),
                    line=child.lineno,
                )
            )
        _collect(child, module, below, found)


def _required(node: ast.AST) -> str | None:
    """Return the sentence of a ``require(holds, sentence)``, None if it is none."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id=name), args=[_, sentence])) if (
            name in _REQUIRING
        ):
            return _text([sentence])
    return None


def _sentence(call: ast.Call) -> str:
    """Return the text of an error, ``{}`` where something is filled in."""
    return _text(call.args)


def _text(arguments: Iterable[ast.expr]) -> str:
    parts: list[str] = []
    for argument in arguments:
        match argument:
            case ast.Constant(value=str(text)):
                parts.append(text)
            case ast.JoinedStr(values=values):
                parts += [
                    str(v.value) if isinstance(v, ast.Constant) else "{}"
                    for v in values
                ]
            case _:
                parts.append("{}")
    return "".join(parts)


# Taking one out.


_gone: dict[FunctionType, list[int]] = {}
"""Lines that are taken out of a function at present."""


def _without(place: Place, function: FunctionType, lines: list[int]) -> Any:
    module = importlib.import_module(place.module)
    (definition,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == function.__name__
        and node.lineno <= place.line <= (node.end_lineno or 0)
    )
    definition.decorator_list = []
    definition.args.defaults, definition.args.kw_defaults = [], []
    definition.args.kw_defaults = [None] * len(definition.args.kwonlyargs)
    _Remover(lines).visit(definition)
    future = ast.ImportFrom(
        module="__future__", names=[ast.alias(name="annotations")], level=0
    )
    tree = ast.fix_missing_locations(
        ast.Module(body=[future, definition], type_ignores=[])
    )
    names: dict[str, Any] = {}
    exec(compile(tree, module.__file__ or "", "exec"), names)  # noqa: S102 - our code
    code = names[function.__name__].__code__
    if code.co_freevars != function.__code__.co_freevars:
        raise LookupError(f"{place.function} is a closure: use Swap")
    return code


class _Remover(ast.NodeTransformer):
    def __init__(self, lines: list[int]) -> None:
        self._lines = lines

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        return ast.Pass() if node.lineno in self._lines else node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return ast.Pass() if node.lineno in self._lines else node


def _owner(path: str) -> tuple[Any, str]:
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1]
    raise LookupError(path)


def _function(module: str, path: str) -> FunctionType:
    found: ModuleType | Any = importlib.import_module(module)
    for name in path.split("."):
        found = inspect.getattr_static(found, name)
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, FunctionType):
        return found
    raise LookupError(f"{module}.{path} is no function: use Swap")
