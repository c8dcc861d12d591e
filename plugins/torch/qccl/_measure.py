"""qccl.measure: how much each tensor that a model saves matters for its gradient, so that a budget can be spent where it does most.

What is measured is the gradient of one batch with one saved tensor in few bits and all others as they are, against the exact one: in the
fewest bits, and in 8 where that can be told from noise. Widths between follow from how close the tensor's own values come with them. Errors
of different tensors are taken to be independent, so that their squares add up.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import torch

from . import _plan
from ._exact_passes import ExactPasses, Gradient
from ._measured import BITS, Group, Measured, Storage
from ._pool import Format
from ._recorder import Place, Recorder, Replay
from ._solved import Placed

_LOG = logging.getLogger("qccl")


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
    by: "tensor" takes one or two forward and backward passes for each saved tensor, "kind" for all of the same operation and sizes
        together, which then get the same codec in every layer. Three passes come on top.
    codecs: to choose from; a tensor may also stay as it is. block, scale, min_elems, keep: as for qccl.activations.

    It takes the memory of exact training with this batch and two sets of gradients. A plan holds for other batches, too; its bytes are
    those of this one. Parts of a model on several GPUs are measured together; with DistributedDataParallel measure the module inside."""
    if by not in ("tensor", "kind"):
        raise ValueError(f"qccl.measure: by is 'tensor' or 'kind', not {by!r}")
    codecs = (codecs,) if isinstance(codecs, str) else tuple(codecs)
    if not codecs or any(codec not in BITS for codec in codecs):
        raise ValueError(f"qccl.measure: codecs {list(codecs)!r}; take some of {', '.join(BITS)}")
    formats = {codec: format for codec, format in _plan.formats(block, scale).items() if codec in codecs}
    passes = ExactPasses(step, model, block, scale)
    try:
        recorder = Recorder(formats, min_elems, keep)
        exact = passes.gradient(recorder)
        if not exact.is_usable:
            raise ValueError(
                "qccl.measure: the gradient of step() is 0, infinite or not a number; measure on a batch that the model learns from"
            )
        noise = exact.error_of(passes.gradient(Placed()))
        if not noise < 0.1:
            raise ValueError(
                f"qccl.measure: two gradients of step() differ by {noise:.2g} of their norm, with nothing quantized; it must do the same "
                "each time: on the same batch, with the same weights and no state of its own"
            )
        group_of = _groups(_worth_it(passes, recorder.places, formats), formats, by == "kind")
        groups = list(dict.fromkeys(group_of.values()))
        if not groups:
            raise ValueError(
                "qccl.measure: step() saves nothing that codes would make smaller: qccl.activations('none').report() says what it saves"
            )
        for done, group in enumerate(groups):
            _measure_group(group, group_of, recorder.places, passes, exact, noise)
            _LOG.info("qccl.measure: %d of %d: %s", done + 1, len(groups), group.name)
        return Measured([(place.kind, group_of.get(place.storage)) for place in recorder.places], formats, noise)
    finally:
        passes.restore()


def _worth_it(passes: ExactPasses, places: list[Place], formats: dict[str, Format]) -> list[Storage]:
    """Storages that are gone after forward when all of them are quantized. Of those that somebody else holds codes would save nothing."""
    storages = list(dict.fromkeys(place.storage for place in places if place.storage is not None and place.storage.squared_errors))
    smallest = {storage: min(storage.squared_errors, key=lambda codec: storage.bytes_in(formats[codec])) for storage in storages}
    replay = Replay(places, smallest)
    passes.gradient(replay)
    return [storage for storage in storages if storage not in replay.alive]


def _groups(storages: list[Storage], formats: dict[str, Format], by_kind: bool) -> dict[Storage, Group]:
    alike: dict[object, list[Storage]] = {}
    for storage in storages:
        alike.setdefault((storage.kind, storage.sizes, tuple(storage.squared_errors)) if by_kind else storage, []).append(storage)
    groups = [Group(each, formats) for each in alike.values()]
    return {storage: group for group in groups for storage in group.storages}


def _measure_group(
    group: Group, group_of: dict[Storage, Group], places: list[Place], passes: ExactPasses, exact: Gradient, noise: float
) -> None:
    def squared_error(codec: str) -> float:
        error = exact.error_of(passes.gradient(Replay(places, dict.fromkeys(group.storages, codec))))
        # Between two gradients the noise is there with and without codes, which are to be judged for their own error.
        return max(0.0, error**2 - noise**2) if math.isfinite(error) else math.inf

    coarse = group.gradient_errors[group.coarse] = squared_error(group.coarse)
    if group.fine is None:
        return
    # What the second pass can find at most, or hardly more: below a quarter of the noise it would say nothing.
    most = coarse * math.sqrt(group.value_ratio(group.fine))
    if not most < noise**2 / 4 and coarse > 0:
        group.gradient_errors[group.fine] = squared_error(group.fine)
