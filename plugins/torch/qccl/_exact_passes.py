"""Forward and backward of the same batch, again and again, from the same state; and the gradients that this gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from ._activations import activations
from ._solved import Placed


def pieces(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Its real numbers, so many at a time that copies of them in double precision are small."""
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return iter(tensor.detach().reshape(-1).split(1 << 24))


class Gradient:
    """Of all parameters; None where the loss does not depend on one."""

    def __init__(self, parts: Sequence[torch.Tensor | None]) -> None:
        self._parts = parts
        self._square = sum(float(piece.double().square().sum()) for part in parts if part is not None for piece in pieces(part))
        self.is_usable = 0 < self._square < math.inf

    def error_of(self, other: Gradient) -> float:
        """Norm of the difference over the norm."""
        pairs = [(a, b) for a, b in zip(self._parts, other._parts) if a is not None and b is not None]
        off = sum(float((a.double() - b.double()).square().sum()) for pair in pairs for a, b in zip(*map(pieces, pair)))
        return math.sqrt(off / self._square)


class ExactPasses:
    def __init__(self, step: Callable[[], torch.Tensor], model: torch.nn.Module, block: int, scale: str) -> None:
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            raise TypeError("qccl.measure: measure the module inside of DistributedDataParallel (model.module), in step() as well")
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise ValueError("qccl.measure: the model has no parameter that requires a gradient")
        self._step, self._block, self._scale = step, block, scale
        self._buffers = [
            (module, name, buffer, buffer.detach().clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self._random = torch.get_rng_state()
        self._random_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def gradient(self, plan: Placed) -> Gradient:
        self.restore()
        before = self._gradients_in_place()
        with activations(plan, block=self._block, scale=self._scale):
            loss = self._step()
        if self._gradients_in_place() != before:
            raise RuntimeError("qccl.measure: step() changed .grad of a parameter; it must not do the backward pass, and return the loss")
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise TypeError(f"qccl.measure: step() must return the loss, a tensor of one element with a gradient, not {loss!r}")
        plan.after_forward()
        try:
            return Gradient(torch.autograd.grad(loss, self._parameters, allow_unused=True))
        except RuntimeError as error:
            if "Checkpointing is not compatible" not in str(error):
                raise
            raise RuntimeError(
                "qccl.measure: reentrant checkpoints compute no gradients of one call; take torch.utils.checkpoint with use_reentrant=False"
            ) from error

    def restore(self) -> None:
        with torch.no_grad():
            for module, name, buffer, value in self._buffers:
                module._buffers[name] = buffer  # forward may have put another one there
                if not torch.equal(buffer, value):  # batch norm writes without a new version, and graphs of others may need the old one
                    buffer.copy_(value)
        torch.set_rng_state(self._random)
        if self._random_cuda:
            torch.cuda.set_rng_state_all(self._random_cuda)

    def _gradients_in_place(self) -> list[tuple[int, int]]:
        return [(id(p.grad), -1 if p.grad is None else p.grad._version) for p in self._parameters]
