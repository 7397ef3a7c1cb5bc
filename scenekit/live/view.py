"""Scenes in the browser, after training or during it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar

import viser

from scenekit.core.checks import BadInput
from scenekit.live.guard import GuardedServer
from scenekit.live.panel import Panel, Wishes
from scenekit.live.photographs import Photographs
from scenekit.live.progress import Progress
from scenekit.live.render_loop import Client, Errand, RenderLoop, plain
from scenekit.live.stage import Stage, stage_of
from scenekit.live.studio import Studio
from scenekit.live.turns import Turns
from scenekit.renderers.scene import Scene

T = TypeVar("T")


def view(
    *scenes: Scene,
    names: Sequence[str] | None = None,
    photographs: Callable[[], Photographs] | None = None,
    port: int = 0,
    wait: bool = True,
    share: float = 0.5,
    announce: Callable[[str], None] = print,
) -> LiveView | None:
    """Show scenes of one world in the browser; the address, with its token, goes to ``announce``.

    Args:
        scenes: the first one is shown; the panel shows others with it, instead of it, or beside it.
        names: for the panel; by default what each scene is made of.
        photographs: what errors are shown against; called when one is first asked for.
        port: on loopback; any free one for 0.
        wait: block until Ctrl-C, then close and return None; otherwise return the handle at once.
        share: of the time, for viewing, at most, while training takes turns through the handle.
        announce: is given a few lines.

    Raises BadInput without scenes, or where the port cannot be had.
    """
    live = LiveView(scenes, names=names, photographs=photographs, port=port, share=share)
    for line in live.directions:
        announce(line)
    if not wait:
        return live
    announce("Ctrl-C ends it.")
    with live:
        live.wait()
    return None


class LiveView:
    """A running view. Rendering and training steps take turns, never both at once.

    While training goes on, viewing takes at most ``share`` of the wall time while a browser moves (half by
    default), at most a tenth for each browser that is still (a finished picture every three seconds, or more
    rarely), and nothing without a browser.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        *,
        names: Sequence[str] | None = None,
        photographs: Callable[[], Photographs] | None = None,
        port: int = 0,
        share: float = 0.5,
    ) -> None:
        """Start serving; raises BadInput without scenes, or where the port cannot be had."""
        if not scenes:
            raise BadInput.of("view", wanted="at least one scene", found="none", remedy="name a run")
        self._names = _distinct(names or [_kind_of(scene) for scene in scenes])
        self._stage = stage_of(scenes[0].cameras)
        self._turns = Turns(share)
        self._server = GuardedServer(port)
        self._loop = RenderLoop(Studio(scenes, photographs), self._turns)
        self._panels: dict[int, Panel] = {}
        server = self._server.viser
        self._progress = Progress(server)
        _set_start(server, self._stage)
        server.on_client_connect(self._welcome)
        server.on_client_disconnect(self._farewell)

    @property
    def url(self) -> str:
        """The address, token included."""
        return self._server.url

    @property
    def directions(self) -> tuple[str, str]:
        """How to get there, from here and from another machine."""
        port = self.port
        tunnel = f"From another machine: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE, then the same address there."
        return f"Open {self.url}", tunnel

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.door.port

    @property
    def lock(self) -> AbstractContextManager[None]:
        """Hold it for a step that changes the scene: ``with live.lock: step()``."""
        return self._turns.training()

    def follow(self, steps: Iterable[T], save: Callable[[], None] | None = None) -> Iterator[T]:
        """The same steps, each taken while holding :attr:`lock`; what is done between them holds nothing.

        Between them a browser may pause, and have ``save`` called.
        """
        iterator = iter(steps)
        while True:
            self._progress.between(save)
            with self.lock:
                try:
                    step = next(iterator)
                except StopIteration:
                    break
            yield step
        self._progress.end()

    def update(self, text: str) -> None:
        """Show a line about training, at most four times a second."""
        self._progress.update(plain(text))

    def score(self, step: int, psnr: float) -> None:
        """One more point of the curve of PSNRs in dB."""
        self._progress.score(step, psnr)

    def wait(self) -> None:
        """Block until Ctrl-C."""
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        """Stop rendering and serving."""
        self._loop.close()
        self._server.stop()

    def __enter__(self) -> LiveView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _welcome(self, client: viser.ClientHandle) -> None:
        key = client.client_id

        def look() -> None:
            self._loop.look(key, panel.look())

        def do(errand: Errand) -> None:
            self._loop.do(key, errand)

        async def moved(_: viser.CameraHandle) -> None:
            panel.moved()

        panel = Panel(client, self._names, self._stage, Wishes(look, do))
        self._panels[key] = panel
        self._loop.join(key, Client(panel.show, panel.tell, panel.look()))
        client.camera.on_update(moved)

    async def _farewell(self, client: viser.ClientHandle) -> None:
        self._loop.leave(client.client_id)
        self._panels.pop(client.client_id, None)


def _set_start(server: viser.ViserServer, stage: Stage) -> None:
    """Where browsers begin: at the first photograph, turning about the focus."""
    centre = stage.photographs.centres[0]
    ahead = max(0.05, float(-centre @ stage.photographs.forward[0]))
    server.scene.set_up_direction(stage.up.numpy())
    server.initial_camera.position = centre.numpy()
    server.initial_camera.look_at = (centre + ahead * stage.photographs.forward[0]).numpy()
    server.initial_camera.up = stage.up.numpy()
    server.initial_camera.fov = stage.field_of_view


def _kind_of(scene: Scene) -> str:
    return str(scene.recipe.get("representation", {}).get("name", "scene"))


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Printable names, numbered where two are alike."""
    plain_names = [plain(name, 60) or "scene" for name in names]
    alike = len(set(plain_names)) < len(plain_names)
    return tuple(f"{index + 1} {name}" if alike else name for index, name in enumerate(plain_names))
