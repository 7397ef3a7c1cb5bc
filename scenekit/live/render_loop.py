"""One thread owns the scenes and serves every browser: coarse while it moves, finished when it is still."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scenekit.live.look import Look
from scenekit.live.picture import Picture
from scenekit.live.studio import Studio
from scenekit.live.turns import Turns

MOVING_BUDGET = 0.06  # seconds for a coarse picture
COARSEST = 100  # times fewer pixels than the finished picture, at most
STILL_AFTER = 0.15  # seconds without a new pose
STILL_PART = 0.08  # seconds that one part of a finished picture may take
REFRESH_EVERY = 3.0  # seconds between finished pictures of a scene in training
REFRESH_SHARE = 0.1  # of the time, at most, for those

END = object()
Work = Callable[["Client"], None]
Errand = Callable[[Studio, Turns], Iterator[object]]  # work in parts on the thread that owns the scenes


@dataclass(frozen=True)
class Refinement:
    """A finished picture on its way: None after every part, then the picture.

    Attributes:
        pictures: what is still to come.
        changes, age: of the look and of the scene, when it was begun.
    """

    pictures: Iterator[Picture | None]
    changes: int
    age: int


@dataclass
class Client:
    """One browser.

    Attributes:
        show: sends it a picture.
        tell: shows it words; empty when all is well.
        look: what it wants to see; only ever the latest.
        changes: counts the looks it has asked for.
        coarse: the count for which a coarse picture was shown.
        finished: the count, and the scene's age, for which a finished one was.
        refining: the finished picture on its way.
        moved, rested, served: when a look came, a finished picture was shown, anything was done for it.
        spent: seconds that the last finished picture took.
    """

    show: Callable[[Picture], None]
    tell: Callable[[str], None]
    look: Look
    changes: int = 0
    coarse: int = -1
    finished: tuple[int, int] = (-1, -1)
    refining: Refinement | None = None
    moved: float = 0.0
    rested: float = 0.0
    served: float = 0.0
    spent: float = 0.0


@dataclass
class RenderLoop:
    """Renders for all clients on a thread of its own; an exception in a render is told to its client alone.

    Attributes:
        studio: what can be looked at; nobody else may touch its scenes outside ``turns``.
        turns: shared with training.
    """

    studio: Studio
    turns: Turns
    _clients: dict[int, Client] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _errands: deque[tuple[Client, Iterator[object]]] = field(default_factory=deque)
    _errand_last: bool = False
    _closing: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="scenekit-live", daemon=True)
        self._thread.start()

    def join(self, key: int, client: Client) -> None:
        """Serve a new client."""
        with self._changed:
            client.moved = time.monotonic()
            self._clients[key] = client
            self._changed.notify()

    def leave(self, key: int) -> None:
        """Forget a client and what it wanted done."""
        with self._changed:
            gone = self._clients.pop(key, None)
            self._errands = deque(errand for errand in self._errands if errand[0] is not gone)

    def do(self, key: int, errand: Errand) -> None:
        """Have something done for a client, part by part, between pictures; its exceptions are told to the client."""
        with self._changed:
            client = self._clients.get(key)
            if client is not None:
                self._errands.append((client, errand(self.studio, self.turns)))
                self._changed.notify()

    def look(self, key: int, look: Look) -> None:
        """Take in what a client wants to see now; it replaces whatever it wanted before."""
        with self._changed:
            client = self._clients.get(key)
            if client is None or not look.is_proper():
                return
            client.look = look
            client.changes += 1
            client.moved = time.monotonic()
            client.refining = None
            self._changed.notify()

    def close(self) -> None:
        """End the thread, after the part of a picture that it is rendering."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closing:
                    return
                client, work, wait = self._next(time.monotonic())
                if client is None:
                    self._changed.wait(wait)
                    continue
            self._serve(client, work)

    def _next(self, now: float) -> tuple[Client | None, Work, float]:
        """Whom to serve now and how, movers first; or for how long there is nothing to do."""
        clients = sorted(self._clients.values(), key=lambda client: client.served)
        for client in clients:
            if client.coarse != client.changes:
                return client, self._draw_coarse, 0.0
        if self._errands and not self._errand_last:
            return self._errands[0][0], self._run_errand, 0.0
        self._errand_last = False
        wait = 0.0 if self._errands else REFRESH_EVERY
        for client in clients:
            due = self._due(client)
            if due <= now:
                return client, self._refine, 0.0
            wait = min(wait, due - now)
        return None, self._refine, wait

    def _due(self, client: Client) -> float:
        """When the next part of a finished picture should be rendered for ``client``."""
        if client.refining is not None:
            return 0.0
        changes, age = client.finished
        if changes != client.changes:
            return client.moved + STILL_AFTER
        if age != self.turns.steps:
            rest = client.spent * (1 - REFRESH_SHARE) / REFRESH_SHARE
            return client.rested + max(REFRESH_EVERY, rest)
        return float("inf")

    def _serve(self, client: Client, work: Work) -> None:
        client.served = time.monotonic()
        changes, age = client.changes, self.turns.steps
        try:
            work(client)
        except Exception as error:  # a scene may fail in any way: its viewer is told, the loop goes on
            client.refining = None
            client.coarse, client.finished = changes, (changes, age)
            client.rested = time.monotonic()
            with contextlib.suppress(Exception):  # its browser may have gone as well
                client.tell(plain(f"{type(error).__name__}: {error}"))

    def _run_errand(self, client: Client) -> None:
        """One part of the first errand; pictures that are due come between the parts."""
        self._errand_last = True
        with self._changed:
            if not self._errands or self._errands[0][0] is not client:
                return  # it has left meanwhile
            errand = self._errands[0]
        finished = True
        try:
            finished = next(errand[1], END) is END
        finally:
            with self._changed:
                if finished and self._errands and self._errands[0] is errand:
                    self._errands.popleft()

    def _draw_coarse(self, client: Client) -> None:
        with self.turns.viewing():
            with self._changed:  # only now that it is our turn: a newer look may have come while we waited
                look, client.coarse = client.look, client.changes
            picture = self.studio.coarse(look, self._coarse_size(look))
        client.show(picture)
        client.tell("")

    def _coarse_size(self, look: Look) -> tuple[int, int]:
        width, height = look.size()
        pixels = self.studio.pixels_within(look, MOVING_BUDGET)
        return look.size(max(float(pixels), width * height / COARSEST))

    def _refine(self, client: Client) -> None:
        with self._changed:
            look = client.look
            if client.refining is None:
                pictures = self.studio.pictures(look, look.size(), self.turns.viewing, STILL_PART)
                client.refining = Refinement(pictures, client.changes, self.turns.steps)
            refining = client.refining
        picture = next(refining.pictures, None)
        with self._changed:
            if client.refining is not refining or picture is None:
                return  # a new look came meanwhile, or there is more to render
            client.refining = None
            client.finished = (refining.changes, refining.age)
            client.rested, client.spent = time.monotonic(), picture.seconds
        client.show(picture)
        client.tell("")


def plain(text: str, longest: int = 300) -> str:
    """One line of printable characters, cut to ``longest``: fit to be shown whatever it came from."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
