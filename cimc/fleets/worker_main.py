"""The process of a worker: tasks come in on one pipe, records go out on another.

Started by :mod:`cimc.fleets.pool` as ``python -c``, never as a copy of the parent: it has torch's
threads of its own, and does not run the parent's main module again.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from typing import Any, BinaryIO

from cimc.errors import CimcError

#: What stands in front of every message: its length [bytes].
_LENGTH = 8


def send(stream: BinaryIO, message: Any) -> None:
    """Write a message."""
    data = pickle.dumps(message)
    stream.write(len(data).to_bytes(_LENGTH, "little") + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read a message.

    Raises:
        EOFError: The other side is gone.
    """
    head = stream.read(_LENGTH)
    size = int.from_bytes(head, "little")
    data = stream.read(size) if len(head) == _LENGTH else b""
    if len(head) < _LENGTH or len(data) < size:
        raise EOFError
    return pickle.loads(data)  # from the parent, or from a worker it started


def main() -> None:
    """Take a job, say that it is understood, then work on chip after chip until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    tasks, records = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not land among the records.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.path[:] = receive(tasks)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    job = receive(tasks)
    threading.Thread(target=_listen, args=(tasks, inbox), daemon=True).start()
    from cimc.fleets.work import Worker

    try:
        worker = Worker(job)
    except CimcError as error:
        send(records, (type(error), error.code, error.message, error.where, error.hint))
        return
    send(records, None)
    while True:
        send(records, worker.work(inbox.get()))


def _listen(tasks: BinaryIO, inbox: queue.SimpleQueue[Any]) -> None:
    """Pass tasks on; when the parent is gone, however it went, there is nobody to work for."""
    try:
        while True:
            inbox.put(receive(tasks))
    except BaseException:
        os._exit(1)
