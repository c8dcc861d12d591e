"""qccl.measure: how much each tensor that a model saves matters for its gradient, so that a budget can be spent where it does most.

What is measured is the gradient of one batch with one saved tensor in few bits and all others as they are, against the exact one: in the
fewest bits, and, where that can be told from noise, in the most and in every float. Integers between follow from how close the tensor's own
values come with them. Errors of different tensors are taken to be independent, so that their squares add up.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from . import _plan
from ._exact_passes import ExactPasses, Gradient
from ._measured import BITS, Group, Measured, Storage
from ._pool import Format
from ._recorder import Place, Recorder, Replay
from ._plan import PlanSpec
from ._solved import KeepAll

_LOG = logging.getLogger("qccl")
_ONE_AT_A_TIME = threading.Lock()  # random generators are everybody's


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
        PyTorch's own random generators are as before when measure() returns.
    by: "tensor" takes one to three forward and backward passes for each saved tensor, "kind" for all of the same operation and sizes
        together, which then get the same codec in every layer. Four passes come on top. Progress goes to the logger "qccl".
    codecs: to choose from; a tensor may also stay as it is. block, scale, min_elems, keep: as for qccl.activations.

    It takes the memory of exact training with this batch, a copy of its largest tensor, and two sets of gradients. A plan holds for other
    batches, too; its bytes are those of this one, which should not be smaller than others: below min_elems a tensor is not decided about.
    Parts of a model on several GPUs are measured together; with DistributedDataParallel measure the module inside."""
    if by not in ("tensor", "kind"):
        raise ValueError(f"qccl.measure: by is 'tensor' or 'kind', not {by!r}")
    codecs = (codecs,) if isinstance(codecs, str) else tuple(codecs)
    if not codecs or any(codec not in BITS for codec in codecs):
        raise ValueError(f"qccl.measure: codecs {list(codecs)!r}; take some of {', '.join(BITS)}")
    formats = {codec: format for codec, format in _plan.formats(block, scale).items() if codec in codecs}
    with _ONE_AT_A_TIME, ExactPasses(step, model) as passes:
        recorder = Recorder(formats, min_elems, keep)
        exact = passes.gradient(recorder)
        if not exact.is_usable:
            raise ValueError(
                "qccl.measure: the gradient of step() is 0, infinite or not a number; measure on a batch that the model learns from"
            )
        noise = exact.error_of(passes.gradient(KeepAll()))
        _refuse_if(not noise < 0.1, noise)
        replayed = functools.partial(_replayed, passes, recorder.places, block=block, scale=scale)
        group_of = _groups(_worth_it(replayed, recorder.places, formats), formats, by == "kind")
        groups = list(dict.fromkeys(group_of.values()))
        if not groups:
            raise ValueError(
                "qccl.measure: step() saves nothing that codes would make smaller: qccl.activations('none').report() says what it saves"
            )
        for done, group in enumerate(groups):
            _measure_group(group, lambda codec, group=group: exact.error_of(replayed(dict.fromkeys(group.storages, codec))[0]), noise)
            _LOG.info("qccl.measure: %d of %d: %s", done + 1, len(groups), group.name)
        drift = exact.error_of(passes.gradient(KeepAll()))
        _refuse_if(not drift <= 3 * noise + 1e-6, drift)
        return Measured([(place.kind, group_of.get(place.storage)) for place in recorder.places], formats, noise, passes.count)


def gradient_error(step: Callable[[], torch.Tensor], model: torch.nn.Module, plan: PlanSpec, **options: Any) -> float:
    """Norm of the error of the gradient of `model`'s parameters under a plan, of any kind, over the norm of the exact gradient: whether what
    was measured some time ago still holds. step and model: as for measure(); options: those of qccl.activations. Two passes."""
    with _ONE_AT_A_TIME, ExactPasses(step, model) as passes:
        exact = passes.gradient(KeepAll())
        if not exact.is_usable:
            raise ValueError("qccl.gradient_error: the gradient of step() is 0, infinite or not a number")
        return exact.error_of(passes.gradient(plan, **options))


def _refuse_if(differs: bool, error: float) -> None:
    if differs:
        raise ValueError(
            f"qccl.measure: two gradients of step() differ by {error:.2g} of their norm, with nothing quantized; it must do the same each "
            "time: on the same batch, with the same weights and no state of its own"
        )


def _replayed(passes: ExactPasses, places: list[Place], codecs: dict[Storage, str], **options: Any) -> tuple[Gradient, set[Storage]]:
    """With some storages quantized: the gradient, and which of them somebody else held after forward."""
    replay = Replay(places, codecs)
    return passes.gradient(replay, **options), replay.alive


def _worth_it(replayed: Callable, places: list[Place], formats: dict[str, Format]) -> list[Storage]:
    """Storages that are gone after forward when all of them are quantized. Of those that somebody else holds codes would save nothing."""
    storages = list(dict.fromkeys(place.storage for place in places if place.storage is not None and place.storage.squared_errors))
    smallest = {storage: min(storage.squared_errors, key=lambda codec: storage.bytes_in(formats[codec])) for storage in storages}
    alive = replayed(smallest)[1]
    return [storage for storage in storages if storage not in alive]


def _groups(storages: list[Storage], formats: dict[str, Format], by_kind: bool) -> dict[Storage, Group]:
    alike: dict[object, list[Storage]] = {}
    for storage in storages:
        alike.setdefault((storage.kind, storage.sizes, tuple(storage.squared_errors)) if by_kind else storage, []).append(storage)
    groups = [Group(each, formats) for each in alike.values()]
    return {storage: group for group in groups for storage in group.storages}


def _measure_group(group: Group, error_of: Callable[[str], float], noise: float) -> None:
    """error_of: the gradient's with the group in a codec."""

    def squared_error(codec: str) -> float:
        error = error_of(codec)
        # Between two gradients the noise is there with and without codes, which are to be judged for their own error.
        return max(0.0, error**2 - noise**2) if math.isfinite(error) else math.inf

    coarse = group.gradient_errors[group.coarse] = squared_error(group.coarse)
    for codec in dict.fromkeys([group.fine, *group.floats]):
        # What there can be to find, or hardly less: below a quarter of the noise a pass would say nothing.
        most = coarse * math.sqrt(group.value_ratio(codec))
        if codec != group.coarse and coarse > 0 and not most < noise**2 / 4:
            group.gradient_errors[codec] = squared_error(codec)
