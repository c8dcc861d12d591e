"""The library's best-fit pool: one for each device, where saved tensors lie as codes and scales.

A tensor is a micro-batch of its own there, with its number as the handle. It is read as often as backward passes ask and given up
(qcclPoolDiscard) when the last graph that holds it dies: in any order, in any thread.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
import weakref
from dataclasses import dataclass

import torch

from . import _library as lib

# Types of values that the codecs take.
DTYPES = {torch.float32: lib.FLOAT32, torch.bfloat16: lib.BFLOAT16, torch.float16: lib.FLOAT16}


@dataclass(frozen=True)
class Format:
    """How a tensor is kept."""

    codec: str
    block: int
    scale: str

    def saved_tensor(self, elems: int) -> lib.SavedTensor:
        packed = lib.PackedFormat(lib.CODECS[self.codec], lib.SCALES[self.scale], self.block)
        return lib.SavedTensor(b"saved." + self.codec.encode(), elems, packed, 0)  # reports of the pool are grouped by what follows the dot


@functools.lru_cache(maxsize=4096)
def coded_bytes(elems: int, format: Format) -> int:
    """Bytes of codes and scales; QcclError for a format that the library does not know."""
    codes, scales = ctypes.c_size_t(), ctypes.c_size_t()
    lib.call("qcclTensorBytes", ctypes.byref(format.saved_tensor(elems)), ctypes.byref(codes), ctypes.byref(scales))
    return codes.value + scales.value


class Pool:
    """Memory of one device. It lives as long as somebody may still save there or something is still saved."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        config = lib.PoolConfig(
            size=ctypes.sizeof(lib.PoolConfig),
            name=f"torch-{device}".encode(),
            micro_batches_in_flight=1,
            segment_bytes=64 << 20,
            memory=lib.MEMORY_CUDA if on_gpu else lib.MEMORY_HOST,
            device=device.index if on_gpu else 0,
            limit_bytes=2**64 - 1,
        )
        handle = ctypes.c_void_p()
        lib.call("qcclPoolCreate", ctypes.byref(handle), ctypes.byref(config))
        self._handle = handle
        self._numbers = itertools.count()
        # Not when the interpreter ends: the process gives everything back, and CUDA may be gone by then.
        weakref.finalize(self, lib.library.qcclPoolDestroy, handle).atexit = False

    def save(self, values: torch.Tensor, format: Format) -> int:
        """Quantizes dense `values` on the current stream; returns the handle."""
        number = next(self._numbers)
        try:
            self._save(number, values, format)
        except lib.QcclError as error:
            if values.device.type != "cuda" or error.code not in lib.MAY_BE_OUT_OF_MEMORY:
                raise
            # PyTorch may hold all memory of the GPU in its cache, out of which the pool cannot grow.
            torch.cuda.empty_cache()
            self._save(number, values, format)
        return number

    def _save(self, number: int, values: torch.Tensor, format: Format) -> None:
        try:
            lib.call("qcclActivationSave", *self._arguments(number, values, format))
        except lib.QcclError:
            self.free(number)  # a place may have been taken before the writing failed
            raise

    def read(self, number: int, values: torch.Tensor, format: Format) -> None:
        """Decodes into dense `values` on the current stream."""
        lib.call("qcclActivationRead", *self._arguments(number, values, format))

    def free(self, number: int) -> None:
        """Never raises: it runs in finalizers."""
        lib.library.qcclPoolDiscard(self._handle, number)

    def stats(self) -> dict[str, int]:
        stats = lib.PoolStats(size=ctypes.sizeof(lib.PoolStats))
        lib.call("qcclPoolGetStats", self._handle, ctypes.byref(stats))
        return stats.as_dict()

    def reset_peaks(self) -> None:
        lib.call("qcclPoolResetPeaks", self._handle)

    def _arguments(self, number: int, values: torch.Tensor, format: Format) -> tuple:
        tensor = format.saved_tensor(values.numel())
        return self._handle, number, ctypes.byref(tensor), values.data_ptr(), DTYPES[values.dtype], _current_stream(values.device)


def _current_stream(device: torch.device) -> int | None:
    """Of CUDA; host memory has none. A CUDA graph is refused: its replays would write where a later step has other tensors."""
    if device.type != "cuda":
        return None
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError("qccl.activations cannot be captured in a CUDA graph; leave the context where the capture begins")
    return torch.cuda.current_stream(device).cuda_stream or None


_pools: dict[torch.device, Pool] = {}
_pools_lock = threading.Lock()


def pool_of(device: torch.device) -> Pool:
    with _pools_lock:
        if device not in _pools:
            _pools[device] = Pool(device)
        return _pools[device]


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
