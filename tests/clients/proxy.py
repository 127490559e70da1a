"""A reverse proxy that hands the service's byte stream on in awkward pieces, and loses connections on purpose.

It stands in for everything between a service and its clients that may split a stream anywhere. It passes the end of a response
on as what it was: a clean end as a clean end, a lost connection as a lost connection (without the last chunk; every second one
with a reset). While the service is away it hangs up too, instead of answering 502: an EventSource gives up for ever at that.
"""

import http.client
import itertools
import socket
import struct
import threading

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Proxy:
    """Listens on a free port of 127.0.0.1 until closed.

    pieces:  sizes of the chunks a response is cut into, in turn
    budgets: how many bytes of the stream pass before the connection is lost, one number for each connection in turn
    """

    def __init__(self, service, pieces=(65536,), budgets=()):
        self.service, self.pieces = service, pieces
        self.budgets = iter(budgets)
        self.losses = itertools.count()
        self.lock = threading.Lock()
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)
        clean = False
        try:
            with client.makefile("rb") as reader:
                method, path, _ = reader.readline().decode().split()
                headers = http.client.parse_headers(reader)
            upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.endheaders()
            answer = upstream.getresponse()
            head = [f"HTTP/1.1 {answer.status} {answer.reason}"]
            head += [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            head += ["Transfer-Encoding: chunked", "Connection: close", "", ""]
            client.sendall("\r\n".join(head).encode())
            self._pipe(answer, client, self._budget(path))
            clean = True
        except (OSError, ValueError, http.client.HTTPException):
            pass
        finally:
            upstream.close()
            if not clean and next(self.losses) % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close = reset
            client.close()

    def _budget(self, path):
        if not path.startswith("/api/telemetry/stream"):
            return None
        with self.lock:
            self.connections += 1
            return next(self.budgets, None)

    def _pipe(self, answer, client, budget):
        sizes = itertools.cycle(self.pieces)
        while data := answer.read1(65536):
            if budget is not None:
                data, budget = data[:budget], budget - len(data)
            at = 0
            while at < len(data):
                piece = data[at:at + next(sizes)]
                client.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                at += len(piece)
            if budget is not None and budget <= 0:
                raise ConnectionResetError("budget spent")
        client.sendall(b"0\r\n\r\n")
