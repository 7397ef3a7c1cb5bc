"""What viser calls when something in a page is used."""

from __future__ import annotations

from collections.abc import Callable


def calling(action: Callable[[], None]):
    """A callback that viser runs in its event loop, in order; it gives the event, which nobody needs."""

    async def call(_: object) -> None:
        action()

    return call
