"""The TCP proxy between a client and a server that echoes."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until


class Echo(socketserver.ThreadingTCPServer):
    """Sends back what it receives, and knows how many clients it has."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.clients = 0
        self.guard = threading.Lock()
        echo = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with echo.guard:
                    echo.clients += 1
                with contextlib.suppress(OSError):
                    while data := self.request.recv(65536):
                        self.request.sendall(data)
                with echo.guard:
                    echo.clients -= 1

        super().__init__(("127.0.0.1", 0), Handler)

    def has_clients(self, number: int) -> bool:
        with self.guard:
            return self.clients == number


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", echo.server_address[1]) as proxy:
        yield proxy


def connect(proxy: TcpProxy, timeout: float = 10) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=timeout)


def connect_and_listen(proxy: TcpProxy) -> bytes:
    """A reset may already come while connecting."""
    with connect(proxy) as client:
        return client.recv(1)


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return received(client, len(data))


def received(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := client.recv(65536)):
        data += piece
    return data


def test_bytes_pass_in_both_directions(proxy: TcpProxy) -> None:
    with connect(proxy) as client:
        data = bytes(range(256)) * 4096
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert received(client, len(data)) == data
        sender.join()
        assert proxy.connections == 1


def test_the_end_of_one_side_reaches_the_other_after_the_last_byte(proxy: TcpProxy, echo: Echo) -> None:
    with connect(proxy) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert received(client, 100) == b"last words"
    wait_until("the end of the connection", lambda: echo.has_clients(0), deadline=10)
    wait_until("the proxy forgetting it", lambda: proxy.connections == 0, deadline=10)


def test_a_target_that_refuses_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with TcpProxy("127.0.0.1", port) as proxy, pytest.raises(ConnectionResetError):
        connect_and_listen(proxy)


def test_cut_resets_open_connections_and_new_ones_until_healed(proxy: TcpProxy, echo: Echo) -> None:
    with connect(proxy) as client:
        assert echoed(client, b"before") == b"before"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionResetError):
        connect_and_listen(proxy)
    wait_until("the target losing its client", lambda: echo.has_clients(0), deadline=10)
    proxy.heal()
    with connect(proxy) as client:
        assert echoed(client, b"after") == b"after"


def test_hang_passes_nothing_and_heal_delivers_what_was_held(proxy: TcpProxy) -> None:
    with connect(proxy) as open_before:
        assert echoed(open_before, b"before") == b"before"
        proxy.hang()
        with connect(proxy) as opened_during:
            for client in (open_before, opened_during):
                client.sendall(b"held")
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(10)
            proxy.heal()
            assert received(open_before, 4) == b"held"
            assert received(opened_during, 4) == b"held"


def test_slow_passes_all_of_it_at_its_rate(proxy: TcpProxy) -> None:
    proxy.slow(bytes_per_second=2_000)
    with connect(proxy) as client:
        client.sendall(b"x" * 1_000)
        began = time.monotonic()
        assert received(client, 1_000) == b"x" * 1_000
        assert time.monotonic() - began >= 0.4  # at full rate it takes a millisecond


def test_slow_needs_a_rate(proxy: TcpProxy) -> None:
    with pytest.raises(ValueError, match="hang"):
        proxy.slow(0)


def test_half_open_takes_the_target_away_and_the_client_hears_nothing(proxy: TcpProxy, echo: Echo) -> None:
    with connect(proxy) as open_before:
        assert echoed(open_before, b"before") == b"before"
        proxy.half_open()
        wait_until("the target losing its client", lambda: echo.has_clients(0), deadline=10)
        with connect(proxy) as opened_during:
            for client in (open_before, opened_during):
                client.sendall(b"anybody?")
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(10)
            assert proxy.connections == 2
            proxy.heal()
            for client in (open_before, opened_during):
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
    with connect(proxy) as client:
        assert echoed(client, b"after") == b"after"


def test_leaving_resets_who_is_connected_in_whatever_weather(echo: Echo) -> None:
    for weather in (lambda proxy: None, TcpProxy.hang, TcpProxy.half_open, lambda proxy: proxy.slow(1)):
        with TcpProxy("127.0.0.1", echo.server_address[1]) as proxy:
            client = connect(proxy)
            assert echoed(client, b"x") == b"x"
            weather(proxy)
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)


def test_led_to_another_target_it_loses_its_connections_and_makes_new_ones_there(proxy: TcpProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, connect(proxy) as before:
        before.sendall(b"here")
        assert before.recv(4) == b"here"
        proxy.lead_to(*other.getsockname())
        with pytest.raises(ConnectionResetError):
            before.recv(1)
        with connect(proxy) as after:
            taken, _ = other.accept()
            with taken:
                taken.sendall(b"there")
                assert after.recv(5) == b"there"
