"""What there is to measure, how long each takes, what comes first, and what a budget leaves out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from scenekit.representations import REPRESENTATIONS

HUB, SPLATS, SLOW = "hash_grid", "gaussians", "mlp"
CHAINS = ((HUB, "low_rank", "simplex_grid", SPLATS, HUB), (HUB, "dense_grid", HUB))
PASSIVE = (SLOW, SPLATS)  # students of the hub that are made once more without active learning
ELSEWHERE = 3  # rank of other captures: after what is asked of the first, before the rest of its matrix
OPENING = 20.0  # seconds from the start of a process to its first task: imports, photographs
AROUND = 4.0  # seconds of a task beside training: building, saving, reading back
VIEW = {SLOW: 0.5, "low_rank": 0.15, "triplane": 0.1, "rbf": 0.2}  # seconds to judge one
USUAL_VIEW = 0.05
VIEWS = 25  # where all are judged


@dataclass(frozen=True)
class Subject:
    """A capture, the representations that are tried on it (the first is the hub), and a preset for them."""

    capture: str
    kinds: tuple[str, ...] = tuple(REPRESENTATIONS)
    preset: str | None = None

    @staticmethod
    def of(text: str, preset: str) -> Subject:
        """``CAPTURE[:KIND,KIND][@PRESET]``, with a preset for those that name none; ``none`` is no preset."""
        text, _, named = text.partition("@")
        capture, _, kinds = text.partition(":")
        chosen = named or preset
        return Subject(
            capture, tuple(kinds.split(",")) if kinds else tuple(REPRESENTATIONS), None if chosen == "none" else chosen
        )


@dataclass(frozen=True)
class Task:
    """One thing to measure.

    Attributes:
        subject: what it is measured on.
        work: teacher (trained and kept), scratch (trained), convert, passive (the same without active learning) or
            chain.
        kinds: one representation, or the teacher's and its students'.
        seconds: of training, for each of them.
        taught: seconds that the teacher was trained for; 0 where there is none.
    """

    subject: Subject
    work: str
    kinds: tuple[str, ...]
    seconds: float
    taught: float = 0.0

    @property
    def name(self) -> str:
        """Tells it from every other."""
        first, *rest = self.kinds
        made = f"{first} ({self.taught or self.seconds:g} s)"
        steps = "".join(f" -> {kind} ({self.seconds:g} s)" for kind in rest)
        return f"{self.subject.capture}: {self.work} {made}{steps}"

    @property
    def teacher(self) -> Task | None:
        """What must have been done."""
        if self.work in ("teacher", "scratch"):
            return None
        return Task(self.subject, "teacher", self.kinds[:1], self.taught)

    def predicted(self, views: int) -> float:
        """Seconds from its beginning to its record, with as many held-out views judged."""
        made = self.kinds if self.teacher is None else self.kinds[1:]
        return sum(self.seconds + AROUND + views * VIEW.get(kind, USUAL_VIEW) for kind in made)


def tasks_of(subjects: Sequence[Subject], seconds: float, taught: float) -> list[Task]:
    """Everything there is to do, what matters most first; the first subject is the one that is gone into."""
    first, *others = subjects
    ranked = [*_matrix(first, seconds, taught), *_more(first, seconds, taught)]
    for other in others:
        ranked += [(ELSEWHERE, task) for _, task in sorted(_matrix(other, seconds, taught), key=lambda item: item[0])]
    return [task for _, task in sorted(ranked, key=lambda item: item[0])]


def _matrix(subject: Subject, seconds: float, taught: float) -> list[tuple[int, Task]]:
    """Teachers, students and what they are held against, each with its rank."""
    hub = subject.kinds[0]
    found: list[tuple[int, Task]] = []
    for kind in subject.kinds:
        rank = 0 if kind == hub else 1 if kind == SPLATS else ELSEWHERE + 1
        found.append((rank, Task(subject, "teacher", (kind,), taught)))
    found += [(0, Task(subject, "scratch", (kind,), seconds)) for kind in subject.kinds]
    for theirs, ours in itertools.permutations(subject.kinds, 2):
        rank = 0 if theirs == hub else ELSEWHERE + 2
        if ours == hub:
            rank = 1 if theirs == SPLATS else ELSEWHERE + 1
        found.append((rank, Task(subject, "convert", (theirs, ours), seconds, taught)))
    return found


def _more(subject: Subject, seconds: float, taught: float) -> list[tuple[int, Task]]:
    """Chains, conversions without active learning, and training for as long as teacher and student together."""
    hub, *others = subject.kinds
    found = [(2, Task(subject, "passive", (hub, kind), seconds, taught)) for kind in PASSIVE if kind in others]
    if SLOW in others:
        found.append((2, Task(subject, "scratch", (SLOW,), seconds + taught)))
    chains = [chain for chain in CHAINS if set(chain) <= set(subject.kinds)]
    found += [(1, Task(subject, "chain", chain, seconds, taught)) for chain in chains]
    return found


def chosen(tasks: Sequence[Task], rows: Collection[str], pairs: Collection[tuple[str, ...]]) -> list[Task]:
    """Conversions of teachers in ``rows`` or among ``pairs``, and what they need; all tasks where neither is given."""
    if not rows and not pairs:
        return list(tasks)
    kept = [task for task in tasks if len(task.kinds) > 1 and (task.kinds[0] in rows or task.kinds in pairs)]
    needed = {task.teacher for task in kept}
    students = {kind for task in kept for kind in task.kinds[1:]}
    alone = {task for task in tasks if task.work == "scratch" and task.kinds[0] in students}
    wanted = {*kept, *needed, *alone}
    return [task for task in tasks if task in wanted]


def ready(tasks: Sequence[Task], done: Mapping[str, bool], left: float, views: int) -> list[Task]:
    """Tasks that can be begun and ended in the seconds that are left, in their order.

    ``done`` says of tasks that nobody need do whether they went well.
    """
    return [
        task
        for task in tasks
        if task.name not in done
        and (task.teacher is None or done.get(task.teacher.name, False))
        and task.predicted(views) <= left
    ]


@dataclass(frozen=True)
class Planned:
    """A task on a GPU, begun so many seconds after the start."""

    task: Task
    gpu: int
    begun: float
    ended: float


def planned(tasks: Sequence[Task], done: Mapping[str, bool], gpus: int, budget: float, views: int) -> list[Planned]:
    """What so many GPUs get done in a budget of seconds: each takes the first task that is ready and fits."""
    free = [OPENING] * gpus
    made: list[Planned] = []
    while min(free) < math.inf:
        gpu = free.index(min(free))
        now = free[gpu]
        ended = {**done, **{each.task.name: True for each in made if each.ended <= now}}
        begun = {each.task.name for each in made}
        found = [task for task in ready(tasks, ended, budget - now, views) if task.name not in begun]
        if found:
            free[gpu] = now + found[0].predicted(views)
            made.append(Planned(found[0], gpu, now, free[gpu]))
        else:  # wait for a teacher, if one is on its way
            free[gpu] = min((each.ended for each in made if each.ended > now), default=math.inf)
    return made
