"""What a graph holds in place of a saved tensor."""

from __future__ import annotations

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from ._books import Books
from ._layout import Layout
from ._pool import Format, Pool, coded_bytes


def storage_of(tensor: torch.Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()  # the latter: PyTorch 1.13


class Codes:
    """The elements of one or more saved tensors in the pool, given up with the last of them.

    The weak reference keeps the number of the original's storage from being given to another one, and says whether the original lives."""

    def __init__(self, books: Books, pool: Pool, row: torch.Tensor, format: Format, storage: StorageWeakRef, storage_bytes: int) -> None:
        self.books, self.pool, self.format = books, pool, format
        self.dtype, self.device, self.elems = row.dtype, row.device, row.numel()
        self.storage, self.storage_bytes = storage, storage_bytes
        self.bytes_before = 0  # Books fill it in
        self.bytes_after = coded_bytes(self.elems, format)
        self.settled = False
        self.number = None
        self.number = pool.save(row, format)

    def read(self) -> torch.Tensor:
        row = torch.empty(self.elems, dtype=self.dtype, device=self.device)
        self.pool.read(self.number, row, self.format)
        self.books.settle(self)
        return row

    def __del__(self) -> None:
        if self.number is not None:  # nothing was saved if the pool refused
            self.pool.free(self.number)
            self.books.leave_codes(self)


class Quantized:
    """A saved tensor as codes: each reading decodes anew, so that a graph can be gone through again."""

    __slots__ = ("_codes", "_layout")

    def __init__(self, codes: Codes, layout: Layout) -> None:
        self._codes, self._layout = codes, layout

    def unpack(self) -> torch.Tensor:
        return self._layout.restore(self._codes.read())


class Kept:
    """A saved tensor as it is, with the version that it had: autograd compares none where there are hooks. Detached unless it is a leaf,
    because a node that held its own output would never be freed."""

    __slots__ = ("_books", "_reason", "_storage", "_tensor", "_version")

    def __init__(self, books: Books, tensor: torch.Tensor, reason: str) -> None:
        self._books, self._reason = books, reason
        self._storage = None
        self._tensor = tensor if tensor.is_leaf else tensor.detach()
        self._version = tensor._version
        if tensor.layout is torch.strided and type(tensor) in (torch.Tensor, torch.nn.Parameter):
            storage = storage_of(tensor)
            self._storage = StorageWeakRef(storage)
            books.enter_kept(reason, self._storage.cdata, storage.nbytes())
        else:  # has no storage that could be asked
            books.enter_kept(reason, None, 0)

    def unpack(self) -> torch.Tensor:
        if self._tensor._version != self._version:
            raise RuntimeError(
                "a tensor that the backward pass needs was modified in place after it was saved: "
                f"{self._tensor.dtype}, shape {tuple(self._tensor.shape)}, version {self._tensor._version} instead of {self._version}; "
                f"qccl.activations had kept it as it is ({self._reason}). Do the backward pass before the modification, or modify a clone"
            )
        return self._tensor

    def __del__(self) -> None:
        if self._storage is not None:
            self._books.leave(self._storage.cdata)
