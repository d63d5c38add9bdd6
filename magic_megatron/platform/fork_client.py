"""Run by path, ``python fork_client.py SOCKET SCRIPT ARGUMENT…``: have the fork server become ``python SCRIPT …``.

The standard library alone, and little of it: Ray waits for this to start.
"""

import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

LENGTH = struct.Struct("!Q")


def main(path: str, arguments: list[str]) -> int:
    """The worker's exit status; 128 + the signal's number where one ended it."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.connect(path)
        pid = _ask(server, arguments)
    except OSError as error:
        print(f"fork server: {error}; this worker imports for itself", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, *arguments])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    try:
        return _number(server)
    except OSError:
        return 128 + signal.SIGKILL


def _ask(server: socket.socket, arguments: list[str]) -> int:
    """The process id of the fork."""
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    content = json.dumps(request).encode()
    socket.send_fds(server, [LENGTH.pack(len(content))], [0, 1, 2])
    server.sendall(content)
    return _number(server)


def _number(server: socket.socket) -> int:
    """The next eight bytes.

    Raises:
        OSError: the server ended.
    """
    content = b""
    while len(content) < LENGTH.size:
        part = server.recv(LENGTH.size - len(content))
        if not part:
            raise ConnectionResetError("the server ended")
        content += part
    (number,) = LENGTH.unpack(content)
    return int(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
