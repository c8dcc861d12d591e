"""What is never quantized, and what only on demand."""

import pytest
import torch
from support import computed, gradients, leaf, rows, signs
from torch import nn
from torch.nn import functional

import qccl
from qccl._library import CODECS


def saved(forward, plan="int8", **options):
    """What becomes of the tensors that forward() saves: how many are codes, whoever else holds them, and how many are kept, by reason."""
    context = qccl.activations(plan, **{"min_elems": 1, **options})
    with context:
        result = forward()
    kept = rows(context)
    del result
    codes = sum(kept.pop(row, 0) for row in [*CODECS, "alive elsewhere"])
    return {"codes": codes, **kept} if codes else kept


def test_parameters_and_their_views(device):
    weight = nn.Parameter(torch.randn(64, 64, device=device))
    x, _ = computed(torch.randn(8, 64, device=device))
    for use in [
        lambda: x @ weight,
        lambda: functional.linear(x, weight),
        lambda: x @ weight.t(),
        lambda: x @ weight.view(8, 8, 64).transpose(0, 1).reshape(64, 64)[:, :32],
        lambda: x[:, :32] @ weight[16:48].t().t()[:, 3:9],
        lambda: x * weight[:8].unsqueeze(0).squeeze(0),
    ]:
        kept = saved(use)
        assert kept.pop("parameter") == 1
        assert set(kept) == {"codes"}, "x, and nothing else"


def test_frozen_parameters(device):
    weight = nn.Parameter(torch.randn(64, 64, device=device), requires_grad=False)
    x, _ = computed(torch.randn(8, 64, device=device))
    assert saved(lambda: x @ weight.t()) == {"parameter": 1}


def test_copies_of_parameters_that_autocast_makes(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)).to(device)
    x = torch.randn(8, 64, device=device)

    def forward():
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return model(x)

    kept = saved(forward)
    assert kept["parameter"] == 1  # the second weight: nothing needs the gradient of the first layer's input
    assert kept["codes"] == 1  # the second layer's input
    assert set(kept) <= {"parameter", "codes", "no gradient"}


def test_copies_of_parameters_under_views():
    weight = nn.Parameter(torch.randn(64, 64))
    x, _ = computed(torch.randn(8, 64).double())
    assert saved(lambda: x @ weight.t().double().t())["parameter"] == 1


def test_leaves_are_the_callers(device):
    x = leaf(torch.randn(64, 64, device=device))
    assert saved(lambda: x * x) == {"leaf": 2}
    assert saved(lambda: x.t().exp() * x.view(-1, 8).reshape(64, 64)) == {"leaf": 1, "codes": 1, "repeated": 1}


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64])
def test_types_that_no_codec_takes_stay_exact(dtype, device):
    x, source = computed(torch.randn(64, 64, dtype=dtype, device=device))
    exact = gradients(lambda: (x * x).abs().sum() + 0 * source.abs().sum(), [source])[1][0]
    x, source = computed(source.detach())
    context = qccl.activations("int4", min_elems=1)
    with context:
        loss = (x * x).abs().sum() + 0 * source.abs().sum()
    loss.backward()
    assert torch.equal(source.grad, exact)
    assert "int4" not in rows(context)


def test_integers_and_booleans(device):
    x, _ = computed(torch.randn(64, 64, device=device))
    index = torch.randint(0, 64, (64, 64), device=device)
    assert saved(lambda: x.gather(1, index))["type"] == 1
    assert saved(lambda: torch.where(x > 0, x, -x))["type"] == 1


def test_small_empty_and_of_no_dimension(device):
    x, _ = computed(torch.tensor(3.0, device=device))
    y, _ = computed(torch.randn(0, 4, device=device))
    z, _ = computed(torch.randn(10, 10, device=device))
    assert saved(lambda: (x.exp(), y.exp(), z.exp()), min_elems=101) == {"small": 2, "other tensor": 1}
    assert saved(lambda: z.exp(), min_elems=100) == {"codes": 1}
    # One value needs a scale and padding, which are more than 4 bytes; 16-bit values as bf16 are as large as before.
    half, _ = computed(torch.randn(64, 64, device=device).bfloat16())
    assert saved(lambda: x.exp()) == {"small": 1}
    assert saved(lambda: half.exp(), "bf16") == {"small": 1}


def test_other_kinds_of_tensors():
    dense = leaf(torch.eye(64))
    matrix = dense.to_sparse()
    x, _ = computed(torch.randn(64, 8))
    assert saved(lambda: torch.sparse.mm(matrix, x))["other tensor"] >= 1

    class Marked(torch.Tensor):
        pass

    y, _ = computed(torch.randn(64, 64))
    assert saved(lambda: y.as_subclass(Marked).sin()) == {"other tensor": 1}


def test_views_that_only_say_that_they_are_negated(device):
    x, source = computed(torch.randn(64, 64, device=device))
    acts = qccl.activations("int8", min_elems=1)
    with acts:
        loss = torch._neg_view(x).sin().sum()
    assert rows(acts) == {"other tensor": 1}
    loss.backward()
    assert torch.equal(source.grad, -source.detach().cos())


def test_data_masks_and_statistics(device):
    x, _ = computed(torch.randn(64, 64, device=device))
    mask = torch.full((64, 64), float("-inf"), device=device).triu(1)
    assert saved(lambda: x * mask) == {"no gradient": 1}
    assert saved(lambda: x / x.pow(2).mean(-1, keepdim=True).sqrt())["statistics"] == 2
    kept = saved(lambda: functional.layer_norm(x, (64,)))
    assert kept["codes"] == 1 and kept["no gradient"] == 2  # mean and rstd


STATISTICS = {
    "group_norm": lambda x: functional.group_norm(x, 4),
    "batch_norm": lambda x: functional.batch_norm(x, None, None, training=True),
    "layer_norm": lambda x: functional.layer_norm(x, x.shape[-1:]),
    "norm": lambda x: x.norm(dim=-1),
    "norm of another power": lambda x: x.norm(p=3, dim=1),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=(1, 2)),
    "std": lambda x: x.std(-1),
    "std_mean": lambda x: torch.std_mean(x, -1),
    "var": lambda x: x.var(-1).square(),
    "view of a norm": lambda x: x / x.norm(dim=1).view(-1, 1, 8, 8),
}


def seen_by_keep(function, x):
    """What becomes of the tensors that function(x) saves, and the shapes of those smaller than x that keep= is asked about."""
    shapes = []
    kept = saved(lambda: function(x), keep=lambda tensor: tensor.numel() < x.numel() and not shapes.append(tuple(tensor.shape)))
    return kept, shapes


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_in_no_column(name, device):
    """Next to no bytes; and of rows of such different sizes most statistics would come back as 0."""
    x, _ = computed(torch.randn(64, 16, 8, 8, device=device) * torch.logspace(-4, 4, 64, device=device)[:, None, None, None])
    kept, shapes = seen_by_keep(STATISTICS[name], x)
    assert shapes == [] and kept.get("statistics", 0) + kept.get("no gradient", 0) > 0
    if name == "group_norm":
        assert kept == {"codes": 1, "statistics": 2}
        assert saved(lambda: STATISTICS[name](x), lambda tensor: "int8") == {"codes": 3}, "which a plan that is a function decides itself"


def test_what_is_computed_from_statistics_is_not_recognised(device):
    """A limit, written down."""
    x, _ = computed(torch.randn(64, 16, 8, 8, device=device))
    assert seen_by_keep(lambda x: 1 / x.std(-1), x)[1] == [(64, 16, 8)]
    assert seen_by_keep(lambda x: x.var(-1).sqrt(), x)[1] == [(64, 16, 8)]


def test_logarithms_that_backward_raises_e_to(device):
    logits, source = computed(torch.randn(64, 100, device=device) * 8)
    target = torch.randint(0, 100, (64,), device=device)
    kept = saved(lambda: functional.cross_entropy(logits, target))
    assert kept["logarithms"] >= 1 and "codes" not in kept
    exact = gradients(lambda: functional.cross_entropy(source.clone(), target), [source])[1][0]
    got = gradients(lambda: functional.cross_entropy(source.clone(), target), [source], qccl.activations("int4", min_elems=1))[1][0]
    assert torch.equal(got, exact)


def test_plans_by_type_and_by_function(device):
    x, _ = computed(torch.randn(64, 64, device=device))
    h, _ = computed(torch.randn(64, 64, device=device).bfloat16())
    assert saved(lambda: (x.exp(), h.exp()), {torch.float32: "int4"}) == {"codes": 1, "asked for": 1}
    assert saved(lambda: (x.exp(), h.exp()), {torch.float32: "int4", torch.bfloat16: None}) == {"codes": 1, "asked for": 1}
    by_shape = lambda tensor: "int4" if tensor.dim() == 2 else None  # noqa: E731
    assert saved(lambda: (x.exp(), x.view(4, 16, 64).exp()), by_shape) == {"codes": 1, "asked for": 1}
    assert saved(lambda: (x.exp(), h.exp()), keep=lambda tensor: tensor.dtype == torch.bfloat16) == {"codes": 1, "asked for": 1}
    assert saved(lambda: x.exp(), "none") == {"asked for": 1}


def test_a_plan_that_is_a_function_decides_on_more(device):
    x, _ = computed(torch.randn(64, 64, device=device))
    weight = nn.Parameter(torch.randn(64, 64, device=device))
    data = torch.randn(64, 64, device=device)
    assert saved(lambda: (x * data) @ weight, lambda tensor: "int8") == {"codes": 2, "parameter": 1}
    assert saved(lambda: x.log_softmax(-1), lambda tensor: "int8") == {"codes": 1}


@pytest.mark.parametrize(
    "wrong", [{"plan": "int3"}, {"plan": {torch.int32: "int8"}}, {"plan": {torch.float32: "int3"}}, {"scale": "double"}]
)
def test_mistakes_in_a_plan_are_named_at_once(wrong):
    with pytest.raises(ValueError, match=r"int3.*take one of none, int8|torch.int32 cannot be quantized|scale 'double' is unknown"):
        qccl.activations(**wrong)


def test_a_block_that_the_library_does_not_know_is_its_own_sentence():
    with pytest.raises(qccl.QcclError, match="48"):
        qccl.activations("int8", block=48)


@pytest.mark.parametrize("wrong", [{"plan": 8}, {"keep": torch.float32}])
def test_plans_of_no_sort(wrong):
    with pytest.raises(TypeError, match="a plan is a codec|keep is a function"):
        qccl.activations(**wrong)


def test_a_function_that_names_no_codec():
    x, _ = computed(torch.randn(64, 64))
    # PyTorch 1.13 makes a RuntimeError with the same text of what a hook raises.
    with pytest.raises((ValueError, RuntimeError), match="'int7' is unknown"), qccl.activations(lambda tensor: "int7"):
        x.exp()


def test_kept_tensors_that_were_written_to_are_noticed(device):
    weight = nn.Parameter(torch.randn(64, 64, device=device))
    x, _ = computed(signs(8, 64, device=device))
    with qccl.activations("int8", min_elems=1):
        loss = (x @ weight).sum()
    with torch.no_grad():
        weight.add_(1)
    with pytest.raises(RuntimeError, match=r"modified in place after it was saved.*\(parameter\)"):
        loss.backward()

    x, source = computed(torch.randn(10, 10, device=device))
    with qccl.activations("int8"):
        y = x.exp()  # too small for codes
    y.mul_(2)
    with pytest.raises(RuntimeError, match=r"modified in place.*\(small\)"):
        y.sum().backward()
