#!/usr/bin/env python3
"""Drive kubectl fwd over its control sockets (docs/CONTROL.md). Nothing but Python's standard library.

    control.py list                                     every forward of this user
    control.py start PID TYPE NAME REMOTE_PORT [LOCAL]  start one in the process PID, such as a `kubectl fwd serve`
    control.py stop ID...                               stop forwards, wherever they run
    control.py watch                                    what happens to all of them, one line an event
"""

import json
import os
import selectors
import socket
import stat
import sys
import tempfile
from pathlib import Path

TIMEOUT = 5.0  # seconds for an answer; starting may take longer
START_TIMEOUT = 90.0


class Failed(Exception):
    """An error that a process answered with."""

    def __init__(self, error):
        data = error.get("data") or {}
        parts = [error["message"], *data.get("because", []), data.get("help") or ""]
        super().__init__("\n  ".join(part for part in parts if part))
        self.code = data.get("code", error["code"])


def sockets():
    """The control sockets of this user, from directories that nobody else can have touched."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    directories = [Path(runtime) / "kubectl-fwd"] if runtime else []
    directories.append(Path(tempfile.gettempdir()) / f"kubectl-fwd-{os.getuid()}")
    for directory in directories:
        try:
            found = directory.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
            print(f"{directory} is not to be trusted", file=sys.stderr)
            continue
        yield from sorted(directory.glob("[!.]*.sock"))


class Process:
    """A connection to one process that forwards."""

    def __init__(self, path):
        self.pid = int(path.name.split("-")[0])
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(path))
        self.buffer = b""
        self.last_id = 0

    def call(self, method, params=None, timeout=TIMEOUT):
        """Ask, and wait for the answer."""
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params or {}}
        self.socket.settimeout(timeout)
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = self.message()
            if message.get("id") == self.last_id:
                if "error" in message:
                    raise Failed(message["error"])
                return message["result"]

    def message(self):
        """The next message, as soon as it is whole."""
        while b"\n" not in self.buffer:
            self.receive()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def messages(self):
        """Those that are whole after reading once."""
        self.receive()
        while b"\n" in self.buffer:
            yield self.message()

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"process {self.pid} has ended")
        self.buffer += data


def processes():
    """Every process that can be reached. What a killed one left behind is removed."""
    for path in sockets():
        try:
            yield Process(path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            print(f"{path}: {error}", file=sys.stderr)


def every_forward():
    for process in processes():
        for forward in process.call("portforward:list"):
            yield process, forward


def list_all():
    for _, forward in every_forward():
        local = forward["local"] or f"{forward['address']}:{forward['localPort']}"
        print(forward["id"], forward["target"], local, forward["state"], forward["pod"] or "-", forward["pid"])


def start(pid, resource_type, name, remote_port, local_port=None):
    params = {
        "resource_type": resource_type,
        "name": name,
        "remote_port": int(remote_port) if remote_port.isdigit() else remote_port,
        "local_port": int(local_port) if local_port else None,
    }
    for process in processes():
        if process.pid == int(pid):
            print(process.call("portforward:start", params, START_TIMEOUT))
            return
    sys.exit(f"no process {pid} can be asked; 'kubectl fwd serve' starts one")


def stop(*ids):
    found = {forward["id"]: process for process, forward in every_forward()}
    unknown = [name for name in ids if name not in found]
    if unknown:
        sys.exit(f"there is no forward {', '.join(unknown)}, so none was stopped")
    for name in ids:
        found[name].call("portforward:stop", {"id": name})


def watch():
    with selectors.DefaultSelector() as selector:
        for process in processes():
            process.call("portforward:subscribe")
            selector.register(process.socket, selectors.EVENT_READ, process)
        print("watching", len(selector.get_map()), flush=True)
        while selector.get_map():
            for key, _ in selector.select():
                try:
                    for message in key.data.messages():
                        print(json.dumps(message["params"]), flush=True)
                except (EOFError, ConnectionError):
                    selector.unregister(key.fileobj)


def main(arguments):
    # How many words each takes, at least and at most.
    commands = {"list": (list_all, 0, 0), "start": (start, 4, 5), "stop": (stop, 1, 1000), "watch": (watch, 0, 0)}
    command, least, most = commands.get(arguments[0] if arguments else "", (None, 0, 0))
    if command is None or not least <= len(arguments) - 1 <= most:
        sys.exit(__doc__)
    try:
        command(*arguments[1:])
    except (Failed, EOFError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
