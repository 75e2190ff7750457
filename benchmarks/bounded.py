"""Contestants under a time limit, several to a process: for a machine that is lent by the minute.

A GPU machine takes twenty seconds to import what a contestant needs. So contestants share a few processes, "rooms", which all
start at once; then one contestant at a time has its turn. One that takes too long loses its room, with all that it has
started, and so does one that fails beside a GPU, which it may leave unusable; who comes next there finds a new one.
"""

import datetime
import gc
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pandas as pd

from benchmarks import harness
from benchmarks.harness import Contestant
from datadiet.nets import device
from datadiet.runs import process

IMPORTS = 90.0  # seconds that a room may take to start
GRACE = 3.0  # seconds that it may take to end by itself


@dataclass(frozen=True)
class Bounded(Contestant):
    """A contestant with its room, the seconds it may take to prepare and for each call, and the rounds that it takes part in."""

    room: str = "ours"
    limit: float = 20.0
    only: tuple[int, ...] | None = None  # None: all


class Room:
    """A process of its own session, that prepares contestants and calls them, one thing at a time."""

    def __init__(self, threads: int):
        self.threads, self.process, self.pipe, self.ready = threads, None, None, False

    def start(self) -> None:
        """Start the process, without waiting for its imports."""
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_live, args=(theirs, self.threads))
        self.process.start()
        self.there, self.ready = [], False  # prepared contestants; whether the imports are done
        theirs.close()  # so that the end of the process is the end of the pipe

    def call(self, contestant: Bounded, number: int | None, until: float) -> dict:
        """The answer of a contestant to round `number` (None: prepare), or {"failed": why}; the room may be closed then.

        Where the room is a new one, the contestant is prepared first. ``until``: the end of all, by ``time.monotonic``.
        """
        if self.process is None:
            self.start()
        if not self.ready:
            said = self._heard(min(IMPORTS, until - time.monotonic()))
            if "failed" in said:
                return said
            self.ready = True
        if number is not None and contestant not in self.there:
            said = self.call(contestant, None, until)
            if "failed" in said:
                return said
        self.pipe.send((contestant, number))
        said = self._heard(min(contestant.limit, until - time.monotonic()))
        if number is None and "failed" not in said:
            self.there.append(contestant)
        return said

    def _heard(self, seconds: float) -> dict:
        try:
            if self.pipe.poll(max(0.0, seconds)):
                said, usable = self.pipe.recv(), device.gpu() is None
            else:
                said, usable = {"failed": f"stopped: it took longer than {max(0.0, seconds):.0f} s"}, False
                self.ready = False
        except (EOFError, OSError):  # killed, for want of memory perhaps
            self.process.join(5)
            said, usable = {"failed": f"the process ended with exit code {self.process.exitcode}"}, False
        if "failed" in said and not usable:
            self.close()
        return said

    def close(self) -> None:
        """End the process and all that it has started."""
        if self.process is None:
            return
        try:
            if self.ready:
                self.pipe.send(None)
                self.process.join(GRACE)
        except OSError:  # it has ended
            pass
        try:
            if os.getsid(self.process.pid) == self.process.pid:
                os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.process = None


def _live(pipe, threads: int) -> None:
    """Life of a room: the contestants of one case at a time are kept, each with the memory in use before its calls."""
    os.setsid()  # with what it starts it can be ended as one
    process.ours()
    import torch

    torch.set_num_threads(threads)
    pipe.send({})
    case, prepared = None, {}
    while True:
        try:
            asked = pipe.recv()
        except EOFError:  # who asked has been killed
            return
        if asked is None:
            return
        contestant, number = asked
        try:
            if contestant.case != case:
                case, prepared = contestant.case, {}
                gc.collect()  # what the last case held on the GPU is free again
            if number is None:
                once = contestant.make(**contestant.settings)
                prepared[contestant.peer] = once, harness.memory()
            once, before = prepared[contestant.peer]
            calls = number is not None or contestant.warm
            pipe.send(harness.timed(once, -1 if number is None else number, before) if calls else {})
        except Exception as problem:
            pipe.send(harness.failure(problem))


def race(suite: str, contestants: list[Bounded], rounds: int, truth: str, seconds: float) -> pd.DataFrame:
    """A row for each contestant and round, as :func:`benchmarks.harness.race` has it, in no more than `seconds` in all.

    A contestant that fails, takes too long or has no time left has a row of round -1 with the reason in ``failed``. ``card`` is
    the name of the GPU. ``error``: the largest relative difference from the first answer of the peer `truth` in the same case.
    """
    until, threads = time.monotonic() + seconds, os.cpu_count() or 1
    about = {"suite": suite, **harness.origin(threads), "card": device.gpu() or "not a GPU"}
    rooms = {each.room: Room(threads) for each in contestants}
    rows = []
    try:
        for room in rooms.values():
            room.start()
        cases = list(dict.fromkeys(each.case for each in contestants))
        for place, case in enumerate(cases):
            rows += _case([each for each in contestants if each.case == case], rooms, rounds, truth, until)
            for name in set(rooms) - {each.room for each in contestants if each.case in cases[place + 1 :]}:
                rooms.pop(name).close()
    finally:
        for room in rooms.values():
            room.close()
    return pd.DataFrame([about | row for row in rows])


def _case(entered: list[Bounded], rooms: dict, rounds: int, truth: str, until: float) -> list[dict]:
    rows, answers, alive = [], {}, []

    def call(each: Bounded, number: int | None) -> dict:
        late = time.monotonic() >= until
        said = {"failed": "no time was left"} if late else rooms[each.room].call(each, number, until)
        if (answer := said.pop("answer", None)) is not None:
            answers.setdefault(each.peer, answer)
        if "failed" in said:
            rows.append({"case": each.case, "peer": each.peer, "round": -1, "failed": said["failed"]})
        return said

    for each in entered:
        if "failed" not in call(each, None):
            alive.append(each)
    for number in range(rounds):
        turn = number % max(1, len(alive))
        for each in alive[turn:] + alive[:turn]:
            if each not in alive or each.only is not None and number not in each.only:
                continue
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            said = call(each, number)
            if "failed" in said:
                alive = [other for other in alive if other != each]
            else:
                start = {"case": each.case, "peer": each.peer, "round": number, "started": now, "load": os.getloadavg()[0]}
                rows.append(start | said)
    right = answers.get(truth)
    for row in rows if right is not None else []:
        if row["peer"] in answers and row["round"] >= 0:
            row["error"] = float(np.max(np.abs(answers[row["peer"]] - right) / np.abs(right)))
    return rows
