"""What each saved tensor costs and what it adds to the gradient's error, by codec; and the plan that this makes for a budget."""

from __future__ import annotations

import ctypes
import math
import numbers
from dataclasses import dataclass, field

from . import _library as lib
from ._pool import Format, coded
from ._solved import Kind, PlannedRow, SolvedPlan

BITS = {"int4": 4, "fp4e2m1": 4, "int5": 5, "int6": 6, "int8": 8, "fp8e4m3": 8, "fp8e5m2": 8, "bf16": 16}


@dataclass(eq=False)
class Storage:
    """Memory that autograd holds as long as one of the saved tensors in it is kept as it is, so that they are decided about together."""

    kind: Kind  # of the first tensor
    sizes: tuple[int, ...]
    bytes: int
    elems: list[int] = field(default_factory=list)  # of each tensor
    squared_errors: dict[str, float] = field(default_factory=dict)  # of the values, by codec: those that make every tensor smaller

    def bytes_in(self, format: Format) -> int:
        return sum(coded(elems, format).bytes for elems in self.elems)


class Group:
    """Storages that are kept alike, of which the same codecs make sense, and what the gradient says to that."""

    def __init__(self, storages: list[Storage], formats: dict[str, Format]) -> None:
        self.storages, self._formats = storages, formats
        self.value_errors = {codec: sum(storage.squared_errors[codec] for storage in storages) for codec in storages[0].squared_errors}
        # Where the gradient is measured: the ends of the codecs that have a step for a block, between which errors follow from the values',
        # and each float, of which nothing follows from those.
        integers = [codec for codec in self.value_errors if codec.startswith("int")]
        self.floats = [codec for codec in self.value_errors if codec not in integers]
        self.coarse = min(integers or self.floats, key=BITS.__getitem__)
        self.fine = max(integers or self.floats, key=BITS.__getitem__)
        # Squared and relative, with this group alone in a codec: in `coarse`, and in others as far as that can be told from noise.
        self.gradient_errors: dict[str, float] = {}

    @property
    def name(self) -> str:
        first = self.storages[0]
        return f"{first.kind.operation} {'x'.join(map(str, first.sizes))} {str(first.kind.dtype).split('.')[-1]}"

    @property
    def exact_bytes(self) -> int:
        return sum(storage.bytes for storage in self.storages)

    @property
    def tensors(self) -> int:
        return sum(len(storage.elems) for storage in self.storages)

    def bytes_in(self, codec: str) -> int:
        return sum(storage.bytes_in(self._formats[codec]) for storage in self.storages)

    def value_ratio(self, codec: str) -> float:
        """How much closer the values are than in `coarse`, squared; NaN if that cannot be said."""
        coarse = self.value_errors[self.coarse]
        return self.value_errors[codec] / coarse if 0 < coarse < math.inf else math.nan

    def error_in(self, codec: str) -> float:
        """Squared, relative; infinite for what must not be chosen."""
        coarse = self.gradient_errors[self.coarse]
        measured = self.gradient_errors.get(codec)
        ratio = self.value_ratio(codec)
        if measured is not None and (codec == self.coarse or codec in self.floats or not math.isfinite(coarse)):
            return measured
        if coarse == 0 or ratio == 0:
            return 0.0
        if not math.isfinite(coarse):
            return math.inf
        if not math.isfinite(ratio):
            return coarse if measured is None else measured
        return coarse * ratio ** (1.0 if codec in self.floats else self._exponent(coarse))

    def _exponent(self, coarse: float) -> float:
        """Of how the gradient's error follows the values' from `coarse` to `fine`, both squared: 1 where it is proportional, as it is to
        small errors of what derivatives depend on smoothly; a half below a ReLU, where values that come back as 0 get no gradient, and
        their number is proportional to the step."""
        fine, ratio = self.gradient_errors.get(self.fine), self.value_ratio(self.fine)
        if fine is None or fine <= 0 or not 0 < ratio < 1:
            return 1.0
        if not math.isfinite(fine):
            return 0.0
        return min(max(math.log(fine / coarse) / math.log(ratio), 0.0), 1.0)

    def choices(self) -> dict[str, lib.BitChoice]:
        """By codec; "none" keeps the group as it is."""
        result = {"none": lib.BitChoice(32, self.exact_bytes, 0.0)}
        for codec in self.value_errors:
            error = self.error_in(codec)
            if error < lib.LARGEST_ERROR:
                result[codec] = lib.BitChoice(BITS[codec], self.bytes_in(codec), error)
        return result


class Measured:
    """What qccl.measure found, for any number of budgets.

    noise: relative difference of two exact gradients of the same batch, 0 where a computation that is repeated gives the same bits (many of
    CUDA's do not, since they add in any order). Errors are without it; what is far below it is not known well.
    passes: forward and backward passes that it took."""

    def __init__(self, places: list[tuple[Kind, Group | None]], formats: dict[str, Format], noise: float, passes: int) -> None:
        """places: in the order in which forward saves; None for what is not decided about."""
        self._places, self._formats = places, formats
        self._groups = list(dict.fromkeys(group for _, group in places if group is not None))
        self._choices = [group.choices() for group in self._groups]
        self.noise = noise
        self.passes = passes

    @property
    def exact_bytes(self) -> int:
        """Of the tensors that a plan decides about, as they are, for the batch that was measured."""
        return sum(group.exact_bytes for group in self._groups)

    @property
    def least_bytes(self) -> int:
        """The smallest budget."""
        return sum(min(choice.bytes for choice in choices.values()) for choices in self._choices)

    def bytes_in(self, codec: str) -> int:
        """Of the same tensors with this codec for all, one of those that were measured; as they are where it makes them no smaller."""
        if codec not in self._formats:
            raise ValueError(f"qccl.Measured: codec {codec!r} was not measured; take one of {', '.join(self._formats)}")
        return sum(group.bytes_in(codec) if codec in group.value_errors else group.exact_bytes for group in self._groups)

    def solve(self, budget_bytes: float) -> SolvedPlan:
        """The plan of least predicted error that keeps at most so many bytes of the batch that was measured, exactly (qcclAllocateBits). A
        budget below least_bytes is a QcclError that says what is missing."""
        if not isinstance(budget_bytes, numbers.Real) or budget_bytes != budget_bytes:
            raise TypeError(f"qccl.Measured: a budget is a number of bytes, not {budget_bytes!r}")
        budget = int(min(max(budget_bytes, 0), 2**63))
        rows = [(lib.BitChoice * len(choices))(*choices.values()) for choices in self._choices]
        items = (lib.BitItem * len(rows))(*(lib.BitItem(group.name.encode(), row, len(row)) for group, row in zip(self._groups, rows)))
        chosen = (ctypes.c_size_t * len(rows))()
        total_bytes, total_error = ctypes.c_uint64(), ctypes.c_double()
        try:
            lib.call("qcclAllocateBits", items, len(rows), budget, chosen, ctypes.byref(total_bytes), ctypes.byref(total_error))
        except lib.QcclError as error:
            if budget < self.least_bytes:
                raise
            raise lib.QcclError(error.code, f"{error}: measure by='kind', or fewer codecs") from None
        codec_of = {group: list(choices)[index] for group, choices, index in zip(self._groups, self._choices, chosen)}
        codecs: dict[Kind, list[str | None]] = {}
        for kind, group in self._places:
            codecs.setdefault(kind, []).append(None if group is None else codec_of[group])
        format = next(iter(self._formats.values()))
        return SolvedPlan(
            codecs={kind: tuple(each) for kind, each in codecs.items()}, block=format.block, scale=format.scale,
            rows=self._rows(codec_of), budget_bytes=budget, bytes=total_bytes.value, predicted_error=math.sqrt(total_error.value),
        )  # fmt: skip

    def _rows(self, codec_of: dict[Group, str]) -> tuple[PlannedRow, ...]:
        chosen: dict[str, list[tuple[Group, str, lib.BitChoice]]] = {}
        for group, choices in zip(self._groups, self._choices):
            codec = codec_of[group]
            chosen.setdefault(group.name, []).append((group, codec, choices[codec]))
        rows = [
            PlannedRow(
                name, tuple(codec for group, codec, _ in each for _ in range(group.tensors)), sum(group.exact_bytes for group, _, _ in each),
                sum(choice.bytes for _, _, choice in each), math.sqrt(sum(choice.error for _, _, choice in each)),
            )
            for name, each in chosen.items()
        ]  # fmt: skip
        return tuple(sorted(rows, key=lambda row: -row.exact_bytes))
