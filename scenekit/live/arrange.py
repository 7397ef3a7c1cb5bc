"""Which scenes are shown, where each is put, and which one is seen beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import viser

from scenekit.live.callbacks import calling
from scenekit.live.look import Layer
from scenekit.live.placing import Placing
from scenekit.live.stage import Stage

NOTHING = "nothing"


class Arrangement:
    """A tree of scenes, and a slider between them and another."""

    def __init__(
        self, client: viser.ClientHandle, names: Sequence[str], stage: Stage, changed: Callable[[], None]
    ) -> None:
        gui = client.gui
        self._stage = stage
        self._names = tuple(names)
        several = len(names) > 1
        self._compared = gui.add_dropdown("compare with", (NOTHING, *names), visible=several)
        self._split = gui.add_slider("split", 0.0, 1.0, 0.01, 0.5, visible=False)
        self._shown: list[viser.GuiCheckboxHandle] = []
        self._placings: list[Placing] = []
        with gui.add_folder("scenes", visible=several, expand_by_default=False):
            for index, name in enumerate(names):
                with gui.add_folder(name):
                    self._shown.append(gui.add_checkbox("show", index == 0))
                    self._placings.append(Placing(client, f"/handles/{index}", changed, scaled=True))
        for control in (self._split, *self._shown):
            control.on_update(calling(changed))

        def compare() -> None:
            self._split.visible = self._compared.value in self._names
            changed()

        self._compared.on_update(calling(compare))

    def layers(self) -> tuple[Layer, ...]:
        """The scenes that are shown."""
        return tuple(self._layer(index) for index, shown in enumerate(self._shown) if shown.value)

    def beside(self) -> tuple[Layer, ...]:
        """The scene to the right of the split, if any."""
        if self._compared.value not in self._names:
            return ()
        return (self._layer(self._names.index(self._compared.value)),)

    @property
    def split(self) -> float:
        """Where the other scene begins, as a share of the width."""
        return float(self._split.value)

    def _layer(self, index: int) -> Layer:
        page = self._stage.page_from_world
        return Layer(index, page.inverse().after(self._placings[index].similarity()).after(page))
