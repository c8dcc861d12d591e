"""Which saved tensor is kept in which format, and which as it is.

Some tensors are never quantized, whatever the plan says: parameters, leaves, and what no codec takes. Others are kept because codes would
spoil them or gain nothing; a plan that is a function of the caller's decides about these itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Optional, Union

import torch

from . import _library as lib
from ._pool import DTYPES, Format, coded
from ._solved import Placed, Places, SolvedPlan, origin

PlanSpec = Union[str, Mapping[torch.dtype, Optional[str]], Callable[[torch.Tensor], Optional[str]], SolvedPlan, Placed]

# Why a tensor is kept as it is; the keys are the rows of a report.
PARAMETER = "parameter"  # or a view, or a copy of another type (autocast) of one
LEAF = "leaf"  # an input that requires a gradient: the caller has it anyway
TYPE = "type"  # integers, booleans, float64, complex
OTHER = "other tensor"  # sparse, subclasses, devices without a pool, empty tensors
NO_GRADIENT = "no gradient"  # data, masks (with their infinities), statistics of most fused kernels (lse, rstd), random factors of dropout
STATISTICS = "statistics"  # one value a row or group: of next to no bytes, and everything in the row hangs on it
LOGARITHMS = "logarithms"  # output of log_softmax: backward raises e to them, so that a step of the codes becomes a factor
SMALL = "small"  # fewer than min_elems, or no smaller as codes
ASKED = "asked for"  # by the plan or by `keep`
UNDECIDED = "not in the plan"  # that was solved

# Nodes that hand on a leaf's own values: seen through when it is asked whether a tensor is a copy of a parameter.
_HANDS_ON = {
    "AliasBackward0", "CloneBackward0", "ExpandBackward0", "PermuteBackward0", "ReshapeAliasBackward0", "SqueezeBackward0",
    "SqueezeBackward1", "TBackward0", "ToCopyBackward0", "TransposeBackward0", "UnsafeViewBackward0", "UnsqueezeBackward0", "ViewBackward0",
}  # fmt: skip
# Nodes, without the digits at their ends, whose results are kept, and such of which all results but the first are.
_RESULTS = {
    "LogSoftmaxBackward": LOGARITHMS, "LogsumexpBackward": LOGARITHMS, "LinalgVectorNormBackward": STATISTICS, "NormBackward": STATISTICS,
    "StdBackward": STATISTICS, "StdMeanBackward": STATISTICS, "VarBackward": STATISTICS, "VarMeanBackward": STATISTICS,
}  # fmt: skip
_FURTHER_RESULTS = {
    "CudnnBatchNormBackward", "FusedRmsNormBackward", "MiopenBatchNormBackward", "NativeBatchNormBackward", "NativeGroupNormBackward",
    "NativeLayerNormBackward",
}  # fmt: skip


def _copied_leaf(node: object) -> torch.Tensor | None:
    """The leaf that a tensor with this grad_fn is a copy of, if it is one."""
    while node is not None and node.name() in _HANDS_ON:
        node = node.next_functions[0][0]
    return getattr(node, "variable", None)  # of AccumulateGrad


def _is_parameter(tensor: torch.Tensor | None) -> bool:
    return tensor is not None and type(tensor) is not torch.Tensor and isinstance(tensor, torch.nn.Parameter)  # the latter takes its time


def _never(tensor: torch.Tensor, source: torch.Tensor, node: object) -> str | None:
    """Why this tensor is kept as it is under any plan."""
    if _is_parameter(source) or _is_parameter(_copied_leaf(node)):
        return PARAMETER
    if node is None and source.requires_grad:
        return LEAF
    if type(tensor) is not torch.Tensor or tensor.layout is not torch.strided or not (tensor.is_cuda or tensor.is_cpu):
        return OTHER
    if tensor.dtype not in DTYPES:
        return TYPE
    return OTHER if tensor.is_neg() else None


def _result(source: torch.Tensor, node: object) -> str | None:
    """Why a tensor is kept because of the operation that it is a result of."""
    name = node.name().rstrip("0123456789")
    return STATISTICS if name in _FURTHER_RESULTS and source.output_nr > 0 else _RESULTS.get(name)


def better_not(tensor: torch.Tensor, source: torch.Tensor, node: object, min_elems: int) -> str | None:
    """Why a tensor that could be quantized is kept, unless a plan decides that itself."""
    if not tensor.requires_grad:
        return NO_GRADIENT
    if tensor.dim() > 0 and tensor.shape[-1] == 1:
        return STATISTICS
    if tensor.numel() < min_elems:
        return SMALL
    return None if node is None else _result(source, node)


def formats(block: int, scale: str) -> dict[str, Format]:
    """By codec; a ValueError or a QcclError says what is wrong with block or scale."""
    if scale not in lib.SCALES:
        raise ValueError(f"qccl: scale {scale!r} is unknown; take one of {', '.join(lib.SCALES)}")
    result = {codec: Format(codec, block, scale) for codec in lib.CODECS}
    coded(1, result["int8"])  # the library says what is wrong with a block
    return result


class Plan:
    """Answers for each saved tensor: a Format, or the reason to keep it."""

    def __init__(
        self, spec: PlanSpec, block: int | None, scale: str | None, min_elems: int, keep: Callable[[torch.Tensor], bool] | None
    ) -> None:
        if keep is not None and not callable(keep):
            raise TypeError(f"qccl.activations: keep is a function of a tensor, not {keep!r}")
        self._formats = formats(*_scaling(spec, block, scale))
        self._min_elems = min_elems
        self._keep = keep
        self._places = Places(spec) if isinstance(spec, SolvedPlan) else spec if isinstance(spec, Placed) else None
        self._choose = self._read(spec) if self._places is None else None
        self._decides_itself = callable(spec) or self._places is not None

    def enter(self) -> None:
        if self._places is not None:
            self._places.enter()

    def leave(self, failed: bool) -> None:
        if self._places is not None:
            self._places.leave(failed)

    def __call__(self, tensor: torch.Tensor) -> Format | str:
        source = origin(tensor)
        node = source.grad_fn
        reason = _never(tensor, source, node)
        if reason is not None:
            return reason
        placed = None if self._places is None else self._places.codec(tensor)  # before anything that depends on what the tensor holds
        elems = tensor.numel()
        if elems == 0:
            return OTHER
        if not self._decides_itself:
            reason = better_not(tensor, source, node, self._min_elems)
        if reason is None and self._keep is not None and self._keep(tensor):
            reason = ASKED
        if reason is not None:
            return reason
        if self._places is not None and placed is None:
            return UNDECIDED
        format = self._format(placed if self._choose is None else self._choose(tensor))
        if format is None:
            return ASKED
        return format if coded(elems, format).bytes < elems * tensor.element_size() else SMALL

    def _format(self, codec: str | None) -> Format | None:
        """None where a tensor is to be kept."""
        if codec is None or codec == "none":
            return None
        if codec not in self._formats:
            raise ValueError(f"qccl.activations: codec {codec!r} is unknown; take one of {', '.join(self._formats)}")
        return self._formats[codec]

    def _read(self, spec: PlanSpec) -> Callable[[torch.Tensor], str | None]:
        if isinstance(spec, str):
            self._format(spec)
            return lambda tensor: spec
        if isinstance(spec, Mapping):
            for dtype, codec in spec.items():
                if dtype not in DTYPES:
                    raise ValueError(f"qccl.activations: {dtype} cannot be quantized; a plan is for {', '.join(map(str, DTYPES))}")
                self._format(codec)
            chosen = dict(spec)
            return lambda tensor: chosen.get(tensor.dtype)
        if callable(spec):
            return spec
        raise TypeError(
            f"qccl.activations: a plan is a codec, a dict of codecs by dtype, a function of a tensor or a solved plan, not {spec!r}"
        )


def _scaling(spec: PlanSpec, block: int | None, scale: str | None) -> tuple[int, str]:
    if not isinstance(spec, SolvedPlan):
        return 128 if block is None else block, "bfloat16" if scale is None else scale
    for what, asked, measured in [("block", block, spec.block), ("scale", scale, spec.scale)]:
        if asked not in (None, measured):
            raise ValueError(f"qccl.activations: {what} {asked!r} is not what the plan was measured with, {measured!r}; leave it out")
    return spec.block, spec.scale
