"""Where the elements of a tensor lie, and the same ones in a dense row.

Two tensors that are views of the same elements (x, x.view(-1, h), x.t()) have the same row: they are stored once. What is restored has the
size of the original and its order of dimensions in memory (channels_last stays so), without gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Layout:
    offset: int
    runs: tuple[tuple[int, int], ...]  # (size, stride), outermost first; neighbours that follow one another in memory are one run
    sizes: tuple[int, ...]  # of the tensor
    dense_strides: tuple[int, ...]  # of the tensor, once its runs lie end to end
    elems: int  # in memory: an expanded dimension counts once

    @staticmethod
    def of(tensor: torch.Tensor) -> Layout:
        sizes, strides = tuple(tensor.shape), tensor.stride()
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
        return Layout(tensor.storage_offset(), tuple(runs), sizes, tuple(dense_strides), elems)

    def row(self, tensor: torch.Tensor) -> torch.Tensor:
        """The elements end to end; a copy only where there are gaps."""
        sizes = [size for size, _ in self.runs] or [1]
        strides = [stride for _, stride in self.runs] or [1]
        return tensor.as_strided(sizes, strides, self.offset).contiguous().view(-1)

    def restore(self, row: torch.Tensor) -> torch.Tensor:
        return row.as_strided(self.sizes, self.dense_strides)
