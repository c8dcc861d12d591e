"""libqccl through its C API: the few functions that this package needs, by ctypes.

No code of ours is compiled against Python or PyTorch, so that one wheel serves every version of both. ctypes releases the interpreter's
lock during a call, and the library has its own.
"""

from __future__ import annotations

import ctypes
import os
import re
from importlib import metadata
from pathlib import Path

_SONAME = "libqccl.so.0"
# Not QCCL_*: those are the library's own settings, and it warns about others.
_PATH_VARIABLE = "LIBQCCL_PATH"

CODECS = {
    "none": 0, "int8": 1, "int6": 2, "int5": 3, "int4": 4, "fp8e4m3": 5, "fp8e5m2": 6, "fp4e2m1": 7, "bf16": 8,
}  # fmt: skip
SCALES = {"float32": 0, "bfloat16": 1, "e8m0": 2}
MEMORY_HOST, MEMORY_CUDA = 0, 1
MAY_BE_OUT_OF_MEMORY = (1, 2)  # qcclUnhandledCudaError, qcclSystemError
FLOAT16, FLOAT32, BFLOAT16 = 6, 7, 9  # qcclDataType_t
LARGEST_ERROR = 1e100  # of a qcclBitChoice_t


class QcclError(RuntimeError):
    """The library refused a call. The text is its own sentence; `code` is the qcclResult_t."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class PackedFormat(ctypes.Structure):
    _fields_ = [("codec", ctypes.c_int), ("scale", ctypes.c_int), ("block_elems", ctypes.c_int)]


class SavedTensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("elems", ctypes.c_size_t), ("format", PackedFormat), ("dtype", ctypes.c_int)]


class PoolConfig(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("ledger", ctypes.c_void_p),
        ("micro_batches_in_flight", ctypes.c_size_t),
        ("scratch_bytes", ctypes.c_size_t),
        ("segment_bytes", ctypes.c_size_t),
        ("memory", ctypes.c_int),
        ("device", ctypes.c_int),
        ("limit_bytes", ctypes.c_uint64),
        ("trace_path", ctypes.c_char_p),
    ]


_POOL_COUNTERS = (
    "saves", "restores", "discards", "allocations", "frees", "refusals",
    "used_bytes", "peak_bytes", "reserved_bytes", "peak_reserved_bytes",
)  # fmt: skip


class PoolStats(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_uint64) for name in _POOL_COUNTERS]

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _POOL_COUNTERS}


class BitChoice(ctypes.Structure):
    _fields_ = [("bits", ctypes.c_int), ("bytes", ctypes.c_uint64), ("error", ctypes.c_double)]


class BitItem(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("choices", ctypes.POINTER(BitChoice)), ("num_choices", ctypes.c_size_t)]


_TENSOR_CALL = [ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(SavedTensor), ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
_SIZE_OUT = ctypes.POINTER(ctypes.c_size_t)
_FUNCTIONS = {
    "qcclGetVersion": [ctypes.POINTER(ctypes.c_int)],
    "qcclTensorBytes": [ctypes.POINTER(SavedTensor), _SIZE_OUT, _SIZE_OUT],
    "qcclPoolCreate": [ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(PoolConfig)],
    "qcclPoolDestroy": [ctypes.c_void_p],
    "qcclPoolDiscard": [ctypes.c_void_p, ctypes.c_uint64],
    "qcclPoolGetStats": [ctypes.c_void_p, ctypes.POINTER(PoolStats)],
    "qcclPoolResetPeaks": [ctypes.c_void_p],
    "qcclActivationSave": _TENSOR_CALL,
    "qcclActivationRead": _TENSOR_CALL,
    "qcclAllocateBits": [
        ctypes.POINTER(BitItem),
        ctypes.c_size_t,
        ctypes.c_uint64,
        _SIZE_OUT,
        ctypes.POINTER(ctypes.c_uint64),
        ctypes.POINTER(ctypes.c_double),
    ],
}


def _package_version() -> str | None:
    try:
        return metadata.version("qccl")
    except metadata.PackageNotFoundError:  # used from a checkout, by PYTHONPATH
        return None


def _candidates() -> list[str]:
    """Where the library may be: where the user says; beside this file or, in an editable install, in the package's other folder; else
    wherever the loader looks."""
    chosen = os.environ.get(_PATH_VARIABLE)
    if chosen:
        return [chosen]
    import qccl

    beside = [str(Path(folder) / _SONAME) for folder in qccl.__path__]
    return [path for path in beside if Path(path).exists()] or [_SONAME]


def _open() -> ctypes.CDLL:
    path = _candidates()[0]
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"qccl: cannot load {path}: {error}. The wheel brings the library along; from a checkout set {_PATH_VARIABLE} to the "
            f"{_SONAME} of a build"
        ) from None
    missing = [name for name in _FUNCTIONS if not hasattr(library, name)]
    if missing:
        raise ImportError(f"qccl: {path} is no library of this version: it lacks {', '.join(missing)}; install both from one checkout")
    for name, arguments in _FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = ctypes.c_int
    library.qcclGetLastError.argtypes = [ctypes.c_void_p]
    library.qcclGetLastError.restype = ctypes.c_char_p
    _check_version(path, version_of(library))
    return library


def version_of(library: ctypes.CDLL) -> str:
    code = ctypes.c_int()
    library.qcclGetVersion(ctypes.byref(code))
    return f"{code.value // 10000}.{code.value // 100 % 100}.{code.value % 100}"


def _check_version(path: str, loaded: str) -> None:
    """Before 1.0 structs may change with the minor version, so that both must agree."""
    package = _package_version()
    if package and re.match(r"\d+\.\d+", package).group() != re.match(r"\d+\.\d+", loaded).group():
        raise ImportError(
            f"qccl: {path} is version {loaded}, this package is {package}; install both from one checkout, or point {_PATH_VARIABLE} "
            "at the library that belongs to it"
        )


def call(name: str, *arguments: object) -> None:
    """Calls a function of the library; a failure is a QcclError with the library's sentence."""
    code = getattr(library, name)(*arguments)
    if code != 0:
        raise QcclError(code, (library.qcclGetLastError(None) or b"").decode() or f"{name} failed with code {code}")


library = _open()
