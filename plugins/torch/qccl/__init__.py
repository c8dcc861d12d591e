"""qccl for Python: what autograd saves for the backward pass, kept in few bits.

    import qccl

    with qccl.activations("int8") as acts:
        loss = model(batch).loss
    loss.backward()
    print(acts.report())
"""

from __future__ import annotations

import importlib

from ._library import QcclError, library, version_of

# By name, the module that it is in.
_NEED_TORCH = {
    "Measured": "_measured", "SolvedPlan": "_solved", "activations": "_activations", "gradient_error": "_measure", "measure": "_measure",
    "pool_stats": "_pool", "release_pools": "_pool", "trace_pools": "_pool",
}  # fmt: skip

__all__ = [
    "Measured", "QcclError", "SolvedPlan", "activations", "gradient_error", "measure", "pool_stats", "release_pools", "trace_pools", "version",
]  # fmt: skip


def version() -> str:
    """Version of the library that is loaded."""
    return version_of(library)


def __getattr__(name: str) -> object:
    """What needs PyTorch is imported when it is first asked for, so that the package is of use without."""
    if name not in _NEED_TORCH:
        raise AttributeError(f"module 'qccl' has no attribute {name!r}")
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"qccl.{name} needs PyTorch 1.13 or newer ({error}); install it, for instance with pip install 'qccl[torch]'"
        ) from error
    globals()[name] = getattr(importlib.import_module(f".{_NEED_TORCH[name]}", __name__), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
