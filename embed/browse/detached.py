"""Commands one after another that outlive whoever started them, and a record of what has become of them.

They run under a process of their own (``python -m embed.browse.detached record.json``), in a session of their own. It
alone writes the record once it runs. Whoever reads that later, another server for instance, asks the system whether the
processes named there are alive, and the same: a number alone may be that of another process by now.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json

SAME_SECONDS = 2.0  # between two readings of when a process was born
SILENT_SECONDS = 120.0  # of a log on another machine, after which its writer is taken for ended
PATIENCE = 20.0  # seconds until the process has to show itself

Record = dict[str, Any]


def start(path: Path, commands: list[list[str]], log: Path, told: Any, fresh: bool) -> None:
    """Run commands one after another, until one fails.

    Parameters
    ----------
    path
        Of the record; one that is there is replaced.
    commands
        Each a list of words.
    log
        What they print is added to it.
    told
        Kept in the record.
    fresh
        Whether the log begins anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    log.open("wb" if fresh else "ab").close()
    record = {"commands": commands, "log": str(log.resolve()), "told": told, "host": socket.gethostname()}
    atomic_write_json(path, record | {"begun": time.time()})
    words = [sys.executable, "-m", "embed.browse.detached", str(path)]
    with log.open("ab") as said:
        started = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
    Thread(target=started.wait, daemon=True).start()  # so that nothing of it stays when it has ended
    until = time.monotonic() + PATIENCE
    while started.poll() is None and time.monotonic() < until and "runner" not in (read(path) or {}):
        time.sleep(0.02)


def read(path: Path) -> Record | None:
    """Return the record; None if there is none that can be read."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"commands", "told"} <= record.keys() else None


def running(record: Record) -> bool:
    """Tell whether one of its processes is alive."""
    if "code" in record:
        return False
    if record["host"] == socket.gethostname():
        return any(_found(record.get(key)) for key in ("runner", "child"))
    try:
        return time.time() - Path(record["log"]).stat().st_mtime < SILENT_SECONDS
    except OSError:
        return False


def stop(record: Record) -> None:
    """Have it end as SIGTERM ends it; the rest of the commands are not run.

    Raises
    ------
    InputError
        If it runs on another machine.
    """
    if record["host"] != socket.gethostname():
        raise InputError(f"expected a process of this machine, found one of {record['host']}: stop it there")
    process = _found(record.get("runner")) or _found(record.get("child"))  # which may have lost its runner
    if process is not None:
        process.terminate()


def _named(process: psutil.Process) -> dict[str, float]:
    return {"pid": process.pid, "born": process.create_time()}


def _found(named: dict[str, float] | None) -> psutil.Process | None:
    """Return a process if it is alive and the one that was named."""
    try:
        if named is None:
            return None
        process = psutil.Process(int(named["pid"]))
        same = abs(process.create_time() - named["born"]) < SAME_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def main(path: Path) -> None:
    """Run what the record names, and write down how it goes."""
    record = read(path)
    assert record is not None
    child: subprocess.Popen[bytes] | None = None
    stopped = Event()

    def receive(*_: object) -> None:
        stopped.set()
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, receive)
    record["runner"] = _named(psutil.Process())
    atomic_write_json(path, record)
    code = 0
    # Lines appear in the log as they are printed.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with Path(record["log"]).open("ab") as log:
        for number, words in enumerate(record["commands"]):
            if stopped.is_set() or code:
                break
            since = {"command": number, "log_from": log.tell(), "command_begun": time.time()}
            try:
                child = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
                )
                record |= since | {"child": _named(psutil.Process(child.pid))}
                atomic_write_json(path, record)
                if stopped.is_set():
                    child.terminate()  # it was not there yet when the signal came
                code = child.wait()
                if code < 0 and not stopped.is_set():
                    log.write(f"error: ended by {signal.Signals(-code).name}\n".encode())
            except OSError as error:
                log.write(f"error: {error}\n".encode())
                code = 127
    ended = stopped.is_set() or code in (-signal.SIGTERM, 128 + signal.SIGTERM)
    atomic_write_json(path, record | {"code": code, "stopped": ended, "ended": time.time()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
