import http.client
import socket

import pytest
import viser
import websockets.asyncio.server
from viser._messages import ShareUrlRequest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from scenekit.core.checks import BadInput
from scenekit.live.guard import GuardedServer


@pytest.fixture(scope="module")
def server():
    guarded = GuardedServer()
    yield guarded
    guarded.stop()


def get(server, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.door.port, timeout=5)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def knock(server, origin=None, cookie=None):
    """Open a websocket as viser's page does; returns the HTTP status."""
    headers = {} if cookie is None else {"Cookie": cookie}
    address = f"ws://127.0.0.1:{server.door.port}/"
    protocol = Subprotocol(f"viser-v{viser.__version__}")
    try:
        with connect(address, origin=origin, additional_headers=headers, subprotocols=[protocol]):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def cookie_of(server):
    return f"{server.door.cookie}={server.door.token}"


def origin_of(server):
    return f"http://127.0.0.1:{server.door.port}"


def test_without_a_token_there_is_no_page(server):
    for path in ("/", "/index.html", "/?token=", "/?token=wrong", "/?token=a&token=b"):
        response, body = get(server, path)
        assert response.status == 403
        assert server.door.token.encode() not in body


def test_another_host_name_is_misdirected_even_with_the_token(server):
    for host in ("evil.example", f"evil.example:{server.door.port}", "127.0.0.1", ""):
        response, _ = get(server, f"/?token={server.door.token}", Host=host, Cookie=cookie_of(server))
        assert response.status == 421
        assert response.getheader("Set-Cookie") is None


def test_a_websocket_without_an_origin_is_refused(server):
    assert knock(server, cookie=cookie_of(server)) == 403


def test_a_websocket_from_another_origin_is_refused_even_with_the_cookie(server):
    for origin in (
        "https://evil.example",
        f"https://127.0.0.1:{server.door.port}",
        "http://127.0.0.1",
        "null",
    ):
        assert knock(server, origin=origin, cookie=cookie_of(server)) == 403


def test_a_websocket_without_the_cookie_is_refused(server):
    assert knock(server, origin=origin_of(server)) == 403
    assert knock(server, origin=origin_of(server), cookie=f"{server.door.cookie}=wrong") == 403


def test_the_token_becomes_a_cookie_that_opens_page_and_websocket(server):
    response, _ = get(server, server.url.partition(str(server.door.port))[2])
    assert response.status == 303
    assert response.getheader("Location") == "/"
    cookie, *flags = response.getheader("Set-Cookie").split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(flags)
    response, body = get(server, "/", Cookie=f"other=1; {cookie}")
    assert response.status == 200
    assert b"viser" in body
    assert knock(server, origin=origin_of(server), cookie=cookie) == 101


def test_every_answer_confines_the_page(server):
    for headers in ({}, {"Cookie": cookie_of(server)}, {"Host": "evil.example"}):
        response, _ = get(server, "/", **headers)
        policy = response.getheader("Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert response.getheader("X-Content-Type-Options") == "nosniff"
        assert response.getheader("Referrer-Policy") == "no-referrer"


def test_files_outside_the_page_are_not_found(server):
    for path in ("/../../setup.py", "/%2e%2e/%2e%2e/_viser.py", "/..%5c..%5c_viser.py"):
        response, _ = get(server, path, Cookie=cookie_of(server))
        assert response.status == 404


def test_it_listens_on_loopback_only(server):
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with bound:  # were it listening on every interface, this address would be taken
        bound.bind(("127.0.0.2", server.door.port))


def test_nobody_can_ask_for_the_public_tunnel(server):
    assert ShareUrlRequest not in server.viser._websock_server._incoming_handlers
    assert server.viser.request_share_url() is None
    assert server.viser._share_tunnel is None


def test_nothing_is_printed(capsys):
    GuardedServer().stop()
    assert capsys.readouterr() == ("", "")


def test_a_server_that_slipped_past_the_guard_is_stopped(monkeypatch):
    started = []
    original = viser.ViserServer

    def unguarded(**options):
        websockets.asyncio.server.serve = serve  # as if viser had taken another way; the guard puts it back
        started.append(original(**options))
        return started[0]

    serve = websockets.asyncio.server.serve
    monkeypatch.setattr(viser, "ViserServer", unguarded)
    with pytest.raises(RuntimeError, match="did not pass through the guard"):
        GuardedServer()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", started[0].get_port()), timeout=2)


@pytest.mark.bad_input
@pytest.mark.parametrize("port", [70000, -1])
def test_a_port_that_cannot_be_is_one_sentence(port):
    with pytest.raises(BadInput, match=f"port {port}: wanted to listen"):
        GuardedServer(port)


@pytest.mark.bad_input
def test_a_busy_port_is_one_sentence_and_no_other_port_is_taken(server):
    with pytest.raises(BadInput, match=f"port {server.door.port}.*in use.*--port"):
        GuardedServer(server.door.port)
