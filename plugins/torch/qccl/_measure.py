"""qccl.measure: how much each tensor that a model saves matters for its gradient, so that a budget can be spent where it does most.

What is measured is the gradient of one batch with one saved tensor in the fewest bits and all others as they are, against the exact one. How
wrong the gradient is with more bits follows from how much closer the tensor's own values then are: small errors of a tensor and of the
gradient are proportional. Errors of different tensors are taken to be independent, so that their squares add up.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Sequence

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from . import _plan
from ._activations import activations
from ._layout import Layout, elements_of
from ._measured import BITS, Group, Measured
from ._packed import storage_of
from ._pool import Format, coded, pool_of
from ._solved import Kind, kind_of, origin

_LOG = logging.getLogger("qccl")

Choice = Callable[[torch.Tensor], "str | None"]


def measure(
    step: Callable[[], torch.Tensor],
    model: torch.nn.Module,
    *,
    by: str = "tensor",
    codecs: Sequence[str] = ("int4", "int5", "int6", "int8", "bf16"),
    block: int = 128,
    scale: str = "bfloat16",
    min_elems: int = 4096,
    keep: Callable[[torch.Tensor], bool] | None = None,
) -> Measured:
    """Measures what quantizing each saved tensor does to the gradient of `model`'s parameters; solve(budget) of the result is a plan for
    qccl.activations.

    step: runs forward on one batch, the same each time, and returns the loss. Gradients in .grad, buffers of the model and the states of
        random generators are as before when measure() returns.
    by: "tensor" takes one forward and backward pass for each saved tensor, "kind" one for all of the same operation and sizes, which then
        get the same codec in every layer. Three passes come on top.
    codecs: to choose from; a tensor may also stay as it is. block, scale, min_elems, keep: as for qccl.activations.

    It takes the memory of exact training with this batch and two sets of gradients. A plan holds for other batches, too; its bytes are
    those of this one. Model parts on several GPUs are measured together; with DistributedDataParallel measure the module inside."""
    if by not in ("tensor", "kind"):
        raise ValueError(f"qccl.measure: by is 'tensor' or 'kind', not {by!r}")
    unknown = [codec for codec in codecs if codec not in BITS]
    if unknown or not codecs:
        raise ValueError(f"qccl.measure: codecs {list(codecs)!r}; take some of {', '.join(BITS)}")
    formats = {codec: format for codec, format in _plan.formats(block, scale).items() if codec in codecs}
    passes = _Passes(step, model, block, scale)
    try:
        recorder = _Recorder(formats, by == "kind", min_elems, keep)
        exact = passes.gradient(recorder)
        if not exact.is_usable:
            raise ValueError(
                "qccl.measure: the gradient of step() is 0, infinite or not a number; measure on a batch that the model learns from"
            )
        noise = exact.error_of(passes.gradient(lambda tensor: None))
        if not noise < 0.1:
            raise ValueError(
                f"qccl.measure: two gradients of step() differ by {noise:.2g} of their norm, with nothing quantized; it must do the same "
                "each time: on the same batch, with the same weights and no state of its own"
            )
        places = _without(recorder.places, _alive_elsewhere(passes, recorder.places, formats))
        groups = list(dict.fromkeys(group for _, group in places if group is not None))
        if not groups:
            raise ValueError(
                "qccl.measure: step() saves nothing that codes would make smaller: qccl.activations('none').report() says what it saves"
            )
        for done, group in enumerate(groups):
            codec = group.smallest(formats)
            alone = _Replay(recorder.places, lambda each, _, group=group, codec=codec: codec if each is group else None)
            # The noise is no error of the codes; between two gradients it is there with and without them.
            group.gradient_error = max(0.0, exact.error_of(passes.gradient(alone)) ** 2 - noise**2)
            _LOG.info("qccl.measure: %d of %d: %s", done + 1, len(groups), group.name)
        return Measured(places, formats, noise)
    finally:
        passes.restore()


class _Gradient:
    """Of all parameters; None where the loss does not depend on one."""

    def __init__(self, parts: Sequence[torch.Tensor | None]) -> None:
        self._parts = parts
        self._square = sum(float(part.float().square().sum()) for part in parts if part is not None)
        self.is_usable = 0 < self._square < math.inf

    def error_of(self, other: _Gradient) -> float:
        """Norm of the difference over the norm."""
        pairs = [(a, b) for a, b in zip(self._parts, other._parts) if a is not None and b is not None]
        return math.sqrt(sum(float((a.float() - b.float()).square().sum()) for a, b in pairs) / self._square)


class _Passes:
    """Forward and backward of the same batch, again and again, from the same state."""

    def __init__(self, step: Callable[[], torch.Tensor], model: torch.nn.Module, block: int, scale: str) -> None:
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            raise TypeError("qccl.measure: measure the module inside of DistributedDataParallel (model.module), in step() as well")
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise ValueError("qccl.measure: the model has no parameter that requires a gradient")
        self._step, self._block, self._scale = step, block, scale
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
        self._random = torch.get_rng_state()
        self._random_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def gradient(self, choose: Choice, after_forward: Callable[[], None] = lambda: None) -> _Gradient:
        self.restore()
        with activations(choose, block=self._block, scale=self._scale):
            loss = self._step()
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise TypeError(f"qccl.measure: step() must return the loss, a tensor of one element with a gradient, not {loss!r}")
        after_forward()
        return _Gradient(torch.autograd.grad(loss, self._parameters, allow_unused=True))

    def restore(self) -> None:
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)
        torch.set_rng_state(self._random)
        if self._random_cuda:
            torch.cuda.set_rng_state_all(self._random_cuda)


class _Recorder:
    """The plan of an exact pass, in which every saved tensor is held, so that no two storages have the same number."""

    def __init__(self, formats: dict[str, Format], by_kind: bool, min_elems: int, keep: Callable[[torch.Tensor], bool] | None) -> None:
        self.places: list[tuple[Kind, Group | None]] = []
        self._formats, self._by_kind, self._min_elems, self._keep = formats, by_kind, min_elems, keep
        self._groups: dict[Hashable, Group] = {}
        self._seen: set[tuple] = set()

    def __call__(self, tensor: torch.Tensor) -> None:
        kind = kind_of(tensor)
        source = origin(tensor)
        kept = _plan.better_not(tensor, source, source.grad_fn, self._min_elems) or (self._keep is not None and self._keep(tensor))
        self.places.append((kind, None if kept else self._group(kind, tensor)))

    def _group(self, kind: Kind, tensor: torch.Tensor) -> Group:
        storage = storage_of(tensor)
        number = storage._cdata
        sizes = tuple(tensor.shape)
        group = self._groups.get(number)
        if group is None:
            group = self._groups.get((kind, sizes)) if self._by_kind else None
            group = self._groups[number] = group or Group(kind, sizes)
            group.storages[number] = storage.nbytes()
            if self._by_kind:
                self._groups.setdefault((kind, sizes), group)
        layout = Layout.of(tensor)
        elements = elements_of(tensor, layout, storage)
        if elements not in self._seen:
            self._seen.add(elements)
            self._add(group, tensor, layout)
        return group

    def _add(self, group: Group, tensor: torch.Tensor, layout: Layout) -> None:
        elems, exact_bytes = tensor.numel(), tensor.numel() * tensor.element_size()
        smaller = {codec for codec, format in self._formats.items() if coded(elems, format).bytes < exact_bytes}
        if group.elems:
            smaller &= group.squared_errors.keys()
        group.elems.append(layout.elems)
        group.squared_errors = {
            codec: group.squared_errors.get(codec, 0.0) + _squared_error(tensor, layout, format)
            for codec, format in self._formats.items()
            if codec in smaller
        }


def _squared_error(tensor: torch.Tensor, layout: Layout, format: Format) -> float:
    """Of the values, when they come back from the pool."""
    with torch.no_grad():
        pool = pool_of(tensor.device)
        number = pool.save(layout.row(tensor), layout.elems, format, pool.current_stream())
        try:
            got = layout.empty(tensor.dtype, tensor.device)
            pool.read(number, got, layout.elems, format)
        finally:
            pool.free(number)
        return float((got.float() - tensor.float()).square().sum())


class _Replay:
    """The plan of a later pass: what `choose` says of each place's group."""

    def __init__(self, places: list[tuple[Kind, Group | None]], choose: Callable[[Group | None, torch.Tensor], str | None]) -> None:
        self._places, self._choose = iter(places), choose

    def __call__(self, tensor: torch.Tensor) -> str | None:
        kind, group = next(self._places, (None, None))
        if kind != kind_of(tensor):
            raise RuntimeError(f"qccl.measure: step() does not save the same tensors each time: {kind_of(tensor)} instead of {kind}")
        return self._choose(group, tensor)


def _alive_elsewhere(passes: _Passes, places: list[tuple[Kind, Group | None]], formats: dict[str, Format]) -> set[Group]:
    """Groups some of whose memory is held after forward although all are quantized: codes would save nothing."""
    held: list[tuple[Group, StorageWeakRef]] = []
    alive: set[Group] = set()

    def choose(group: Group | None, tensor: torch.Tensor) -> str | None:
        if group is None or not group.squared_errors:
            return None
        held.append((group, StorageWeakRef(storage_of(tensor))))
        return group.smallest(formats)

    passes.gradient(_Replay(places, choose), lambda: alive.update(group for group, storage in held if not storage.expired()))
    return alive


def _without(places: list[tuple[Kind, Group | None]], alive: set[Group]) -> list[tuple[Kind, Group | None]]:
    """The same with None for groups that codes do not help."""
    return [(kind, None if group in alive or (group is not None and not group.squared_errors) else group) for kind, group in places]
