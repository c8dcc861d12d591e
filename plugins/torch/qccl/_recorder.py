"""What forward saves, in order, and passes that go through the same places again with some of them quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from . import _plan
from ._exact_passes import squared_norm
from ._layout import Layout, elements_of
from ._measured import Storage
from ._packed import storage_of
from ._pool import Format, coded, pool_of
from ._solved import Kind, Placed, kind_of, origin


class Place(NamedTuple):
    kind: Kind
    sizes: tuple[int, ...]
    storage: Storage | None  # None for what is kept as it is


class Recorder(Placed):
    """The plan of an exact pass that fills `places`."""

    def __init__(self, formats: dict[str, Format], min_elems: int, keep: Callable[[torch.Tensor], bool] | None) -> None:
        self.places: list[Place] = []
        self._formats, self._min_elems, self._keep = formats, max(1, min_elems), keep
        self._storages: dict[int, tuple[Storage, StorageWeakRef]] = {}  # the reference keeps the number from being given to another one
        self._seen: set[tuple] = set()

    def codec(self, tensor: torch.Tensor) -> str:
        kind, source = kind_of(tensor), origin(tensor)
        kept = _plan.better_not(tensor, source, source.grad_fn, self._min_elems) or (self._keep is not None and self._keep(tensor))
        self.places.append(Place(kind, tuple(tensor.shape), None if kept else self._storage(tensor, kind)))
        return "none"

    def after_forward(self) -> None:
        """Of graphs that ended during forward nothing is held, and nothing planned."""
        gone = {storage for storage, reference in self._storages.values() if reference.expired()}
        self.places = [place._replace(storage=None) if place.storage in gone else place for place in self.places]
        self._storages.clear()

    def _storage(self, tensor: torch.Tensor, kind: Kind) -> Storage:
        memory = storage_of(tensor)
        number = memory._cdata
        if number not in self._storages:
            storage = Storage(kind, tuple(tensor.shape), memory.nbytes(), squared_errors=dict.fromkeys(self._formats, 0.0))
            self._storages[number] = storage, StorageWeakRef(memory)
        storage = self._storages[number][0]
        layout = Layout.of(tensor)
        elements = elements_of(tensor, layout, memory)
        if elements not in self._seen:
            self._seen.add(elements)
            storage.elems.append(layout.elems)
            exact_bytes = tensor.numel() * tensor.element_size()
            storage.squared_errors = {
                codec: squared + _squared_error(tensor, layout, self._formats[codec])
                for codec, squared in storage.squared_errors.items()
                if coded(tensor.numel(), self._formats[codec]).bytes < exact_bytes
            }
        return storage


def _squared_error(tensor: torch.Tensor, layout: Layout, format: Format) -> float:
    """Of the values, when they come back from the pool."""
    with torch.no_grad():
        row = layout.row(tensor)
        pool = pool_of(tensor.device)
        number = pool.save(row, layout.elems, format, pool.current_stream())
        try:
            got = torch.empty(layout.elems, dtype=tensor.dtype, device=tensor.device)
            pool.read(number, got, layout.elems, format)
        finally:
            pool.free(number)
        return squared_norm(got, row.detach().as_strided((layout.elems,), (1,)))


class Replay(Placed):
    """The plan of a later pass, with some storages quantized. alive: those of them that somebody else held after forward."""

    def __init__(self, places: list[Place], codecs: Mapping[Storage, str]) -> None:
        self._places, self._codecs = iter(places), codecs
        self._quantized: list[tuple[Storage, StorageWeakRef]] = []
        self.alive: set[Storage] = set()

    def codec(self, tensor: torch.Tensor) -> str:
        place = next(self._places, None)
        if place is None or place.kind != kind_of(tensor) or place.sizes != tuple(tensor.shape):
            now = f"{tuple(kind_of(tensor))} of {tuple(tensor.shape)}"
            _fail_changed(now, "nothing" if place is None else f"{tuple(place.kind)} of {place.sizes}")
        codec = self._codecs.get(place.storage, "none")
        if codec != "none":
            self._quantized.append((place.storage, StorageWeakRef(storage_of(tensor))))
        return codec

    def after_forward(self) -> None:
        missing = next(self._places, None)
        if missing is not None:
            _fail_changed("nothing", f"{tuple(missing.kind)} of {missing.sizes}")
        self.alive = {storage for storage, reference in self._quantized if not reference.expired()}


def _fail_changed(now: str, first: str) -> None:
    raise RuntimeError(f"qccl.measure: step() does not save the same tensors each time: {now} instead of {first}")
