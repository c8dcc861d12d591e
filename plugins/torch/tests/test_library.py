"""How the package finds its library, and what it says when it does not."""

import os
import subprocess
import sys

import pytest
import torch

import qccl
from qccl import _library


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_version_is_the_librarys():
    assert qccl.version().count(".") == 2


def test_a_library_that_is_not_there(tmp_path):
    result = run("import qccl", LIBQCCL_PATH=str(tmp_path / "libqccl.so.0"))
    assert result.returncode != 0
    assert "qccl: cannot load" in result.stderr and "set LIBQCCL_PATH to the libqccl.so.0 of a build" in result.stderr


def test_a_library_that_is_another_one():
    result = run("import qccl", LIBQCCL_PATH="libc.so.6")
    assert result.returncode != 0
    assert "libc.so.6 is no library of this version: it lacks qcclGetVersion" in result.stderr


def test_a_library_of_another_version(monkeypatch):
    monkeypatch.setattr(_library, "_package_version", lambda: "0.1.7")
    _library._check_version("libqccl.so.0", "0.1.0")
    with pytest.raises(ImportError, match="libqccl.so.0 is version 0.2.7, this package is 0.1.7; install both from one checkout"):
        _library._check_version("libqccl.so.0", "0.2.7")


def test_without_pytorch_all_else_works():
    code = """
import sys
sys.modules["torch"] = None
import qccl
print(qccl.version())
qccl.activations("int8")
"""
    result = run(code)
    assert result.stdout.strip() == qccl.version()
    assert "ImportError: qccl.activations needs PyTorch 1.13 or newer" in result.stderr


def test_the_process_ends_quietly_with_tensors_still_saved():
    code = """
import torch, qccl
x = torch.randn(64, 128, requires_grad=True)
with qccl.activations("int8"):
    loss = x.clone().sin().sum()
print(qccl.pool_stats()["used_bytes"] > 0)
"""
    result = run(code)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "True", "")


def test_a_refusal_is_the_librarys_sentence_and_leaves_nothing(monkeypatch):
    from qccl import _pool

    # As if the tensor lay somewhere that the library cannot read.
    monkeypatch.setitem(_pool.DTYPES, torch.float32, 8)
    x = torch.randn(64, 128, requires_grad=True).clone()
    refused = "qcclActivationSave: values of float64 cannot be kept as int8"
    with pytest.raises(RuntimeError, match=refused) as caught, qccl.activations("int8"):
        x.sin()
    if not str(caught.value).startswith("QcclError"):  # PyTorch 1.13 makes a RuntimeError of it
        assert isinstance(caught.value, qccl.QcclError) and caught.value.code == 4
    assert qccl.pool_stats()["used_bytes"] == 0
