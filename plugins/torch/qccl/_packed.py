"""What a graph holds in place of a saved tensor."""

from __future__ import annotations

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from ._books import Books, Entry
from ._layout import Layout
from ._pool import Format, coded, pool_of

# PyTorch 1.13 has no other.
storage_of = torch.Tensor.untyped_storage if hasattr(torch.Tensor, "untyped_storage") else torch.Tensor.storage


class Codes:
    """The elements of one or more saved tensors in the pool, given up with the last of them: by the books' entry (_books.py)."""

    __slots__ = ("__weakref__", "_device", "_dtype", "_elems", "_entry", "_format")

    def __init__(self, books: Books, key: tuple, tensor: torch.Tensor, layout: Layout, format: Format, storage: torch.UntypedStorage) -> None:
        self._dtype, self._device, self._elems, self._format = tensor.dtype, tensor.device, layout.elems, format
        pool = pool_of(self._device)
        bytes_after = coded(layout.elems, format).bytes
        weak = StorageWeakRef(storage)
        stream = pool.current_stream()
        if stream is not None:
            tensor.record_stream(stream)  # which may not be the one that its memory goes back to once its codes are all that is held
        number = pool.save(layout.row(tensor), layout.elems, format, stream)
        self._entry = Entry(self, books, key, pool, number, weak, format.codec, bytes_after)
        books.enter_codes(self._entry, storage.nbytes())

    def read(self, layout: Layout) -> torch.Tensor:
        entry = self._entry
        tensor = layout.empty(self._dtype, self._device)
        entry.pool.read(entry.number, tensor, self._elems, self._format)
        if not entry.settled:
            entry.books.settle(entry)
        return tensor


class Quantized:
    """A saved tensor as codes: each reading decodes anew, so that a graph can be gone through again."""

    __slots__ = ("_codes", "_layout")

    def __init__(self, codes: Codes, layout: Layout) -> None:
        self._codes, self._layout = codes, layout

    def unpack(self) -> torch.Tensor:
        return self._codes.read(self._layout)


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
            books.enter_kept(reason, self._storage, storage.nbytes())
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
            self._books.let_go.append(self._storage)
