"""A state is saved by the clock, at the end, and when the process is told to end; never half changed."""

import signal
import threading

import pytest

from tomoseek.training import StateKeeper


class Record:
    """A state of two numbers that belong together, and what was saved of it."""

    def __init__(self) -> None:
        self.state, self.saved = [0, 0], list[list[int]]()

    def save(self) -> None:
        self.saved.append(list(self.state))


def test_a_young_state_is_not_saved_again_before_the_end() -> None:
    record = Record()
    with StateKeeper(record.save, every_seconds=60) as keeper:
        for _ in range(3):
            record.state[0] += 1
            keeper.save_if_due()
        assert record.saved == []
    assert record.saved == [[3, 0]]


def test_an_old_state_is_saved_in_passing() -> None:
    record = Record()
    with StateKeeper(record.save, every_seconds=0) as keeper:
        keeper.save_if_due()
        assert record.saved == [[0, 0]]


def test_a_signal_between_changes_ends_at_once_with_the_state_saved() -> None:
    record = Record()
    with pytest.raises(SystemExit) as stopped, StateKeeper(record.save) as keeper:
        with keeper.change():
            record.state = [1, 1]
        signal.raise_signal(signal.SIGTERM)
        record.state = [2, 2]
    assert stopped.value.code == 143
    assert record.saved == [[1, 1]]


def test_a_signal_within_a_change_waits_for_its_end() -> None:
    record = Record()
    with pytest.raises(KeyboardInterrupt), StateKeeper(record.save) as keeper:
        with keeper.change():
            record.state[0] = 1
            signal.raise_signal(signal.SIGINT)
            record.state[1] = 1
        record.state = [2, 2]
    assert record.saved == [[1, 1]]


def test_a_second_signal_does_not_cut_the_saving_short() -> None:
    saved = []

    def slow_save() -> None:
        signal.raise_signal(signal.SIGTERM)
        saved.append("whole")

    with pytest.raises(SystemExit), StateKeeper(slow_save):
        signal.raise_signal(signal.SIGTERM)
    assert saved == ["whole"]


def test_an_error_keeps_the_state_that_was_saved_before_it() -> None:
    record = Record()
    with pytest.raises(FloatingPointError), StateKeeper(record.save):
        raise FloatingPointError
    assert record.saved == []


def test_signals_have_their_earlier_effect_after_the_loop() -> None:
    earlier = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with StateKeeper(lambda: None):
        assert signal.getsignal(signal.SIGTERM) != earlier[0]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == earlier


def test_in_another_thread_the_clock_counts_alone() -> None:
    record = Record()

    def work() -> None:
        with StateKeeper(record.save, every_seconds=0) as keeper:
            keeper.save_if_due()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert record.saved == [[0, 0], [0, 0]]


def test_who_was_stopped_is_told_so_and_signals_mean_again_what_they_did(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit), StateKeeper(Record().save):
        signal.raise_signal(signal.SIGTERM)
    assert "stopped by SIGTERM; the same command goes on from here" in capsys.readouterr().err
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
