"""Traces of pools, for pool-bench."""

import torch
from support import computed

import qccl


def test_every_call_of_a_pool_is_in_its_trace(tmp_path):
    qccl.release_pools()
    qccl.trace_pools(tmp_path / "step-")
    try:
        x, _ = computed(torch.randn(64, 128))
        with qccl.activations("int8"):
            y = (x * x).sum()
        y.backward()
        del y
    finally:
        qccl.trace_pools(None)
        qccl.release_pools()
    (trace,) = tmp_path.glob("step-*-cpu.trace")
    lines = [line.split() for line in trace.read_text().splitlines() if not line.startswith("#")]
    # x is saved twice by the product, and kept once.
    assert [line[0] for line in lines if line[0] != "peek"] == ["save", "discard"]
    assert any(line[0] == "peek" for line in lines)
    assert lines[0] == ["save", "0", "saved.int8", str(64 * 128), str(64 * 128 // 128 * 2), lines[0][-1]]

    with qccl.activations("int8"):
        (x * x).sum().backward()
    assert len(list(tmp_path.iterdir())) == 1, "a pool that was made later is not traced"


def test_the_names_of_the_package_are_listed():
    assert {"activations", "pool_stats", "release_pools", "trace_pools", "version"} <= set(dir(qccl))
