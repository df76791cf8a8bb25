# SPDX-License-Identifier: Apache-2.0
"""A byte proxy in front of a server, that can delay, cut, spoil or keep back what the server says.

    with Proxy(("127.0.0.1", 6379)) as proxy:
        ...                              # a client of proxy.port
        proxy.delay = 0.05               # replies come 50 ms later
        proxy.spoil = lambda: b"junk"    # ... comes instead of what the server said
        proxy.cut = lambda: 17           # connections made from now on end after 17 bytes of replies
        proxy.mute = True                # commands arrive, replies do not
        proxy.target = (host, port)      # of connections made from now on

Set from any thread, at any time. The proxy runs in a thread of its own.
"""

import asyncio
import collections
import random
import threading


class Proxy:
    def __init__(self, target):
        self.target = target
        self.delay = 0
        self.spoil = self.cut = None
        self.mute = False
        self.ends = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self._run(self.loop.create_server(lambda: _Client(self), "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _hang_up(self):
        for end in list(self.ends):
            end.abort()

    def hang_up(self):
        """Ends all connections, by a reset."""
        self._run(self._hang_up())

    def stop(self):
        self.loop.call_soon_threadsafe(self.server.close)
        self.hang_up()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class _Client(asyncio.Protocol):
    """The client's end of a connection."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.left = proxy.cut() if proxy.cut else None  # bytes of replies until it is cut
        self.early = []                                 # sent before the server's end was there
        self.due = collections.deque()                  # (when, bytes): replies on their way
        self.server = None

    def connection_made(self, transport):
        self.transport = transport
        self.proxy.ends.add(transport)
        self.opening = self.proxy.loop.create_task(self._open())

    async def _open(self):
        try:
            self.server, _ = await self.proxy.loop.create_connection(
                lambda: _Server(self), *self.proxy.target)
        except OSError:
            self.transport.abort()
            return
        for data in self.early:
            self.server.write(data)

    def data_received(self, data):
        if self.server is None:
            self.early.append(data)
        else:
            self.server.write(data)

    def connection_lost(self, _):
        self.proxy.ends.discard(self.transport)
        if self.server is not None:
            self.server.abort()

    def answer(self, data):
        """What the server said, on its way: never overtaken by what it says later."""
        if self.proxy.mute:
            return
        if self.proxy.spoil:
            data = self.proxy.spoil()
        when = self.proxy.loop.time() + self.proxy.delay
        if not self.due and self.proxy.delay == 0:
            self._deliver(data)
            return
        self.due.append((max(when, self.due[-1][0]) if self.due else when, data))
        if len(self.due) == 1:
            self.proxy.loop.call_at(when, self._deliver_due)

    def _deliver_due(self):
        while self.due and self.due[0][0] <= self.proxy.loop.time():
            self._deliver(self.due.popleft()[1])
        if self.due:
            self.proxy.loop.call_at(self.due[0][0], self._deliver_due)

    def _deliver(self, data):
        if self.transport.is_closing():
            return
        if self.left is None:
            self.transport.write(data)
            return
        self.transport.write(data[:self.left])
        self.left -= len(data)
        if self.left <= 0 and random.random() < 0.5:
            self.transport.abort()
        elif self.left <= 0:
            self.transport.close()


class _Server(asyncio.Protocol):
    """The server's end of it."""

    def __init__(self, client):
        self.client = client

    def data_received(self, data):
        self.client.answer(data)

    def connection_lost(self, _):
        self.client.transport.close()
