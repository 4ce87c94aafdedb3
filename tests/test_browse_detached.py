"""Commands that outlive whoever started them: in order, told of, stopped, and never taken for others."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from test_browse_training import wait

from embed.browse import detached
from tomoseek.errors import InputError


def sleeping(folder: Path, *commands: str) -> Callable[[], detached.Record]:
    """Run commands of Python apart; what reads the record."""
    path = folder / "record.json"
    listed = [[sys.executable, "-c", command] for command in commands]
    detached.start(path, listed, folder / "log", {"why": "test"}, fresh=True)
    return lambda: detached.read(path) or {}


def test_commands_run_one_after_another_until_one_fails(tmp_path: Path) -> None:
    read = sleeping(tmp_path, "print('one')", "print('two'); raise SystemExit(3)", "print('three')")
    record = wait(read, lambda record: "code" in record)
    assert record["code"] == 3 and not record["stopped"] and record["told"] == {"why": "test"}
    assert (tmp_path / "log").read_text().split() == ["one", "two"] and not detached.running(record)


def test_a_command_that_is_killed_is_told_by_its_signal(tmp_path: Path) -> None:
    read = sleeping(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    record = wait(read, lambda record: "code" in record)
    assert record["code"] < 0 and not record["stopped"]
    assert (tmp_path / "log").read_text() == "error: ended by SIGKILL\n"


def test_a_command_that_lost_its_runner_still_runs_and_can_be_stopped(tmp_path: Path) -> None:
    read = sleeping(tmp_path, "import time; time.sleep(60)")
    record = wait(read, lambda record: "child" in record)
    runner, child = (psutil.Process(record[key]["pid"]) for key in ("runner", "child"))
    runner.kill()
    wait(lambda: runner, lambda process: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert detached.running(read())
    detached.stop(read())
    psutil.wait_procs([child], timeout=10)
    assert not detached.running(read())


def test_another_process_with_the_same_number_is_not_taken_for_it(tmp_path: Path) -> None:
    record = wait(sleeping(tmp_path, "pass"), lambda record: "code" in record)
    del record["code"]
    mine = psutil.Process()
    for born, same in ((mine.create_time(), True), (mine.create_time() - 3600, False)):
        record["runner"] = {"pid": os.getpid(), "born": born}
        assert detached.running(record) is same


def test_what_runs_on_another_machine_is_judged_by_its_log_and_stopped_there(tmp_path: Path) -> None:
    record = wait(sleeping(tmp_path, "pass"), lambda record: "code" in record)
    del record["code"]
    record["host"] = "another"
    assert detached.running(record)
    with pytest.raises(InputError, match="found one of another: stop it there"):
        detached.stop(record)
    os.utime(tmp_path / "log", (0, 0))
    assert not detached.running(record)
