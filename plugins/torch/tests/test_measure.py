"""Plans that are measured on a model and solved for a budget."""

import pickle
import re

import pytest
import torch
from support import gradients, rows
from test_gradients import small_llama
from torch import nn

import qccl
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


def coded_bytes(context):
    return sum(row.bytes_after for what, row in context.report().rows.items() if what.startswith(("int", "bf16")))


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
    assert set(rows(_used(step, measured.solve(measured.least_bytes)))) >= {"int4"}
    exact = measured.solve(measured.exact_bytes)
    assert exact.predicted_error == 0 and error_of(model, step, qccl.activations(exact)) <= 2 * measured.noise
    errors = [measured.solve(share * measured.exact_bytes).predicted_error for share in (0.14, 0.2, 0.3, 0.5, 0.9)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 10
    with pytest.raises(qccl.QcclError, match=f"budget of {measured.least_bytes - 1} bytes is too small.*raise the budget by 1 bytes"):
        measured.solve(measured.least_bytes - 1)


def _used(step, plan):
    context = qccl.activations(plan)
    with context:
        step().backward()
    return context


def test_errors_are_those_of_the_values_where_the_gradient_is_the_value(device):
    """The gradient of w in (x w).sum() is x, so that its error is known without a pass: of the probed codec and of all others."""
    layer = nn.Linear(64, 128, bias=False).to(device)
    w = nn.Parameter(torch.randn(96, 128, device=device))
    layer.w = w
    fixed = torch.randn(96, 64, device=device)
    with torch.no_grad():
        x = layer(fixed)
    measured = qccl.measure(lambda: (layer(fixed) * w).sum(), _Only(w), codecs=["int4", "int5", "int8", "fp8e4m3"])
    (group,) = measured._groups
    for codec in ["int4", "int5", "int8", "fp8e4m3"]:
        with qccl.activations(codec):
            loss = (layer(fixed) * w).sum()
        (got,) = torch.autograd.grad(loss, w)
        expected = float((got - x).norm() / x.norm())
        assert group.choices(measured._formats)[codec].error ** 0.5 == pytest.approx(expected, rel=1e-4)


def test_noise_of_gradients_is_no_error_of_codes(device):
    """As of kernels that add in any order: here more than a tensor in 4 bits makes."""
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(64, 64), nn.Tanh())]).to(device)
    x = torch.randn(256, 64, device=device)
    state = torch.Generator().manual_seed(1)  # goes on from pass to pass

    def step(noise=0.0):
        loss = model(x).square().sum()
        for parameter in model.parameters():
            loss = loss + noise * (parameter * torch.randn(parameter.shape, generator=state).to(device)).sum()
        return loss

    exact = qccl.measure(step, model, min_elems=64)
    noisy = qccl.measure(lambda: step(0.1), model, min_elems=64)
    assert exact.noise < 1e-4 < 0.01 < noisy.noise < 0.1
    plans = [measured.solve(measured.bytes_in("int5")) for measured in (exact, noisy)]
    assert max(group.gradient_error for group in exact._groups) ** 0.5 < noisy.noise
    assert plans[1].predicted_error == pytest.approx(plans[0].predicted_error, rel=0.15)


class _Only(nn.Module):
    def __init__(self, parameter):
        super().__init__()
        self.parameter = parameter


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


def test_a_plan_holds_for_other_batches_and_contexts(device):
    model, step = llama_step(device)
    plan = qccl.measure(step, model, min_elems=256).solve(450_000)
    assert len({codec for codecs in plan.codecs.values() for codec in codecs}) > 2
    plan = pickle.loads(pickle.dumps(plan))
    expected = rows(_used(step, plan))

    def counts(context, steps=1):
        assert context.report().held_bytes == 0
        return {what: number / steps for what, number in rows(context).items()}

    tokens = torch.randint(0, 256, (3, 80), device=device)
    longer = _used(lambda: model(input_ids=tokens, labels=tokens).loss, plan)
    assert counts(longer) == expected
    again = qccl.activations(plan)
    for _ in range(3):
        with again:
            loss = step()
        loss.backward()
    with again:  # two micro-batches in one, with a graph of another context between them
        step().backward()
        with qccl.activations("int8"):
            step().backward()
        step().backward()
    del loss
    assert counts(again, 5) == expected


def test_a_context_inside_itself_begins_at_the_first_place(device):
    plan = qccl.SolvedPlan(
        codecs={Kind("TanhBackward0", torch.float32, 2): ("int4", "int8")}, block=128, scale="bfloat16", rows=(), budget_bytes=0, bytes=0,
        predicted_error=0.0,
    )  # fmt: skip
    context = qccl.activations(plan)
    x = torch.randn(64, 64, device=device, requires_grad=True).clone()

    def kept(steps):
        losses.extend(x.tanh().sum() for _ in range(steps))
        return rows(context)

    losses = []
    with context:
        assert kept(1) == {"int4": 1}
        with context:
            assert kept(2) == {"int4": 2, "int8": 1}
        assert kept(1) == {"int4": 2, "int8": 2}
        assert kept(1) == {"int4": 3, "int8": 2}, "saved more often than it was measured: from the first again"
    del losses[:]


def test_what_a_plan_does_not_know_is_kept(device):
    model, step = llama_step(device)
    plan = qccl.measure(step, model, by="kind", min_elems=256).solve(450_000)
    context = qccl.activations(plan)
    with context:
        (model.lm_head.weight.clone().double().float().sinh()).sum().backward()
    assert set(rows(context)) <= {"asked for", "type", "parameter"}


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
    context = _used(step, measured.solve(measured.least_bytes))
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


def test_a_table_and_a_dict_of_the_plan(device):
    model, step = llama_step(device)
    measured = qccl.measure(step, model, by="kind", min_elems=256)
    plan = measured.solve(500_000)
    text = str(plan)
    assert re.search(r"^SoftmaxBackward0 2x4x64x64 float32 +3 +393,216 ", text, re.M) or device.type == "cuda" or "Attention" in text
    assert re.search(rf"^all +\d+ +{measured.exact_bytes:,} +{plan.bytes:,} ", text, re.M)
    facts = plan.as_dict()
    assert facts["bytes"] == plan.bytes == sum(row["bytes"] for row in facts["rows"]) <= facts["budget_bytes"] == 500_000
    assert facts["predicted_error"] == pytest.approx(sum(row["error"] ** 2 for row in facts["rows"]) ** 0.5)


def test_a_solved_plan_has_its_own_scales(device):
    model, step = llama_step(device)
    plan = qccl.measure(step, model, by="kind", min_elems=256, block=64, scale="float32").solve(450_000)
    context = _used(step, plan)
    assert coded_bytes(context) == plan.bytes
    qccl.activations(plan, block=64, scale="float32")
    with pytest.raises(ValueError, match="block 128 is not what the plan was measured with, 64; leave it out"):
        qccl.activations(plan, block=128)
    with pytest.raises(ValueError, match="scale 'e8m0' is not what the plan was measured with, 'float32'"):
        qccl.activations(plan, scale="e8m0")


def test_infinite_errors_are_never_chosen(device):
    """Values that come back as 0 have an infinite derivative of the logarithm."""
    layer = nn.Linear(64, 64).to(device)
    small = torch.logspace(-6, 0, 64, device=device).expand(128, 64).contiguous()

    def step():
        return (small * layer.bias.exp() * layer.weight.sum().exp()).log().sum()

    plan = qccl.measure(step, layer, min_elems=64, codecs=["int4"]).solve(10**9)
    assert plan.predicted_error == 0
    assert not plan.rows or all(set(row.codecs) == {"none"} for row in plan.rows)


def test_mistakes_are_named(device, tmp_path):
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
    with pytest.raises(ValueError, match="saves nothing that codes would make smaller"):
        qccl.measure(loss, model, min_elems=10**6)
    with pytest.raises(ValueError, match=r"two gradients of step\(\) differ by [0-9.]+ of their norm"):
        generator = torch.Generator(device=device)
        qccl.measure(lambda: model(torch.randn(128, 64, device=device, generator=generator)).square().mean(), model)
    passes = []

    def changing():
        passes.append(0)
        y = model(x)
        return (y if len(passes) < 3 else y.sinh().asinh()).square().mean()

    with pytest.raises(RuntimeError, match="does not save the same tensors each time"):
        qccl.measure(changing, model)


def test_distributed_data_parallel_is_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", world_size=1, rank=0)
    try:
        model = nn.parallel.DistributedDataParallel(nn.Linear(4, 4))
        with pytest.raises(TypeError, match="measure the module inside of DistributedDataParallel"):
            qccl.measure(lambda: model(torch.ones(2, 4)).sum(), model)
    finally:
        torch.distributed.destroy_process_group()
