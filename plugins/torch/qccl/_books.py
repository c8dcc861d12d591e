"""Counts what a context has packed, for the report, and knows what was packed already.

All threads write here. Finalizers do not: they run at any moment, even of a thread that is inside, and leave a note in a queue, which
whoever enters next works off.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from ._report import ALIVE, REPEATED, Report

if TYPE_CHECKING:
    from torch.multiprocessing.reductions import StorageWeakRef

    from ._packed import Codes
    from ._pool import Pool


class Entry(weakref.ref):
    """What the books know of codes, without holding them: all that giving them up takes.

    No Codes.__del__ does that, because it would run before weak references are cleared: another thread could still find the codes while
    they are given up.

    storage: of the original; the weak reference keeps its number from being given to another one, and says whether the original lives."""

    __slots__ = ("alive", "books", "bytes_after", "bytes_before", "codec", "key", "number", "pool", "settled", "storage")

    def __new__(cls, codes: Codes, *facts: object) -> Entry:
        return super().__new__(cls, codes, _give_up)

    def __init__(
        self, codes: Codes, books: Books, key: tuple, pool: Pool, number: int, storage: StorageWeakRef, codec: str, bytes_after: int
    ) -> None:
        super().__init__(codes, _give_up)
        self.books, self.key, self.pool, self.number, self.storage = books, key, pool, number, storage
        self.codec, self.bytes_before, self.bytes_after = codec, 0, bytes_after
        self.settled = False
        self.alive = True  # the original, when its codes were given up


# Those whose codes are held. A weak reference that becomes garbage together with what it refers to would never call back.
_entries: set[Entry] = set()


def _give_up(entry: Entry) -> None:
    """When the last that held codes is gone, after nobody can find them any more."""
    entry.pool.free(entry.number)
    entry.pool = None  # whose memory may be waited for (release_pools)
    entry.alive = not entry.storage.expired()
    entry.books.given_up.append(entry)
    _entries.discard(entry)


class Books:
    def __init__(self) -> None:
        self.given_up: deque[Entry] = deque()  # by finalizers, as the next one: codes, and storages of tensors that were kept
        self.let_go: deque[StorageWeakRef] = deque()
        self._lock = threading.RLock()
        self._report = Report()  # of what is settled
        self._entries: dict[tuple, Entry] = {}  # by what they are the codes of
        self._unsettled: set[Entry] = set()
        self._holders: dict[int, int] = {}  # by storage: how many packed tensors would hold it without us

    def find(self, key: tuple) -> Codes | None:
        """The codes of the same elements, if they are still held."""
        with self._lock:
            entry = self._entries.get(key)
            codes = None if entry is None else entry()
            if codes is not None:
                self._report.row(REPEATED).add(1, 0, 0)
            return codes

    def enter_codes(self, entry: Entry, storage_bytes: int) -> None:
        _entries.add(entry)
        with self._lock:
            self._work_off()
            entry.bytes_before = self._hold(entry.storage.cdata, storage_bytes)
            self._entries[entry.key] = entry
            self._unsettled.add(entry)
            self._report.held_bytes += entry.bytes_after
            self._report.peak_held_bytes = max(self._report.peak_held_bytes, self._report.held_bytes)

    def enter_kept(self, reason: str, storage: StorageWeakRef | None, storage_bytes: int) -> None:
        with self._lock:
            self._work_off()
            held = storage_bytes if storage is None else self._hold(storage.cdata, storage_bytes)
            self._report.row(reason).add(1, held, held)

    def settle(self, entry: Entry) -> None:
        """When codes are first read, or given up unread: whether the original outlived its saving is known then."""
        with self._lock:
            if not entry.settled:
                self._settle(entry, not entry.storage.expired())

    def report(self) -> Report:
        with self._lock:
            self._work_off()
            report = copy.deepcopy(self._report)
            for entry in self._unsettled:
                _count(entry, not entry.storage.expired(), report)
            return report

    def reset(self) -> None:
        with self._lock:
            self._work_off()
            held_bytes = self._report.held_bytes
            self._report = Report(held_bytes=held_bytes, peak_held_bytes=held_bytes)

    def _hold(self, storage: int, storage_bytes: int) -> int:
        """Bytes that autograd would have held because of one more saved tensor."""
        holders = self._holders.get(storage, 0)
        self._holders[storage] = holders + 1
        return 0 if holders else storage_bytes

    def _leave(self, storage: int) -> None:
        holders = self._holders.pop(storage) - 1
        if holders:
            self._holders[storage] = holders

    def _settle(self, entry: Entry, alive: bool) -> None:
        entry.settled = True
        self._unsettled.discard(entry)
        _count(entry, alive, self._report)

    def _work_off(self) -> None:
        """What finalizers left. An entry, or a weak reference, that is in the queue still keeps the number of its storage."""
        while self.given_up:
            entry = self.given_up.popleft()
            if not entry.settled:
                self._settle(entry, entry.alive)
            if self._entries.get(entry.key) is entry:  # not one that two threads saved at once
                del self._entries[entry.key]
            self._report.held_bytes -= entry.bytes_after
            self._leave(entry.storage.cdata)
        while self.let_go:
            self._leave(self.let_go.popleft().cdata)


def _count(entry: Entry, alive: bool, report: Report) -> None:
    report.row(ALIVE if alive else entry.codec).add(1, 0 if alive else entry.bytes_before, entry.bytes_after)
