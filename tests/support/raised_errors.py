"""Find the errors that the functions of a package can raise and the errors that their docstrings name, by reading the source.

A function can raise the errors of its own `raise` statements and of the functions and constructors that it calls. Calls are
followed by the types in annotations of parameters, attributes, properties and results. An error that the function itself
catches does not count. Every coroutine needs a `Raises:` section, because the network or the disk can fail.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
ENTRY = re.compile(r"^(\w+(?:, \w+)*): \S")
NOT_ERRORS = frozenset({"CancelledError"})  # every coroutine can be cancelled
ANY_ERROR = frozenset({"Exception", "BaseException", "TimimError"})


@dataclass
class Class:
    """A class of the package: its methods, and the types of its attributes by their annotations."""

    name: str
    node: ast.ClassDef
    module: str
    bases: tuple[str, ...]
    methods: dict[str, Function] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A function in its module and, for a method, its class."""

    module: str
    owner: str
    node: Function

    @property
    def name(self) -> str:
        return f"{self.owner}.{self.node.name}" if self.owner else self.node.name


class Package:
    """The classes and functions of a package, given as module name → source."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.classes: dict[str, Class] = {}
        self.functions: dict[tuple[str, str], Place] = {}
        self._imported: dict[tuple[str, str], tuple[str, str]] = {}
        self._raised: dict[ast.AST, frozenset[str]] = {}
        for module, source in sources.items():
            self._read(module, ast.parse(source))

    def _read(self, module: str, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    origin = node.module.rpartition(".")[2], alias.name
                    self._imported[module, alias.asname or alias.name] = origin
        for node in tree.body:
            if isinstance(node, Function):
                self.functions[module, node.name] = Place(module, "", node)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = self._class(module, node)

    def _class(self, module: str, node: ast.ClassDef) -> Class:
        found = Class(node.name, node, module, tuple(_type_name(base) for base in node.bases))
        for item in node.body:
            if isinstance(item, Function):
                if not any(_type_name(one) == "overload" for one in item.decorator_list):
                    found.methods[item.name] = item
                    if any(_type_name(one) == "property" for one in item.decorator_list) and item.returns:
                        found.attributes[item.name] = _type_name(item.returns)
            elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                found.attributes[item.target.id] = _type_name(item.annotation)
        start = found.methods.get("__init__")
        if start is not None:
            given = {one.arg: _type_name(one.annotation) for one in _parameters(start) if one.annotation}
            for statement in ast.walk(start):
                target, value, annotation = _assignment(statement)
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                    named = annotation or (given.get(value.id, "") if isinstance(value, ast.Name) else "")
                    made = _type_name(value.func) if isinstance(value, ast.Call) else ""
                    found.attributes[target.attr] = named or made
        return found

    def lineage(self, name: str) -> Iterator[Class]:
        """Yield a class of the package and its bases in the package."""
        if name in self.classes:
            yield self.classes[name]
            for base in self.classes[name].bases:
                yield from self.lineage(base)

    def ancestors(self, error: str) -> set[str]:
        """Return the names that document an error: its own, and those of its bases."""
        return {error} | {base for one in self.lineage(error) for base in one.bases} | {one.name for one in self.lineage(error)}

    def method(self, owner: str, name: str) -> Place | None:
        for one in self.lineage(owner):
            if name in one.methods:
                return Place(one.module, one.name, one.methods[name])
        return None

    def raised(self, place: Place) -> frozenset[str]:
        """Return the names of the errors that a function can raise. "" stands for an error that is chosen at run time."""
        known = self._raised.get(place.node)
        if known is None:
            self._raised[place.node] = frozenset()  # for functions that call each other
            known = self._raised[place.node] = frozenset(self._of_body(place, place.node.body, self._scope(place)))
        return known

    def _scope(self, place: Place) -> dict[str, str]:
        scope = {one.arg: _type_name(one.annotation) for one in _parameters(place.node) if one.annotation}
        if place.owner:
            scope["self"] = scope["cls"] = place.owner
        for node in ast.walk(place.node):
            target, value, annotation = _assignment(node)
            if isinstance(target, ast.Name) and target.id not in scope:
                scope[target.id] = annotation or (self._type(place, value, scope) if value is not None else "")
        return scope

    def _of_body(self, place: Place, body: Iterable[ast.AST], scope: Mapping[str, str]) -> Iterator[str]:
        for node in body:
            if isinstance(node, Function | ast.Lambda | ast.ClassDef):
                continue  # their bodies do not run here
            if isinstance(node, ast.Try):
                caught = {name for one in node.handlers for name in _caught(one) if not _raises_again(one)}
                for name in self._of_body(place, node.body, scope):
                    if not caught & (self.ancestors(name) | ANY_ERROR if name else ANY_ERROR):
                        yield name
                yield from self._of_body(place, [*node.handlers, *node.orelse, *node.finalbody], scope)
                continue
            if isinstance(node, ast.Raise) and node.exc is not None:
                yield from self._of_raise(node.exc)
                yield from self._of_body(place, ast.iter_child_nodes(node.exc), scope)
                continue
            if isinstance(node, ast.Call) and (called := self._called(place, node.func, scope)) is not None:
                yield from self.raised(called)
            yield from self._of_body(place, ast.iter_child_nodes(node), scope)

    def _of_raise(self, error: ast.expr) -> Iterator[str]:
        made = _type_name(error.func) if isinstance(error, ast.Call) else _type_name(error)
        yield made if made in self.classes or made.endswith("Error") else ""

    def _called(self, place: Place, func: ast.expr, scope: Mapping[str, str]) -> Place | None:
        if isinstance(func, ast.Name):
            origin = self._imported.get((place.module, func.id), (place.module, func.id))
            function = self._function(*origin)
            return function or self.method(func.id, "__init__")
        if isinstance(func, ast.Attribute):
            if isinstance(func.value, ast.Call) and _type_name(func.value.func) == "super":
                bases = self.classes[place.owner].bases if place.owner else ()
                return next((found for base in bases if (found := self.method(base, func.attr))), None)
            return self.method(self._type(place, func.value, scope), func.attr)
        return None

    def _function(self, module: str, name: str) -> Place | None:
        for (there, named), place in self.functions.items():
            if named == name and there.rpartition(".")[2] == module.rpartition(".")[2]:
                return place
        return None

    def _type(self, place: Place, value: ast.expr, scope: Mapping[str, str]) -> str:
        """Return the name of an expression's type, "" if the annotations do not give it."""
        match value:
            case ast.Await():
                return self._type(place, value.value, scope)
            case ast.Name():
                return scope.get(value.id, value.id if value.id in self.classes else "")
            case ast.Attribute():
                lineage = self.lineage(self._type(place, value.value, scope))
                return next((one.attributes[value.attr] for one in lineage if value.attr in one.attributes), "")
            case ast.Call():
                if _type_name(value.func) in self.classes:
                    return _type_name(value.func)
                called = self._called(place, value.func, scope)
                result = _type_name(called.node.returns) if called is not None and called.node.returns else ""
                return called.owner if called is not None and result == "Self" else result
            case _:
                return ""


def undocumented(package: Package, place: Place) -> list[str]:
    """Return a line for each error that a function can raise and that no `Raises:` of the function or its class names."""
    raised = package.raised(place)
    own = documented(ast.get_docstring(place.node) or "")
    of_class: set[str] = set()
    for one in package.lineage(place.owner):
        of_class |= documented(ast.get_docstring(one.node) or "")
    if place.node.name in ("__init__", "__call__", "__aiter__", "__anext__", "__await__", "__aenter__"):
        own |= of_class  # the class may document these methods
    if not own:
        can = isinstance(place.node, ast.AsyncFunctionDef) or bool(raised)
        return [f"{place.name} has no Raises section"] if can else []
    missing = [name for name in raised - NOT_ERRORS if name and not (own | of_class) & package.ancestors(name)]
    return [f"{place.name} does not name {name}" for name in sorted(missing)]


def documented(docstring: str) -> set[str]:
    """Return the names in the `Raises:` section of a docstring."""
    _, _, section = docstring.partition("\nRaises:\n")
    names: set[str] = set()
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        if (entry := ENTRY.match(line.removeprefix("    "))) is not None:
            names |= set(entry[1].split(", "))
    return names


def _parameters(node: Function) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _assignment(node: ast.AST) -> tuple[ast.expr | None, ast.expr | None, str]:
    if isinstance(node, ast.AnnAssign):
        return node.target, node.value, _type_name(node.annotation)
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return node.targets[0], node.value, ""
    if isinstance(node, ast.withitem):
        return node.optional_vars, node.context_expr, ""
    return None, None, ""


def _type_name(node: ast.expr | None) -> str:
    """Return the class that an annotation names: X for `X | None`, `module.X` and `X[Y]`."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Constant(value=str()):
            return str(node.value)
        case ast.Subscript():
            return _type_name(node.value)
        case ast.BinOp():
            return _type_name(node.left)
        case _:
            return ""


def _caught(handler: ast.ExceptHandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {_type_name(kind) or "BaseException" for kind in kinds}


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))
