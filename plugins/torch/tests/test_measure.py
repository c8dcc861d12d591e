"""What is measured on a model, and how true the predictions for solved plans are."""

import pytest
import torch
from support import coded_bytes, gradients, rows, used
from test_gradients import small_llama
from torch import nn

import qccl
from qccl._measured import Group, Storage
from qccl._plan import formats
from qccl._solved import Kind


def llama_step(device, batch=2, length=64):
    model = small_llama().to(device)
    tokens = torch.randint(0, 256, (batch, length), device=device)
    return model, lambda: model(input_ids=tokens, labels=tokens).loss


def error_of(model, step, context):
    """Of the gradient of all parameters, relative."""
    parameters = list(model.parameters())
    _, exact = gradients(step, parameters)
    _, got = gradients(step, parameters, context)
    off = sum(float((a - b).square().sum()) for a, b in zip(got, exact))
    return (off / sum(float(each.square().sum()) for each in exact)) ** 0.5


@pytest.mark.parametrize("by", ["tensor", "kind"])
def test_the_same_bytes_do_more_where_they_matter(by, device):
    model, step = llama_step(device)
    measured = qccl.measure(step, model, by=by, min_elems=256)
    assert measured.noise == 0 or device.type == "cuda"
    for codec in ["int5", "int6", "int8"]:
        uniform = qccl.activations(codec, min_elems=256)
        uniform_error = error_of(model, step, uniform)
        assert measured.bytes_in(codec) == coded_bytes(uniform)
        plan = measured.solve(measured.bytes_in(codec))
        solved = qccl.activations(plan)
        error = error_of(model, step, solved)
        assert plan.bytes <= plan.budget_bytes
        assert error < (0.8 if codec == "int5" else 1.0) * uniform_error
        assert plan.predicted_error == pytest.approx(error, rel=0.3)
        assert coded_bytes(solved) == plan.bytes, "what the plan says is what the pool holds, as long as no tensor is kept as it is"
        assert (max(len(set(row.codecs)) for row in plan.rows) == 1) == (by == "kind")


def test_budgets_from_the_least_to_all(device):
    model, step = llama_step(device)
    measured = qccl.measure(step, model, by="kind", min_elems=256)
    assert set(rows(used(step, measured.solve(measured.least_bytes)))) >= {"int4"}
    exact = measured.solve(measured.exact_bytes)
    assert exact.predicted_error == 0 and error_of(model, step, qccl.activations(exact)) <= 2 * measured.noise
    errors = [measured.solve(share * measured.exact_bytes).predicted_error for share in (0.14, 0.2, 0.3, 0.5, 0.9)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 10
    with pytest.raises(qccl.QcclError, match=f"budget of {measured.least_bytes - 1} bytes is too small.*raise the budget by 1 bytes"):
        measured.solve(measured.least_bytes - 1)


@pytest.mark.parametrize("options", [{}, {"block": 32, "scale": "float32"}])
def test_errors_are_those_of_the_values_where_the_gradient_is_the_value(options, device):
    """The gradient of w in (x w).sum() is x, so that its error is known without a pass: of the codecs of passes and of all others."""
    layer = nn.Linear(64, 128, bias=False).to(device)
    w = nn.Parameter(torch.randn(96, 128, device=device))
    layer.w = w
    fixed = torch.randn(96, 64, device=device)
    with torch.no_grad():
        x = layer(fixed)
    measured = qccl.measure(lambda: (layer(fixed) * w).sum(), _Only(w), codecs=["int4", "int5", "int8", "fp8e4m3"], **options)
    (group,) = measured._groups
    for codec in ["int4", "int5", "int8", "fp8e4m3"]:
        with qccl.activations(codec, **options):
            loss = (layer(fixed) * w).sum()
        (got,) = torch.autograd.grad(loss, w)
        expected = float((got - x).norm() / x.norm())
        assert group.error_in(codec) ** 0.5 == pytest.approx(expected, rel=1e-4)


def test_noise_of_gradients_is_no_error_of_codes(device):
    """As of kernels that add in any order: here more than a tensor in 4 bits makes."""
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(64, 64), nn.Tanh())]).to(device)
    x = torch.randn(256, 64, device=device)
    state = torch.Generator().manual_seed(1)  # goes on from pass to pass
    passes = []

    def step(noise=0.0):
        passes.append(noise)
        loss = model(x).square().sum()
        for parameter in model.parameters():
            loss = loss + noise * (parameter * torch.randn(parameter.shape, generator=state).to(device)).sum()
        return loss

    exact = qccl.measure(step, model, min_elems=64)
    noisy = qccl.measure(lambda: step(0.1), model, min_elems=64)
    assert exact.noise < 1e-4 < 0.01 < noisy.noise < 0.1
    plans = [measured.solve(measured.bytes_in("int5")) for measured in (exact, noisy)]
    assert max(group.gradient_errors["int4"] for group in exact._groups) ** 0.5 < noisy.noise
    assert plans[1].predicted_error == pytest.approx(plans[0].predicted_error, rel=0.15)
    tensors = len(exact._groups)
    assert passes.count(0) == exact.passes == 4 + 3 * tensors
    assert passes.count(0.1) == noisy.passes == 4 + tensors, "what the noise hides is not gone through for"


class _Only(nn.Module):
    def __init__(self, parameter):
        super().__init__()
        self.parameter = parameter


def test_what_is_alive_elsewhere_is_not_planned(device):
    layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(3)]).to(device)
    x = torch.randn(128, 64, device=device)
    held = []

    def step():
        held.clear()
        y = x
        for number, layer in enumerate(layers):
            y = layer(y).tanh()
            if number == 1:
                held.append(y)
        return y.square().mean()

    measured = qccl.measure(step, layers, min_elems=64)
    # The outputs of three tanh are saved, one of which the caller holds.
    assert measured.exact_bytes == 2 * x.numel() * 4
    context = used(step, measured.solve(measured.least_bytes))
    assert rows(context)["int4"] == 2 and "alive elsewhere" not in rows(context)


def test_parts_of_one_storage_are_kept_alike(device):
    """A storage is held as long as one of its parts is kept as it is, so that it is counted once and decided about as one."""
    model = nn.Linear(64, 192).to(device)
    x = torch.randn(128, 64, device=device)

    def step():
        q, k, v = model(x).chunk(3, -1)
        return (q.sigmoid() * k * v.cosh()).mean()

    measured = qccl.measure(step, model, min_elems=64)
    plan = measured.solve(measured.exact_bytes)
    assert plan.bytes <= measured.exact_bytes
    shared = [row for row in plan.rows if row.exact_bytes == 128 * 192 * 4]
    assert len(shared) == 1 and len(shared[0].codecs) >= 2
    for share in (0.2, 0.3, 0.5):
        (row,) = [row for row in measured.solve(share * measured.exact_bytes).rows if row.name == shared[0].name]
        assert len(set(row.codecs)) == 1


def close(model, step, measured, *codecs, rel=0.3):
    """Predictions for the bytes of each codec, and errors below those of the codec for all."""
    for codec in codecs:
        plan = measured.solve(max(measured.bytes_in(codec), measured.least_bytes))
        error = error_of(model, step, qccl.activations(plan))
        assert plan.predicted_error == pytest.approx(error, rel=rel), codec
        assert error <= 1.01 * error_of(model, step, qccl.activations(codec, min_elems=64)), codec


def test_values_that_come_back_as_0_below_a_relu(device):
    """Their number is proportional to the step, not to its square: 8 bits are 4 times worse than the values' errors say."""
    layers = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
    model = nn.Sequential(*layers).to(device)
    x, labels = torch.randn(256, 64, device=device), torch.randint(0, 10, (256,), device=device)

    def step():
        return nn.functional.cross_entropy(model(x), labels)

    measured = qccl.measure(step, model, min_elems=64)
    close(model, step, measured, "int4", "int5", "int6", "int8")
    proportional = sum(group.gradient_errors["int4"] * group.value_ratio("int8") for group in measured._groups) ** 0.5
    assert proportional < 0.5 * error_of(model, step, qccl.activations("int8", min_elems=64)), "with one pass each it would be far off"


INF, NAN = float("inf"), float("nan")


STEPS = [1, 1 / 4, 1 / 16, 1 / 256, 1e-6]


@pytest.mark.parametrize(
    # Errors of the values in int4, int5, int6, int8 and bf16; the gradient's that were measured in int4, int8 and bf16; and what follows.
    ("value_errors", "measured", "expected"),
    [
        (STEPS, (0.1, None, None), [0.1, 0.1 / 4, 0.1 / 16, 0.1 / 256, 1e-7]),
        (STEPS, (0.1, 0.1 / 256, 0.3), [0.1, 0.1 / 4, 0.1 / 16, 0.1 / 256, 0.3]),
        (STEPS, (0.1, 0.1 / 16, 0), [0.1, 0.1 / 2, 0.1 / 4, 0.1 / 16, 0]),  # as below a ReLU
        (STEPS, (0.1, 1e-9, None), [0.1, 0.1 / 4, 0.1 / 16, 0.1 / 256, 1e-7]),  # less than can be
        (STEPS, (0.1, 0.2, None), [0.1, 0.1, 0.1, 0.1, 1e-7]),  # no better with more bits
        (STEPS, (0.0, None, None), [0, 0, 0, 0, 0]),
        ([1, 1 / 4, 1 / 16, 1 / 256, 0], (0.1, None, None), [0.1, 0.1 / 4, 0.1 / 16, 0.1 / 256, 0]),
        ([1, 1 / 4, 1 / 16, 0, 0], (0.1, 0.05, None), [0.1, 0.1 / 4, 0.1 / 16, 0, 0]),
        ([0, 0, 0, 0, 0], (0.1, 0.05, 0.01), [0.1, 0.1, 0.1, 0.05, 0.01]),  # too small to be told from 0
        ([NAN, NAN, NAN, NAN, NAN], (0.1, 0.05, 0.01), [0.1, 0.1, 0.1, 0.05, 0.01]),
        ([INF, INF, INF, INF, 1], (0.1, None, None), [0.1, 0.1, 0.1, 0.1, 0.1]),
        (STEPS, (INF, 0.05, 0.01), [INF, INF, INF, 0.05, 0.01]),
        (STEPS, (INF, INF, 0.01), [INF, INF, INF, INF, 0.01]),
        (STEPS, (INF, INF, INF), [INF, INF, INF, INF, INF]),
        (STEPS, (0.1, INF, None), [0.1, 0.1, 0.1, 0.1, 1e-7]),
    ],
)
def test_errors_between_and_beyond_what_was_measured(value_errors, measured, expected):
    codecs = ["int4", "int5", "int6", "int8", "bf16"]
    storage = Storage(Kind("MulBackward0", torch.float32, 1), (16384,), 65536, [16384], dict(zip(codecs, map(float, value_errors))))
    group = Group([storage], formats(128, "bfloat16"))
    assert (group.coarse, group.fine, group.floats) == ("int4", "int8", ["bf16"])
    group.gradient_errors = {codec: error for codec, error in zip(["int4", "int8", "bf16"], measured) if error is not None}
    assert [group.error_in(codec) for codec in codecs] == pytest.approx(expected, rel=1e-9)
    assert set(group.choices()) == {"none", *(codec for codec, error in zip(codecs, expected) if error < INF)}


@pytest.mark.parametrize("value", [float("-inf"), torch.finfo(torch.float32).min, -1e4, 0.0])
def test_masks_do_not_hide_what_else_matters(value, device):
    """The largest, or an infinite, value makes the error of the values in its tensor so large that nothing follows from it."""

    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k = nn.Linear(64, 64), nn.Linear(64, 64)
            self.register_buffer("mask", torch.full((256, 256), value).triu(1))

        def forward(self, x):
            scores = self.q(x) @ self.k(x).t() + self.mask
            return (scores.logsumexp(-1) - scores.diagonal()).mean()

    model = Scores().to(device)
    x = torch.randn(256, 64, device=device)

    def step():
        return model(x)

    measured = qccl.measure(step, model, min_elems=64)
    assert measured.least_bytes < 0.51 * measured.exact_bytes, "bf16 is there for all at the least"
    for share in (0.52, 0.6):
        plan = measured.solve(share * measured.exact_bytes)
        assert plan.predicted_error == pytest.approx(error_of(model, step, qccl.activations(plan)), rel=0.3)
        assert plan.predicted_error < 0.01


@pytest.mark.parametrize("factor", [1e-25, 1e20])
def test_gradients_and_activations_of_any_size(factor, device):
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()).to(device)
    x = torch.randn(128, 64, device=device)

    def step(factor=factor):
        return ((model(x) * factor) * model(x)).sum() + (model(x) * factor).square().sum() / factor

    measured = qccl.measure(step, model, min_elems=64)
    reference = qccl.measure(lambda: step(1.0), model, min_elems=64)
    for codec in ("int4", "int6"):
        plans = [each.solve(each.bytes_in(codec)) for each in (measured, reference)]
        assert plans[0].predicted_error == pytest.approx(plans[1].predicted_error, rel=0.1)


@pytest.mark.parametrize("what", ["infinite", "not a number"])
def test_what_destroys_the_gradient_is_never_chosen(what, device):
    """Values that come back as 0 have an infinite derivative of the logarithm, and a derivative of p log p that is not a number."""
    layer = nn.Linear(64, 64).to(device)
    x = torch.randn(256, 64, device=device)

    def step():
        p = (6 * layer(x)).softmax(-1)
        return -((p + 0).log().clamp_min(-20) * 1e-3).mean() if what == "infinite" else -(p * p.log()).sum(-1).mean()

    measured = qccl.measure(step, layer, min_elems=64)
    broken = [group for group in measured._groups if not group.gradient_errors[group.coarse] < 1e30]
    assert broken, "nothing is destroyed, so that nothing is tested"
    for budget in (measured.least_bytes, 2 * measured.least_bytes, measured.exact_bytes):
        plan = measured.solve(budget)
        assert plan.predicted_error < 10
        with qccl.activations(plan):
            loss = step()
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, list(layer.parameters())))


def test_the_error_of_any_plan_can_be_asked_for(device):
    """As whether a plan has aged: two passes, from the same state and to it."""
    model, step = llama_step(device)
    plan = qccl.measure(step, model, by="kind", min_elems=256).solve(450_000)
    for spec, options in [(plan, {}), ("int4", {"min_elems": 256}), (lambda tensor: "int8", {"block": 64}), ("none", {})]:
        error = qccl.gradient_error(step, model, spec, **options)
        assert error == pytest.approx(error_of(model, step, qccl.activations(spec, **options)), rel=0.01, abs=1e-6)
    assert qccl.gradient_error(step, model, plan) == pytest.approx(plan.predicted_error, rel=0.3)
    assert qccl.gradient_error(step, model, "int4") > 3 * plan.predicted_error
    with pytest.raises(ValueError, match="qccl.gradient_error: the gradient of step"):
        qccl.gradient_error(lambda: step() * 0, model, "int8")


def test_graphs_that_end_during_forward_are_not_planned(device):
    """A number that is logged, say: its storages are gone, and their numbers may be given to others."""
    layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(8)]).to(device)
    probe = nn.Linear(64, 64).to(device)
    model = nn.ModuleList([layers, probe])

    def step():
        x = torch.ones(256, 64, device=device)
        for layer in layers:
            probe(x[:32]).cosh().sinh().sum().item()
            x = layer(x).cosh().tanh()
        return x.mean()

    measured = qccl.measure(step, model, min_elems=64)
    assert measured.exact_bytes == sum(256 * 64 * 4 for _ in range(2 * len(layers)))
    assert measured.solve(measured.exact_bytes).bytes == measured.exact_bytes
    for share in (0, 0.2, 0.3):
        plan = measured.solve(max(share * measured.exact_bytes, measured.least_bytes))
        context = qccl.activations(plan)
        with context:
            loss = step()
        assert 0 < context.report().held_bytes <= plan.bytes <= plan.budget_bytes
        del loss


def test_by_kind_goes_on_without_the_one_that_is_alive(device):
    layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(6)]).to(device)
    held = []

    def step():
        x = torch.ones(128, 64, device=device)
        for layer in layers:
            x = layer(x).tanh()
        held[:] = [x]
        return x.square().mean()

    assert [qccl.measure(step, layers, by=by, min_elems=64).exact_bytes for by in ("tensor", "kind")] == 2 * [5 * 128 * 64 * 4]


def test_what_the_caller_keeps_and_what_no_codec_makes_smaller(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 96), nn.Tanh(), nn.Linear(96, 64), nn.Tanh()).to(device)
    x = torch.randn(128, 64, device=device)

    def step():
        return model(x).square().mean()

    measured = qccl.measure(step, model, min_elems=64, keep=lambda tensor: tensor.shape[-1] == 96)
    assert measured.exact_bytes == 2 * 128 * 64 * 4
    # In bfloat16 a codec of 16 bits makes nothing smaller, of float32 it halves.
    with torch.autocast(device.type, dtype=torch.bfloat16):
        measured = qccl.measure(lambda: model(x).float().exp().mean(), model, min_elems=64, codecs=["bf16"])
    assert {group.storages[0].kind.dtype for group in measured._groups} == {torch.float32}
    with torch.autocast(device.type, dtype=torch.bfloat16):
        measured = qccl.measure(lambda: model(x).float().exp().mean(), model, min_elems=64, codecs=["int8", "bf16"])
    in_16 = sum(group.exact_bytes for group in measured._groups if group.storages[0].kind.dtype == torch.bfloat16)
    assert 0 < in_16 < measured.exact_bytes and measured.bytes_in("bf16") == in_16 + (measured.exact_bytes - in_16) / 2
    with pytest.raises(ValueError, match="saves nothing that codes would make smaller"):
        qccl.measure(lambda: model.bfloat16()(x.bfloat16()).mean(), model, min_elems=64, codecs="bf16")


def test_frozen_unused_and_sparse_parameters(device):
    model = nn.Sequential(nn.Embedding(32, 64, sparse=True), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)).to(device)
    model[1].weight.requires_grad_(False)
    model.unused = nn.Linear(3, 3).to(device)
    numbers = torch.arange(128, device=device) % 32

    def step():
        y = model[3](model[2](model[1](model[0](numbers))))
        return (y * y).mean()

    measured = qccl.measure(step, model, min_elems=64)
    assert measured.noise < 1e-6 and measured.solve(measured.least_bytes).predicted_error > 0.01


def test_an_expanded_tensor_is_stored_once(device):
    model = nn.Linear(64, 64).to(device)
    x = torch.randn(128, 64, device=device)

    def step():
        y = model(x).expand(8, 128, 64)
        return (y * y).sum()

    measured = qccl.measure(step, model, min_elems=64, codecs=["int8"])
    plan = measured.solve(measured.least_bytes)
    assert plan.bytes == coded_bytes(used(step, plan))
