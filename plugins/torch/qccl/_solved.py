"""Plans that know each saved tensor by its place: which of those from the same kind of operation it is, in the order in which forward saves.

That is all that a hook can tell tensors of different layers apart by, and it is the same in every step of a model that does the same in every
step, whatever the batch and its length. What is not quantized because of its contents, or because the caller keeps it, has a place as well.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import torch


class Kind(NamedTuple):
    """What a saved tensor looks like, but for its sizes."""

    operation: str  # that computed its values: the name of its grad_fn, or of that of what it is a view of; "" for data
    dtype: torch.dtype
    dims: int


def origin(tensor: torch.Tensor) -> torch.Tensor:
    """Of the values: what the tensor is a view of, or itself."""
    base = tensor._base
    return tensor if base is None else base


def kind_of(tensor: torch.Tensor) -> Kind:
    node = origin(tensor).grad_fn
    return Kind("" if node is None else node.name(), tensor.dtype, tensor.dim())


@dataclass(frozen=True)
class PlannedRow:
    """Tensors of one kind and size, in the order of their layers."""

    name: str
    codecs: tuple[str, ...]  # "none" keeps a tensor as it is
    exact_bytes: int
    bytes: int
    error: float  # of the gradient, relative, that they are predicted to add


@dataclass(frozen=True, eq=False)
class SolvedPlan:
    """What qccl.measure(...).solve(budget) returns, for qccl.activations. Plain data: it can be copied, pickled and sent to others.

    What it does not decide about is kept (in a report: "not in the plan"): statistics, data, what was small when it was measured, and kinds
    of tensors that were not there then, as under another autocast. A context that is entered once for several micro-batches begins with the
    first place again when all have been gone through."""

    codecs: dict[Kind, tuple[str | None, ...]]  # in the order in which forward saves tensors of the kind; None: not decided about
    block: int
    scale: str
    rows: tuple[PlannedRow, ...]
    budget_bytes: int
    bytes: int  # of the batch that was measured
    predicted_error: float  # norm of the gradient's error over that of the gradient

    def as_dict(self) -> dict:
        rows = [{**vars(row), "codecs": list(row.codecs)} for row in self.rows]
        places = [{**kind._asdict(), "dtype": str(kind.dtype), "codecs": list(codecs)} for kind, codecs in self.codecs.items()]
        return {
            "block": self.block, "scale": self.scale, "budget_bytes": self.budget_bytes, "bytes": self.bytes,
            "predicted_error": self.predicted_error, "rows": rows, "places": places,
        }  # fmt: skip

    def __str__(self) -> str:
        width = max([len("saved tensors"), *(len(row.name) for row in self.rows)])
        lines = [f"{'saved tensors':<{width}} {'tensors':>8} {'bytes exact':>16} {'bytes planned':>16} {'error':>8}  codecs"]
        for row in self.rows:
            counts = ", ".join(f"{row.codecs.count(codec)} {codec}" for codec in sorted(set(row.codecs)))
            lines.append(f"{row.name:<{width}} {len(row.codecs):>8,} {row.exact_bytes:>16,} {row.bytes:>16,} {row.error:>8.4f}  {counts}")
        tensors, exact_bytes = sum(len(row.codecs) for row in self.rows), sum(row.exact_bytes for row in self.rows)
        lines.append(f"{'all':<{width}} {tensors:>8,} {exact_bytes:>16,} {self.bytes:>16,} {self.predicted_error:>8.4f}")
        return "\n".join(lines)


class Placed:
    """A plan that goes by places."""

    def enter(self) -> None:
        """A context was entered."""

    def leave(self, failed: bool) -> None:
        """It was left, by an exception or not."""

    def after_forward(self) -> None:
        """Between the passes of a measurement."""

    def codec(self, tensor: torch.Tensor) -> str | None:
        """Of every saved tensor that could be quantized, whatever its contents, once and in order; None: not decided about."""
        raise NotImplementedError


class KeepAll(Placed):
    def codec(self, tensor: torch.Tensor) -> str | None:
        return "none"


class Places(threading.local, Placed):
    """Where each thread is in its forward pass. One context may be inside another one of the same plan."""

    def __init__(self, plan: SolvedPlan) -> None:
        self._codecs = plan.codecs
        self._outer: list[dict[Kind, int]] = []
        self._next: dict[Kind, int] = {}
        self._warned = False

    def enter(self) -> None:
        self._outer.append(self._next)
        self._next = {}

    def leave(self, failed: bool) -> None:
        saved, self._next = self._next, self._outer.pop()
        other = [kind for kind, count in saved.items() if count % len(self._codecs[kind])]
        if other and not failed and not self._warned:
            self._warned = True
            warnings.warn(
                f"qccl.activations: forward saved {saved[other[0]]} tensors of {other[0].operation} where the plan was measured with "
                f"{len(self._codecs[other[0]])}, so that codecs may be those of other layers; is another path taken through the model?",
                RuntimeWarning,
                stacklevel=4,
            )

    def codec(self, tensor: torch.Tensor) -> str | None:
        kind = kind_of(tensor)
        codecs = self._codecs.get(kind)
        if codecs is None:
            return None
        place = self._next.get(kind, 0)
        self._next[kind] = place + 1
        return codecs[place % len(codecs)]
