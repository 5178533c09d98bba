"""Where the constants of a graph come from: what was folded between them and the source.

``canonicalize`` computes with constants: a transposed weight, the gate matrices of an LSTM cut out
of its parameters, a BatchNorm folded into a convolution.  To hand weights back to the source that
must be undone, so it is written down here as a small expression a constant.  Undoing it is
:mod:`cimc.training.unfold`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from cimc.ir import rewrite
from cimc.ops.table import OPERATORS

if TYPE_CHECKING:
    from cimc.ir.network import Network

#: Operators that keep every element of their first operand, once.
ONE_TO_ONE = frozenset(
    {"reshape", "transpose", "squeeze", "unsqueeze", "flatten", "identity", "cast"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A parameter of the source.

    Attributes:
        name: In the source: of the initializer, of the entry of the ``state_dict``.
        shape: Its shape there.
        dtype: Its element type there.
        value: Its value there; None where it is not needed to undo what was folded.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    value: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A value that is not a parameter of the source."""

    value: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """The result of an operator on constants.

    Attributes:
        function: What was called: an operator, or ``operator.getitem``.
        name: Of the operator; '' for ``getitem``.
        operands: Origins, None for those omitted, an index for ``getitem``.
        attributes: Its keyword arguments.
    """

    function: Callable[..., Any]
    name: str
    operands: tuple[Origin | int | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One part of an :class:`Affine`: ``factor * origin``.

    Attributes:
        origin: Its shape broadcasts to that of the constant.
        factor: float64, likewise.
    """

    origin: Origin
    factor: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A constant that is ``sum(factor * origin) + rest``.

    ``y = BatchNorm(Conv(x, w, b))`` folded: the weight is ``s * w``, the bias ``s * b + beta -
    s * mean`` with ``s = gamma / sqrt(var + epsilon)``; terms ``b`` and ``beta``, in this order.

    Attributes:
        terms: What can take a change of the constant, the preferred one first; none: the source
            has nothing of the kind.
        rest: Everything else, float64, broadcasts with the constant; None: 0.
        fixed: Names of the source parameters in ``factor`` and ``rest``.
    """

    terms: tuple[Term, ...]
    rest: Tensor | None = None
    fixed: tuple[str, ...] = ()


Origin = Parameter | Constant | Computed | Affine
#: What a network records of a constant; one without record is the source parameter itself.
Fold = Computed | Affine

#: A constant added to a product for which the source has no bias.
NOT_IN_SOURCE = Affine(())


def parameters(origin: Origin) -> Iterator[Parameter]:
    """Yield the source parameters that an origin can be traced to."""
    if isinstance(origin, Parameter):
        yield origin
    elif isinstance(origin, Computed):
        for operand in origin.operands:
            if operand is not None and not isinstance(operand, int):
                yield from parameters(operand)
    elif isinstance(origin, Affine):
        for term in origin.terms:
            yield from parameters(term.origin)


def origin_of(attribute: str, network: Network) -> Origin | None:
    """Return where a constant of a network's graph comes from; None: not from the source."""
    if attribute in network.folds:
        return network.folds[attribute]
    if attribute not in network.parameter_names:
        return None
    value = rewrite.attributes(network.graph)[attribute]
    name = network.parameter_names[attribute]
    return Parameter(name, tuple(value.shape), value.dtype, value)


def replaced(network: Network, new: Mapping[str, str | None]) -> Network:
    """Return the network with the origins of constants that take the place of others.

    Args:
        network: With the constants that are replaced.
        new: Their names, to that of the constant in the network's graph that each replaces; None:
            it replaces none.
    """
    names, folds = dict(network.parameter_names), dict(network.folds)
    for attribute, old in new.items():
        if old is None:
            folds[attribute] = NOT_IN_SOURCE
            continue
        if old in names:
            names[attribute] = names[old]
        origin = origin_of(old, network)
        if isinstance(origin, Parameter):  # the new constant may have another shape
            origin = Affine((Term(origin, torch.ones((), dtype=torch.float64)),))
        if isinstance(origin, Computed | Affine):
            folds[attribute] = origin
    return replace(network, parameter_names=names, folds=folds)


class Recorder:
    """Writes down what is folded, while it is folded.

    Args:
        tensors: Constants of the graph; looked at when an origin is asked for.
        names: Graph attribute to source parameter, likewise.
        folds: What is known already.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], names: Mapping[str, str], folds: Mapping[str, Fold]
    ) -> None:
        self._tensors, self._names = tensors, names
        self._folds = dict(folds)
        self._parts: dict[Node, Origin] = {}

    def folds(self, kept: Mapping[str, object]) -> dict[str, Fold]:
        """Return the folds of the constants kept, without values that are not needed."""
        return {k: _lean(f) for k, f in self._folds.items() if k in kept}

    def origin(self, operand: Node) -> Origin:
        """Return where a constant operand comes from."""
        if operand.op != "get_attr":
            return self._parts[operand]
        attribute = str(operand.target)
        if attribute in self._folds:
            return self._folds[attribute]
        value = self._tensors[attribute]
        if attribute not in self._names or not value.is_floating_point():
            return Constant(value)
        return Parameter(self._names[attribute], tuple(value.shape), value.dtype, value)

    def computed(self, node: Node, value: object, new: Node | None) -> None:
        """Record a call on constants that was made, and the constant it became.

        Args:
            node: The call.
            value: Its result.
            new: Reads the constant; None: the result is a tuple that calls of ``getitem`` take
                apart.
        """
        operands: Any = map_arg(node.args, cast("Any", self.origin))
        function = cast("Callable[..., Any]", node.target)
        name = rewrite.operator_name(node)
        made = Computed(function, name, tuple(operands), dict(node.kwargs))
        if new is None:
            self._parts[node] = made
        elif isinstance(value, Tensor) and value.is_floating_point():
            self._folds.setdefault(str(new.target), made)

    def names(self, *operands: Node) -> tuple[str, ...]:
        """Return the source parameters that constants come from."""
        return tuple(p.name for n in operands for p in parameters(self.origin(n)))

    def scaled(self, new: Node, old: Node, factor: Tensor, fixed: tuple[str, ...]) -> None:
        """Record a weight that is ``old * factor``."""
        self._folds[str(new.target)] = Affine((Term(self.origin(old), factor),), None, fixed)

    def shifted(
        self,
        new: Node,
        old: Node | None,
        scale: Tensor,
        shift: Tensor,
        added: tuple[Node, int] | None,
        fixed: tuple[str, ...],
    ) -> None:
        """Record a bias that is ``old * scale + shift``.

        Args:
            new: Reads it.
            old: Bias before; None: there was none.
            scale: float64 ``(channels,)``.
            shift: float64 ``(channels,)``.
            added: Constant of one value a channel that is part of the shift, and its sign there;
                None: none is.
            fixed: Names of the source parameters in scale and shift otherwise.
        """
        terms: tuple[Term, ...] = ()
        rest = shift
        if old is not None:
            before = self.origin(old)
            if isinstance(before, Affine):
                terms = tuple(Term(t.origin, t.factor * scale) for t in before.terms)
                rest = rest if before.rest is None else rest + before.rest * scale
                fixed = before.fixed + fixed
            elif next(parameters(before), None) is None:  # exporters write zeros
                rest = rest + self._tensors[str(old.target)].double() * scale
            else:
                terms = (Term(before, scale),)
        if added is not None and self.names(added[0]):
            node, sign = added
            value = self._tensors[str(node.target)]
            origin = _one_a_channel(self.origin(node), tuple(value.shape), len(shift))
            rest = rest - sign * value.double().reshape(-1).expand(len(shift))
            terms += (Term(origin, torch.full_like(shift, sign)),)
        self._folds[str(new.target)] = Affine(terms, rest, fixed)


def _one_a_channel(origin: Origin, shape: tuple[int, ...], channels: int) -> Origin:
    """Return a constant of one value a channel, or one for all, as ``(channels,)``."""
    if shape == (channels,):
        return origin
    reshape, expand = OPERATORS["reshape"].function, OPERATORS["expand"].function
    flat = Computed(reshape, "reshape", (origin, Constant(torch.tensor([-1]))))
    return Computed(expand, "expand", (flat, Constant(torch.tensor([channels]))))


def _lean(fold: Any) -> Any:
    """Return a fold without the values of parameters that its constant holds entirely."""
    if isinstance(fold, Parameter):
        return replace(fold, value=None)
    if isinstance(fold, Computed) and fold.name in ONE_TO_ONE:
        first, *others = fold.operands
        return replace(fold, operands=(_lean(first), *others))
    if isinstance(fold, Affine) and len(fold.terms) == 1 and fold.rest is None:
        (term,) = fold.terms
        if bool((term.factor != 0).all()):
            return replace(fold, terms=(Term(_lean(term.origin), term.factor),))
    return fold
