"""What only a GPU has: its memory, streams, graphs. All other tests run there, too."""

import pytest
import torch
from conftest import on_cuda
from support import gradients, leaf, relative_error
from torch import nn

import qccl

pytestmark = on_cuda


def test_the_peak_of_a_step_is_lower(device="cuda"):
    """Of twelve layers whose activations are most of the memory. PyTorch does not count the pool: its reserved bytes are added."""
    model = nn.Sequential(*[nn.Sequential(nn.Linear(512, 2048), nn.GELU(), nn.Linear(2048, 512)) for _ in range(12)]).to(device)
    x = torch.randn(16384, 512, device=device)
    parameters = list(model.parameters())
    peaks, results = {}, {}
    for codec in ["none", "int8", "int4"]:
        qccl.release_pools()
        gradients(lambda: model(x).square().mean(), parameters)
        for parameter in parameters:
            parameter.grad = None
        torch.cuda.reset_peak_memory_stats()
        at_rest = torch.cuda.memory_allocated()
        context = qccl.activations(codec)
        results[codec] = gradients(lambda: model(x).square().mean(), parameters, context)[1]
        peaks[codec] = torch.cuda.max_memory_allocated() - at_rest + qccl.pool_stats(device)["peak_reserved_bytes"]
    # Each layer keeps 16384 * (512 + 2048 + 2048) values; codes and scales are 0.254 and 0.129 of float32. The rest is what backward needs
    # at a time, decoded values and gradients: less than two layers in twelve keep.
    assert peaks["int8"] < 0.50 * peaks["none"]
    assert peaks["int4"] < 0.40 * peaks["none"]
    for codec, most in [("int8", 0.04), ("int4", 0.36)]:
        for got, exact in zip(results[codec], results["none"]):
            assert relative_error(got, exact) < most


def test_forward_and_backward_on_streams_of_their_own(device="cuda"):
    """Writers and readers on different streams, memory used again on another one: whoever does not wait finds other values."""
    streams = [torch.cuda.Stream() for _ in range(3)]
    weight = nn.Parameter(torch.randn(1024, 1024, device=device) / 32)
    for repeat in range(20):
        source = leaf(torch.randn(2048, 1024, device=device))
        (exact,) = torch.autograd.grad((source.clone() @ weight).sin().sum(), source)
        forward, backward = streams[repeat % 3], streams[(repeat + 1) % 3]
        forward.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(forward), qccl.activations("int8"):
            loss = (source.clone() @ weight).sin().sum()
        backward.wait_stream(forward)
        with torch.cuda.stream(backward):
            (got,) = torch.autograd.grad(loss, source)
        torch.cuda.current_stream().wait_stream(backward)
        assert relative_error(got, exact) < 0.04


def test_memory_that_goes_back_to_another_stream(device="cuda"):
    """What was made on one stream and saved on another one is not written to before it is quantized."""
    side = torch.cuda.Stream()
    source = leaf(torch.randn(2048, 1024, device=device))
    for _ in range(2):  # the first time allocates, which waits
        source.grad = None
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            x = source.clone()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda._sleep(100_000_000)
        with qccl.activations("int8"):
            loss = x.sin().sum()
        del x
        with torch.cuda.stream(side):
            other = [torch.full_like(source, 1e3) for _ in range(4)]
        torch.cuda.synchronize()
        loss.backward()
        del other
        assert relative_error(source.grad, source.detach().cos()) < 0.01


def test_a_tensor_of_a_gpu_that_is_not_current():
    if torch.cuda.device_count() < 2:
        pytest.skip("this machine has one GPU")
    source = leaf(torch.randn(256, 256, device="cuda:1"))
    with torch.cuda.device(0), qccl.activations("int8"):
        loss = source.clone().sin().sum()
    assert qccl.pool_stats("cuda:1")["used_bytes"] > 0
    loss.backward()
    assert relative_error(source.grad, source.cos()) < 0.01


def test_capture_in_a_graph_is_refused(device="cuda"):
    source = leaf(torch.randn(256, 256, device=device))
    with qccl.activations("int8"):
        source.clone().sin().sum().backward()
    with pytest.raises(RuntimeError, match="cannot be captured in a CUDA graph"):
        with torch.cuda.graph(torch.cuda.CUDAGraph()), qccl.activations("int8"):
            source.clone().sin().sum()


def test_capture_on_a_gpu_that_is_not_current_is_refused():
    if torch.cuda.device_count() < 2:
        pytest.skip("this machine has one GPU")
    source = leaf(torch.randn(256, 256, device="cuda:1"))
    with qccl.activations("int8"):
        source.clone().sin().sum().backward()
    graph = torch.cuda.graph(torch.cuda.CUDAGraph(), stream=torch.cuda.Stream(1))  # without a stream: that of an earlier capture
    with pytest.raises(RuntimeError, match="cannot be captured in a CUDA graph"):
        with torch.cuda.device(1), graph, torch.cuda.device(0), qccl.activations("int8"):
            source.clone().sin().sum()


def test_pytorchs_cache_makes_room_for_the_pool(device="cuda"):
    """PyTorch's caching allocator may have taken all of the GPU for blocks that nobody uses."""
    qccl.release_pools()
    torch.cuda.empty_cache()
    source = leaf(torch.randn(4096, 4096, device=device))
    free_bytes, _ = torch.cuda.mem_get_info()
    whole, rest = divmod(free_bytes - (192 << 20), 1 << 30)
    hoard = [torch.empty(bytes_, dtype=torch.uint8, device=device) for bytes_ in [1 << 30] * whole + [max(rest, 1)]]
    del hoard  # in the cache
    losses = []
    for _ in range(24):  # 16 MiB of codes each: the pool needs more than the 192 MiB that CUDA has left
        with qccl.activations("int8"):
            losses.append(source.clone().sin().sum())
    sum(losses).backward()
    assert relative_error(source.grad, 24 * source.cos()) < 0.01
