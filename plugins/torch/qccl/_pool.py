"""The library's best-fit pool: one for each device, where saved tensors lie as codes and scales.

A tensor is a micro-batch of its own there, with its number as the handle. It is read as often as backward passes ask and given up
(qcclPoolDiscard) when the last graph that holds it dies: in any order, in any thread.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import threading
import weakref
from dataclasses import dataclass
from typing import NamedTuple

import torch

from . import _library as lib

# Types of values that the codecs take.
DTYPES = {torch.float32: lib.FLOAT32, torch.bfloat16: lib.BFLOAT16, torch.float16: lib.FLOAT16}


@dataclass(frozen=True, eq=False)
class Format:
    """How a tensor is kept. A plan has one of each, which are told apart by identity."""

    codec: str
    block: int
    scale: str


class Coded(NamedTuple):
    """So many elements in a format."""

    description: object  # a pointer to the library's struct
    bytes: int  # of codes and scales


@functools.lru_cache(maxsize=4096)
def coded(elems: int, format: Format) -> Coded:
    """QcclError for a format that the library does not know."""
    packed = lib.PackedFormat(lib.CODECS[format.codec], lib.SCALES[format.scale], format.block)
    name = b"saved." + format.codec.encode()  # reports of the pool are grouped by what follows the dot
    description = ctypes.byref(lib.SavedTensor(name, elems, packed, 0))
    codes, scales = ctypes.c_size_t(), ctypes.c_size_t()
    lib.call("qcclTensorBytes", description, ctypes.byref(codes), ctypes.byref(scales))
    return Coded(description, codes.value + scales.value)


class Pool:
    """Memory of one device. It lives as long as somebody may still save there or something is still saved."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._on_gpu = on_gpu = device.type == "cuda"
        config = lib.PoolConfig(
            size=ctypes.sizeof(lib.PoolConfig),
            name=f"torch-{device}".encode(),
            micro_batches_in_flight=1,
            segment_bytes=64 << 20,
            memory=lib.MEMORY_CUDA if on_gpu else lib.MEMORY_HOST,
            device=device.index if on_gpu else 0,
            limit_bytes=2**64 - 1,
            trace_path=_next_trace(device),
        )
        handle = ctypes.c_void_p()
        lib.call("qcclPoolCreate", ctypes.byref(handle), ctypes.byref(config))
        self._handle = handle
        self._numbers = itertools.count()
        # Not when the interpreter ends: the process gives everything back, and CUDA may be gone by then.
        weakref.finalize(self, lib.library.qcclPoolDestroy, handle).atexit = False

    def save(self, row: torch.Tensor, elems: int, format: Format, stream: torch.cuda.Stream | None) -> int:
        """Quantizes the first `elems` elements in the memory of `row` on the stream; returns the handle."""
        number = next(self._numbers)
        arguments = self._arguments(number, row, elems, format, stream)
        try:
            self._save(number, arguments)
        except lib.QcclError as error:
            if stream is None or error.code not in lib.MAY_BE_OUT_OF_MEMORY:
                raise
            # PyTorch may hold all memory of the GPU in its cache, out of which the pool cannot grow.
            torch.cuda.empty_cache()
            self._save(number, arguments)
        return number

    def _save(self, number: int, arguments: tuple) -> None:
        try:
            lib.call("qcclActivationSave", *arguments)
        except lib.QcclError:
            self.free(number)  # a place may have been taken before the writing failed
            raise

    def read(self, number: int, row: torch.Tensor, elems: int, format: Format) -> None:
        """Decodes into the memory of `row` on the current stream."""
        lib.call("qcclActivationRead", *self._arguments(number, row, elems, format, self.current_stream()))

    def current_stream(self) -> torch.cuda.Stream | None:
        """Of the pool's GPU; host memory has none. A CUDA graph is refused: its replays would write where a later step has other tensors."""
        if not self._on_gpu:
            return None
        if self._device.index != torch.cuda.current_device():
            with torch.cuda.device(self._device):  # whether a stream captures can only be asked of the current device
                return self.current_stream()
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("qccl.activations cannot be captured in a CUDA graph; leave the context where the capture begins")
        return torch.cuda.current_stream()

    def free(self, number: int) -> None:
        """Never raises: it runs in finalizers."""
        lib.library.qcclPoolDiscard(self._handle, number)

    def stats(self) -> dict[str, int]:
        stats = lib.PoolStats(size=ctypes.sizeof(lib.PoolStats))
        lib.call("qcclPoolGetStats", self._handle, ctypes.byref(stats))
        return stats.as_dict()

    def reset_peaks(self) -> None:
        lib.call("qcclPoolResetPeaks", self._handle)

    def _arguments(self, number: int, row: torch.Tensor, elems: int, format: Format, stream: torch.cuda.Stream | None) -> tuple:
        handle = None if stream is None else stream.cuda_stream or None
        return self._handle, number, coded(elems, format).description, row.data_ptr(), DTYPES[row.dtype], handle


_trace_prefix: str | None = None
_trace_numbers = itertools.count()


def _next_trace(device: torch.device) -> bytes | None:
    if _trace_prefix is None:
        return None
    return os.fsencode(f"{_trace_prefix}{next(_trace_numbers)}-{str(device).replace(':', '')}.trace")


def trace_pools(prefix: str | os.PathLike[str] | None) -> None:
    """Pools that are made from now on write every call to a file of their own, "<prefix><number>-<device>.trace", which pool-bench --trace
    replays. It is whole when the pool is gone (release_pools()). None: no longer."""
    global _trace_prefix
    _trace_prefix = None if prefix is None else os.fspath(prefix)


_pools: dict[torch.device, Pool] = {}
_pools_lock = threading.Lock()


def pool_of(device: torch.device) -> Pool:
    pool = _pools.get(device)
    if pool is None:
        with _pools_lock:
            pool = _pools.get(device)
            if pool is None:
                pool = _pools[device] = Pool(device)
    return pool


def pool_stats(device: torch.device | str = "cpu", reset_peaks: bool = False) -> dict[str, int]:
    """Counters of the device's pool (qcclPoolStats_t): used_bytes, peak_bytes, reserved_bytes and so on; all 0 if it has none yet.

    On a GPU this memory is not in torch.cuda.memory_allocated(): the pool takes it from CUDA itself."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    with _pools_lock:
        pool = _pools.get(device)
    if pool is None:
        return lib.PoolStats().as_dict()
    stats = pool.stats()
    if reset_peaks:
        pool.reset_peaks()
    return stats


def release_pools() -> None:
    """Gives the pools' memory back to the system; that of a pool in which something is still saved, when its last graph dies."""
    with _pools_lock:
        _pools.clear()
