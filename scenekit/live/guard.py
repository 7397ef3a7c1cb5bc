"""A viser server that only its owner's browser can talk to.

viser itself listens on every interface, asks nobody for anything, moves to another port when one is taken,
and opens a public tunnel when a client asks for it. Here it listens on loopback, on the port asked for; the
printed address carries a token, which becomes a cookie; a page of another origin (cross-site websocket
hijacking) or under another name (DNS rebinding) is turned away, and there is no tunnel.

viser has no public seam for this: its ``process_request`` is wrapped on the way to ``websockets``, and a
server whose requests were not wrapped is stopped before anyone learns its address.
"""

from __future__ import annotations

import secrets
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import rich
import viser
import websockets.asyncio.server
from viser._messages import ShareUrlDisconnect, ShareUrlRequest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from scenekit.core.checks import BadInput

LOOPBACK = "127.0.0.1"
# viser's client is one page that unpacks itself: its scripts are inline, its WebAssembly glue is evaluated.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob: {sockets}; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_patching = threading.Lock()


@dataclass(frozen=True)
class Door:
    """Who may come in: a function of one request.

    Attributes:
        token: the secret of this server.
        port: where it listens.
    """

    token: str
    port: int

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names under which a browser may ask for this server."""
        return f"{LOOPBACK}:{self.port}", f"localhost:{self.port}"

    @property
    def cookie(self) -> str:
        """The cookie's name: cookies are shared between ports, so the port is part of it."""
        return f"scenekit_{self.port}"

    def refusal(self, request: Request) -> Response | None:
        """Why ``request`` is not served, a redirect that trades the token for the cookie, or None."""
        headers = request.headers
        host = headers.get_all("Host")
        if len(host) != 1 or host[0] not in self.hosts:
            return self._answer(HTTPStatus.MISDIRECTED_REQUEST, "This server has another name.")
        websocket = "Upgrade" in headers
        address = urlsplit(request.path)
        given = parse_qs(address.query).get("token", [])
        if not websocket and len(given) == 1 and self._is_token(given[0]):
            answer = self._answer(HTTPStatus.SEE_OTHER, "Welcome.")
            answer.headers["Location"] = "/"
            answer.headers["Set-Cookie"] = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            return answer
        if not any(self._is_token(value) for value in _cookies(headers, self.cookie)):
            return self._answer(HTTPStatus.FORBIDDEN, "Open the address that scenekit printed, token included.")
        if websocket and headers.get_all("Origin") != [f"http://{host[0]}"]:
            return self._answer(HTTPStatus.FORBIDDEN, "A page of another origin may not connect.")
        return None

    def harden(self, response: Response) -> Response:
        """Add the headers that confine the page."""
        sockets = " ".join(f"ws://{host}" for host in self.hosts)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY.format(sockets=sockets)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _is_token(self, value: str) -> bool:
        return secrets.compare_digest(value.encode(), self.token.encode())

    def _answer(self, status: HTTPStatus, text: str) -> Response:
        body = f"{text}\n".encode()
        headers = Headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
        return self.harden(Response(status, status.phrase, headers, body))


class GuardedServer:
    """A running viser server behind a :class:`Door`.

    Attributes:
        viser: the server; its scene and gui may be used freely.
        door: what guards it.
        url: with the token; whoever has it comes in.
    """

    def __init__(self, port: int = 0, label: str = "scenekit") -> None:
        """Listen on loopback at ``port``, any free one for 0; raises BadInput where it cannot be had."""
        listening = _listen(port)
        self.door = Door(secrets.token_urlsafe(24), listening.getsockname()[1])
        self.url = f"http://{LOOPBACK}:{self.door.port}/?token={self.door.token}"
        with _patching, _quiet(), _guarding(self.door, listening) as wrapped:
            self.viser = viser.ViserServer(host=LOOPBACK, port=0, label=label, verbose=False)
        if len(wrapped) != 1 or self.viser.get_port() != self.door.port:
            self.stop()
            listening.close()
            raise RuntimeError(f"viser {viser.__version__} did not pass through the guard; it was stopped")
        _disable_sharing(self.viser)
        # A browser may go while its picture is rendered; whoever trains need not hear of it.
        warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")

    def stop(self) -> None:
        """Close every connection and the port."""
        with _patching, _quiet():
            self.viser.stop()


def _cookies(headers: Headers, name: str) -> Iterator[str]:
    for line in headers.get_all("Cookie"):
        for pair in line.split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                yield value


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        listening.listen(64)
    except (OSError, OverflowError) as error:
        listening.close()
        found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput.of(
            f"port {port}",
            wanted=f"to listen there on {LOOPBACK}",
            found=found,
            remedy="choose another with --port",
        ) from error
    return listening


@contextmanager
def _guarding(door: Door, listening: socket.socket) -> Iterator[list[str]]:
    """While this lasts, a new server listens on our socket and asks ``door`` first; yields a note of each."""
    serve = websockets.asyncio.server.serve
    wrapped: list[str] = []

    def guarded_serve(
        handler: Any, host: str, port: int, *, process_request: Callable[..., Any], **options: Any
    ) -> Any:
        def admit(connection: ServerConnection, request: Request) -> Response | None:
            refusal = door.refusal(request)
            if refusal is not None:
                return refusal
            response = process_request(connection, request)
            return None if response is None else door.harden(response)

        wrapped.append(f"{host}:{port}")
        return serve(handler, sock=listening, process_request=admit, **options)

    with _swapped(websockets.asyncio.server, "serve", guarded_serve):
        yield wrapped


@contextmanager
def _quiet() -> Iterator[None]:
    """viser prints an address without the token, and a farewell: standard output is the command's own."""
    with _swapped(rich, "print", lambda *words, **options: None):
        yield


@contextmanager
def _swapped(module: ModuleType, name: str, value: object) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def _disable_sharing(server: viser.ViserServer) -> None:
    server._websock_server.unregister_handler(ShareUrlRequest)
    server._websock_server.unregister_handler(ShareUrlDisconnect)
    server.request_share_url = lambda verbose=True: None
    server.gui.configure_theme(show_share_button=False, show_logo=False)
