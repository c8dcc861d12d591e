"""qccl.activations: a context in which autograd saves quantized copies.

Autograd asks `_pack` for each tensor that a node saves and hands what that returned to unpack() in backward, perhaps several times
(retain_graph), perhaps never, on a thread of its own. What is packed belongs to the graph: its codes are given up when the last node that
holds them goes, by the end of backward, an exception, or because the graph was dropped.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch

from ._books import Books
from ._layout import Layout, elements_of
from ._packed import Codes, Kept, Quantized, storage_of
from ._plan import Plan, PlanSpec
from ._pool import Format
from ._report import Report


class activations:  # noqa: N801: a context manager, named like torch.no_grad
    """Context in which what autograd saves for the backward pass is kept in few bits. The forward pass stays exact.

    plan: a codec ("int8", "int6", "int5", "int4", "fp8e4m3", "fp8e5m2", "fp4e2m1", "bf16"; "none" only counts), a dict of codecs by dtype
        (others are kept as they are), a function of the tensor that returns a codec, or None to keep it, or what was solved for a budget
        (qccl.measure). A function and a solved plan decide on everything but parameters, leaves and types that no codec takes.
    block: elements that share a scale: 32, 64, ..., 4096; 128 unless told. scale: "float32", "bfloat16" (unless told) or "e8m0". A solved
        plan has its own.
    min_elems: smaller tensors are kept as they are.
    keep: a function of the tensor; true keeps it as it is.

    Reusable and reentrant, by several threads; what was saved inside may be read after the context was left. As with
    torch.autograd.graph.saved_tensors_hooks, which this is, only the innermost context counts.
    """

    def __init__(
        self,
        plan: PlanSpec = "int8",
        *,
        block: int | None = None,
        scale: str | None = None,
        min_elems: int = 4096,
        keep: Callable[[torch.Tensor], bool] | None = None,
    ) -> None:
        self._plan = Plan(plan, block, scale, min_elems, keep)
        self._books = Books()
        books, choose = self._books, self._plan  # what is packed refers to these, not to the context

        def pack(tensor: torch.Tensor) -> Quantized | Kept:
            format = choose(tensor)
            return _quantize(books, tensor, format) if isinstance(format, Format) else Kept(books, tensor, format)

        self._hooks = torch.autograd.graph.saved_tensors_hooks(pack, operator.methodcaller("unpack"))

    def __enter__(self) -> activations:
        self._plan.enter()
        self._hooks.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.__exit__(*exception)
        self._plan.leave(exception[0] is not None)

    def report(self) -> Report:
        """What was kept since the context was made or reset, by reason."""
        return self._books.report()

    def reset(self) -> None:
        """Begins a new report. What is still held counts in it once it is read."""
        self._books.reset()


def _quantize(books: Books, tensor: torch.Tensor, format: Format) -> Quantized:
    layout = Layout.of(tensor)
    storage = storage_of(tensor)
    key = elements_of(tensor, layout, storage), format
    codes = books.find(key)
    if codes is None:
        codes = Codes(books, key, tensor, layout, format, storage)
    return Quantized(codes, layout)
