"""Forward and backward of the same batch, again and again, from the same state; and the gradients that this gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ._activations import activations
from ._plan import PlanSpec
from ._solved import Placed


def squared_norm(a: torch.Tensor, b: torch.Tensor | None = None) -> float:
    """Of a, or of a - b, in double precision."""
    if b is None:
        squares = [piece.double().square().sum() for piece in _pieces(a)]
    else:
        squares = [(left.double() - right.double()).square().sum() for left, right in zip(_pieces(a), _pieces(b))]
    return float(torch.stack(squares).sum())  # the host waits once


def _pieces(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Its real numbers, so many at a time that copies of them are small."""
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return iter(tensor.detach().reshape(-1).split(1 << 22))


class Gradient:
    """Of all parameters; None where the loss does not depend on one."""

    def __init__(self, parts: Sequence[torch.Tensor | None]) -> None:
        self._parts = parts
        self._square = sum(squared_norm(part) for part in parts if part is not None)
        self.is_usable = 0 < self._square < math.inf

    def error_of(self, other: Gradient) -> float:
        """Norm of the difference over the norm."""
        pairs = [(a, b) for a, b in zip(self._parts, other._parts) if a is not None and b is not None]
        return math.sqrt(sum(squared_norm(a, b) for a, b in pairs) / self._square)


class ExactPasses:
    """A context: when it is left, the model and PyTorch's random generators are as they were when it was made."""

    def __init__(self, step: Callable[[], torch.Tensor], model: torch.nn.Module) -> None:
        if any(isinstance(module, torch.nn.parallel.DistributedDataParallel) for module in model.modules()):
            raise TypeError("qccl.measure: measure the module inside of DistributedDataParallel (model.module), in step() as well")
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise ValueError("qccl.measure: the model has no parameter that requires a gradient")
        self._step = step
        self.count = 0
        self._buffers = [(module, dict(module._buffers)) for module in model.modules()]
        self._values = {id(buffer): buffer.detach().clone() for buffer in model.buffers() if buffer.layout is torch.strided}
        self._random = torch.get_rng_state()
        self._random_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        self._gradients = [parameter.grad for parameter in self._parameters]

    def __enter__(self) -> ExactPasses:
        for parameter in self._parameters:
            parameter.grad = None  # so that it is seen whether step() fills it
        return self

    def __exit__(self, *exception: object) -> None:
        self._rewind()
        for parameter, gradient in zip(self._parameters, self._gradients):
            parameter.grad = gradient

    def gradient(self, plan: PlanSpec, **options: Any) -> Gradient:
        """Under qccl.activations(plan, **options)."""
        self._rewind()
        self.count += 1
        with activations(plan, **options):
            loss = self._step()
        if any(parameter.grad is not None for parameter in self._parameters):
            raise RuntimeError("qccl.measure: step() did the backward pass; it must not, and return the loss")
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise TypeError(f"qccl.measure: step() must return the loss, a tensor of one element with a gradient, not {loss!r}")
        if isinstance(plan, Placed):
            plan.after_forward()
        try:
            return Gradient(torch.autograd.grad(loss, self._parameters, allow_unused=True))
        except RuntimeError as error:
            if "use_reentrant" not in str(error) and "Checkpointing is not compatible" not in str(error):
                raise
            raise RuntimeError(
                "qccl.measure: reentrant checkpoints compute no gradients of one call; take torch.utils.checkpoint with use_reentrant=False"
            ) from error

    def _rewind(self) -> None:
        with torch.no_grad():
            for module, buffers in self._buffers:
                module._buffers.clear()  # forward may have added some, or put others in their places
                module._buffers.update(buffers)
                for name, buffer in buffers.items():
                    if id(buffer) in self._values:
                        module._buffers[name] = _with_value(buffer, self._values[id(buffer)])
        torch.set_rng_state(self._random)
        if self._random_cuda:
            torch.cuda.set_rng_state_all(self._random_cuda)


def _with_value(buffer: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """The buffer, written to only if it has another value: batch norm writes without a new version, and graphs of others may need the old
    one. A copy where it cannot be written to."""
    if buffer.shape != value.shape:
        return value.clone()
    same = buffer == value
    if buffer.is_floating_point() or buffer.is_complex():
        same |= (buffer != buffer) & (value != value)  # NaN
    if bool(same.all()):
        return buffer
    try:
        return buffer.copy_(value)
    except RuntimeError:  # expanded, or made in inference mode
        return value.clone()
