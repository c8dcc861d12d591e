import gc

import pytest
import torch

import qccl

torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption("--build", help="build folder of the library, which wheels are made from; without it they are not tested")


on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that PyTorch can use")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=on_cuda)])
def device(request):
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def seed_and_nothing_left_behind():
    """Every test begins with the same random numbers and ends with empty pools: what is packed must go with its graph."""
    torch.manual_seed(7)
    yield
    gc.collect()
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        assert qccl.pool_stats(device)["used_bytes"] == 0
