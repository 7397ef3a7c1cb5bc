"""Any scene in the browser, while it trains or after."""

from scenekit.live.photographs import Photographs
from scenekit.live.view import LiveView, view

__all__ = ["LiveView", "Photographs", "view"]
