"""Where the elements of a tensor lie, and the same ones in a dense row.

Two tensors that are views of the same elements (x, x.view(-1, h), x.t()) have the same row: they are stored once. What is restored has the
size of the original and its order of dimensions in memory (channels_last stays so), without gaps.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Layout:
    runs: tuple[tuple[int, int], ...]  # (size, stride), outermost first; neighbours that follow one another in memory are one run
    sizes: tuple[int, ...]  # of the tensor
    dense_strides: tuple[int, ...]  # of the tensor, once its runs lie end to end
    elems: int  # in memory: an expanded dimension counts once

    @staticmethod
    def of(tensor: torch.Tensor) -> Layout:
        return _layout(tensor.shape, tensor.stride())

    def row(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor whose memory begins with the elements, end to end; a copy only where there are gaps."""
        if not self.runs or (len(self.runs) == 1 and self.runs[0][1] == 1):
            return tensor
        sizes, strides = zip(*self.runs)
        return tensor.detach().as_strided(sizes, strides).contiguous()

    def empty(self, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """The tensor, for its row to be written to its memory."""
        return torch.empty_strided(self.sizes, self.dense_strides, dtype=dtype, device=device)


def elements_of(tensor: torch.Tensor, layout: Layout, storage: torch.UntypedStorage) -> tuple:
    """The same for two tensors if they are the same elements, as long as their storage lives."""
    return storage._cdata, tensor._version, tensor.dtype, tensor.storage_offset(), layout.runs


@functools.lru_cache(maxsize=4096)
def _layout(sizes: tuple[int, ...], strides: tuple[int, ...]) -> Layout:
    order = sorted((dim for dim in range(len(sizes)) if sizes[dim] > 1 and strides[dim] > 0), key=lambda dim: -strides[dim])
    # A dimension of one element keeps its stride, whatever that is, an expanded one its 0.
    dense_strides = [strides[dim] if sizes[dim] == 1 else 0 for dim in range(len(sizes))]
    elems = 1
    for dim in reversed(order):
        dense_strides[dim] = elems
        elems *= sizes[dim]
    runs: list[tuple[int, int]] = []
    for dim in order:
        if runs and runs[-1][1] == sizes[dim] * strides[dim]:
            runs[-1] = (runs[-1][0] * sizes[dim], strides[dim])
        else:
            runs.append((sizes[dim], strides[dim]))
    return Layout(tuple(runs), tuple(sizes), tuple(dense_strides), elems)
