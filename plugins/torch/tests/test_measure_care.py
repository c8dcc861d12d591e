"""What qccl.measure leaves as it was, and what it refuses."""

import threading

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import qccl
from qccl import _library


def test_nothing_is_changed_by_measuring(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.GELU(), nn.Linear(64, 8)).to(device)
    x = torch.randn(128, 64, device=device)
    model(x).square().mean().backward()
    before = [each.clone() for each in [*model.state_dict().values(), *(p.grad for p in model.parameters())]]
    torch.manual_seed(3)
    measured = qccl.measure(lambda: model(x).square().mean(), model, min_elems=64)
    after = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(before, after))
    assert measured.noise <= 1e-6, "each pass draws the same random numbers"
    first = torch.rand(4, device=device)
    torch.manual_seed(3)
    assert torch.equal(first, torch.rand(4, device=device))


@pytest.mark.parametrize("how", ["written", "replaced", "expanded", "expanded and written", "not a number", "sparse", "made", "was None"])
def test_buffers_are_as_before(how, device):
    before = {
        "expanded": torch.ones(1, 64).expand(128, 64), "expanded and written": torch.ones(1, 64).expand(128, 64), "was None": None,
        "not a number": torch.full((128, 64), float("nan")), "sparse": torch.eye(64).to_sparse(),
    }.get(how, torch.ones(128, 64))  # fmt: skip

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 64)
            self.register_buffer("mean", before)

        def forward(self, x):
            y = self.linear(x).tanh()
            if how in ("written", "replaced", "expanded"):
                y = y * (self.mean.clone() if how == "written" else self.mean)
            with torch.no_grad():
                if how == "written":
                    self.mean.mul_(0.9)
                elif how in ("replaced", "was None", "expanded and written"):
                    self.mean = 0.9 * torch.ones(128, 64, device=y.device)
                elif how == "made":
                    self.register_buffer("other", torch.ones(3))
            return y.square().mean()

    model = Counting().to(device)
    buffers = dict(model._buffers)
    x = torch.randn(128, 64, device=device)
    outer = None if how == "written" else model(x)  # whose graph holds the buffer
    model._buffers.clear()
    model._buffers.update(buffers)
    versions = {name: buffer._version for name, buffer in buffers.items() if buffer is not None}
    assert qccl.measure(lambda: model(x), model, min_elems=64).noise < 1e-6, "each pass begins with the same buffers"
    assert {name: id(buffer) for name, buffer in model._buffers.items()} == {name: id(buffer) for name, buffer in buffers.items()}
    if how == "written":
        assert torch.equal(model.mean, torch.ones_like(model.mean))
    else:
        assert {name: buffer._version for name, buffer in buffers.items() if buffer is not None} == versions
        outer.backward()


def test_what_to_do_where_an_exact_solution_is_too_much(device, monkeypatch):
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh()).to(device)
    measured = qccl.measure(lambda: model(torch.ones(128, 64, device=device)).square().mean(), model, min_elems=64)

    def refuse(name, *arguments):
        raise qccl.QcclError(4, "too many allocations are equally good")

    monkeypatch.setattr(_library, "call", refuse)
    with pytest.raises(qccl.QcclError, match="equally good: measure by='kind', or fewer codecs") as caught:
        measured.solve(measured.exact_bytes)
    assert caught.value.code == 4


def test_a_buffer_of_another_size_is_as_before(device):
    """Its memory is gone, so that another one comes in its place."""
    model = nn.Linear(64, 64).to(device)
    model.register_buffer("seen", torch.arange(8.0, device=device))

    def step():
        model.seen.data = torch.cat([model.seen, model.seen[-1:] + 1])
        return (model(torch.ones(128, 64, device=device)).tanh() * len(model.seen)).mean()

    assert qccl.measure(step, model, min_elems=64).noise < 1e-6
    assert model.seen.tolist() == list(range(8))


def test_gradients_are_as_before_when_a_step_fills_them(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh()).to(device)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    gradients = [parameter.grad for parameter in model.parameters()]

    def step():
        model.zero_grad(set_to_none=True)
        return backward(model(torch.ones(128, 64, device=device)).square().mean())

    with pytest.raises(RuntimeError, match="did the backward pass"):
        qccl.measure(step, model, min_elems=64)
    assert all(parameter.grad is gradient and bool((gradient == 1).all()) for parameter, gradient in zip(model.parameters(), gradients))


def test_a_step_that_drifts_is_refused(device):
    """By less than the noise that is allowed between two passes."""
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()).to(device)
    x = torch.randn(128, 64, device=device)
    passes = []

    def step():
        passes.append(0)
        y = model(x)
        return y.square().mean() + 0.01 * len(passes) * y.mean()

    with pytest.raises(ValueError, match="two gradients of step.. differ by "):
        qccl.measure(step, model, min_elems=64)
    assert len(passes) > 4, "the first two passes alone do not show it"


def test_threads_measure_one_after_the_other(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5), nn.Tanh()).to(device)

    def measure(results):
        results.append(qccl.measure(lambda: model(torch.ones(128, 64, device=device)).square().mean(), model, min_elems=64).noise)

    results = []
    threads = [threading.Thread(target=measure, args=(results,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and max(results) < 1e-6


def test_nothing_is_left_when_a_step_fails(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh()).to(device)
    passes = []

    def step():
        passes.append(0)
        y = model(torch.ones(128, 64, device=device))
        if len(passes) == 4:
            raise KeyError("no batch")
        return y.square().mean()

    with pytest.raises(KeyError, match="no batch"):
        qccl.measure(step, model, min_elems=64)


def backward(loss):
    loss.backward(retain_graph=True)
    return loss


def test_mistakes_are_named(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64)).to(device)
    x = torch.randn(128, 64, device=device)

    def loss():
        return model(x).square().mean()

    for arguments, sentence in [
        ({"by": "layer"}, "by is 'tensor' or 'kind', not 'layer'"),
        ({"codecs": ["int3"]}, r"codecs \['int3'\]; take some of int4, "),
        ({"codecs": []}, r"codecs \[\]; take some of"),
        ({"scale": "float64"}, "scale 'float64' is unknown"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            qccl.measure(loss, model, **arguments)
    with pytest.raises(qccl.QcclError, match="block"):
        qccl.measure(loss, model, block=100)
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        qccl.measure(loss, nn.ReLU())
    with pytest.raises(TypeError, match="must return the loss, a tensor of one element with a gradient"):
        qccl.measure(lambda: model(x), model)
    with pytest.raises(ValueError, match="is 0, infinite or not a number"):
        qccl.measure(lambda: model(x).mean() * 0, model)
    with pytest.raises(ValueError, match="is 0, infinite or not a number"):
        qccl.measure(lambda: model[0](torch.ones_like(x)).sum() * 1e38 * 1e38, model[0])
    with pytest.raises(ValueError, match="saves nothing that codes would make smaller"):
        qccl.measure(loss, model, min_elems=10**6)
    with pytest.raises(RuntimeError, match="step.. did the backward pass; it must not, and return the loss"):
        qccl.measure(lambda: backward(loss()), model)
    with pytest.raises(RuntimeError, match="qccl.measure: reentrant checkpoints .* use_reentrant=False"):
        qccl.measure(lambda: checkpoint(model[1:], model[0](x), use_reentrant=True).mean(), model, min_elems=64)
    with pytest.raises(ValueError, match=r"two gradients of step\(\) differ by [0-9.]+ of their norm"):
        generator = torch.Generator(device=device)
        qccl.measure(lambda: model(torch.randn(128, 64, device=device, generator=generator)).square().mean(), model)


@pytest.mark.parametrize("change", ["more", "other", "fewer", "sizes"])
def test_a_step_that_changes_is_refused(change, device):
    model = nn.Linear(64, 64).to(device)
    x = torch.randn(128, 64, device=device)
    passes = []

    def step():
        passes.append(0)
        first = len(passes) < 3
        y = model(x if first or change != "sizes" else x[:64]).tanh()
        loss = (y.exp().log() if change == "other" and not first else y.sin()).square().mean()
        return loss.exp() if change == ("fewer" if first else "more") else loss

    with pytest.raises(RuntimeError, match="does not save the same tensors each time: .* instead of "):
        qccl.measure(step, model, min_elems=64)


def test_budgets_that_are_no_bytes(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh()).to(device)
    measured = qccl.measure(lambda: model(torch.ones(128, 64, device=device)).square().mean(), model, min_elems=64)
    assert measured.least_bytes == measured.bytes_in("int4") < measured.exact_bytes == 128 * 64 * 4
    for budget in (float("inf"), 2**64, 10**400):
        assert measured.solve(budget).bytes == measured.exact_bytes
    for budget in (float("nan"), "5MB", None):
        with pytest.raises(TypeError, match="a budget is a number of bytes, not "):
            measured.solve(budget)
    with pytest.raises(qccl.QcclError, match="a budget of 0 bytes is too small.* bytes$"):
        measured.solve(-1)
    with pytest.raises(ValueError, match="codec 'fp8e4m3' was not measured; take one of "):
        measured.bytes_in("fp8e4m3")


def test_distributed_data_parallel_is_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", world_size=1, rank=0)
    try:
        model = nn.parallel.DistributedDataParallel(nn.Linear(4, 4))
        with pytest.raises(TypeError, match="measure the module inside of DistributedDataParallel"):
            qccl.measure(lambda: model(torch.ones(2, 4)).sum(), model)
    finally:
        torch.distributed.destroy_process_group()
