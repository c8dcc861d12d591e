"""Whatever a tensor looks like in memory, what comes back is that tensor."""

import pytest
import torch
from support import computed, leaf, signs

import qccl

VIEWS = {
    "contiguous": lambda x: x,
    "permuted": lambda x: x.permute(3, 1, 0, 2),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "with gaps": lambda x: x[1:5, ::3, 2:, 1::2],
    "expanded inside": lambda x: x[:, :, :1, :1].expand(-1, -1, 7, 5),
    "expanded outside": lambda x: x[2:3, 4:5].expand(9, -1, -1, -1),
    "overlapping": lambda x: x.as_strided((5, 8, 3), (7, 2, 1), 11),
    "windows": lambda x: x.unfold(3, 4, 2).transpose(1, 4),
    "of ones": lambda x: x.unsqueeze(-1).unsqueeze(2).unsqueeze(0),
}
DENSE = {"contiguous", "permuted", "channels last", "of ones"}


class Product(torch.autograd.Function):
    """Half the square; `seen` is what it found saved."""

    seen = None

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square() / 2

    @staticmethod
    def backward(ctx, grad):
        (Product.seen,) = ctx.saved_tensors
        return grad * Product.seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", VIEWS)
def test_values_that_codes_hold_exactly_come_back_bit_for_bit(name, dtype, device):
    view = VIEWS[name]
    values = signs(6, 10, 12, 14, dtype=dtype, device=device)
    x, source = computed(values)
    viewed = view(x)
    with qccl.activations(lambda tensor: "int4"):
        y = Product.apply(viewed)
    y.sum().backward()
    assert Product.seen.dtype == dtype and Product.seen.data_ptr() != viewed.data_ptr()
    assert torch.equal(Product.seen, viewed)
    if name in DENSE:
        assert Product.seen.stride() == viewed.stride()
    exact = leaf(values)
    (view(exact.clone()).square() / 2).sum().backward()
    assert torch.equal(source.grad, exact.grad)


def test_an_expanded_tensor_is_stored_without_its_repetitions(device):
    x, _ = computed(signs(64, 1, device=device))
    acts = qccl.activations(lambda tensor: "int8")
    with acts:
        y = Product.apply(x.expand(64, 1000))
    assert acts.report().held_bytes < 100
    y.sum().backward()
    assert torch.equal(Product.seen, x.expand(64, 1000))
