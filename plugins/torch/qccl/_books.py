"""Counts what a context has packed, for the report, and knows what was packed already.

All threads write here, and so do finalizers: at any moment, even of a thread that is inside. Hence the reentrant lock, and steps so small
that each leaves everything consistent.
"""

from __future__ import annotations

import copy
import threading
import weakref
from typing import TYPE_CHECKING

from ._report import ALIVE, REPEATED, Report

if TYPE_CHECKING:
    from ._packed import Codes


class Books:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._report = Report()  # of what is settled
        self._codes: weakref.WeakValueDictionary[tuple, Codes] = weakref.WeakValueDictionary()  # by what they are the codes of
        self._unsettled: weakref.WeakSet[Codes] = weakref.WeakSet()
        self._holders: dict[int, int] = {}  # by storage: how many packed tensors would hold it without us

    def find(self, key: tuple) -> Codes | None:
        """The codes of the same elements, if they are still held."""
        with self._lock:
            codes = self._codes.get(key)
            if codes is not None:
                self._report.row(REPEATED).add(1, 0, 0)
            return codes

    def enter_codes(self, key: tuple, codes: Codes) -> None:
        with self._lock:
            codes.bytes_before = self._hold(codes.storage.cdata, codes.storage_bytes)
            self._codes[key] = codes
            self._unsettled.add(codes)
            self._report.held_bytes += codes.bytes_after
            self._report.peak_held_bytes = max(self._report.peak_held_bytes, self._report.held_bytes)

    def enter_kept(self, reason: str, storage: int | None, storage_bytes: int) -> None:
        with self._lock:
            held = storage_bytes if storage is None else self._hold(storage, storage_bytes)
            self._report.row(reason).add(1, held, held)

    def settle(self, codes: Codes) -> None:
        """When codes are first read, or given up unread: whether the original outlived its saving is known then."""
        with self._lock:
            if not codes.settled:
                codes.settled = True
                self._unsettled.discard(codes)
                _add(codes, self._report)

    def leave_codes(self, codes: Codes) -> None:
        with self._lock:
            self.settle(codes)
            self._report.held_bytes -= codes.bytes_after
            self.leave(codes.storage.cdata)

    def leave(self, storage: int) -> None:
        with self._lock:
            self._holders[storage] -= 1
            if self._holders[storage] == 0:
                del self._holders[storage]

    def report(self) -> Report:
        with self._lock:
            report = copy.deepcopy(self._report)
            for codes in list(self._unsettled):
                _add(codes, report)
            return report

    def reset(self) -> None:
        with self._lock:
            held_bytes = self._report.held_bytes
            self._report = Report(held_bytes=held_bytes, peak_held_bytes=held_bytes)

    def _hold(self, storage: int, storage_bytes: int) -> int:
        """Bytes that autograd would have held because of one more saved tensor."""
        self._holders[storage] = self._holders.get(storage, 0) + 1
        return storage_bytes if self._holders[storage] == 1 else 0


def _add(codes: Codes, report: Report) -> None:
    alive = not codes.storage.expired()
    report.row(ALIVE if alive else codes.format.codec).add(1, 0 if alive else codes.bytes_before, codes.bytes_after)
