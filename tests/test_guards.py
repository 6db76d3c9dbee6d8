"""Signals, the lock of a run folder, and a step that never ends."""

import os
import shutil
import signal
import threading
import time

import pytest

from experiments import guards


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_a_second_one_ends_at_once(number):
    before = {each: signal.getsignal(each) for each in guards.EXIT_CODES}
    with guards.stop_signals() as asked:
        assert asked(1) is None
        os.kill(os.getpid(), number)
        assert asked(2) is number
        assert {signal.getsignal(each) for each in guards.EXIT_CODES} == {signal.SIG_DFL}
    assert {each: signal.getsignal(each) for each in guards.EXIT_CODES} == before


def test_other_threads_ask_for_nothing():
    answers = []

    def run():
        with guards.stop_signals() as asked:
            answers.append(asked(1))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert answers == [None]


def test_a_folder_has_one_run(tmp_path):
    with guards.only_run(tmp_path) as check:
        with (
            pytest.raises(ValueError, match=rf"being written by another run \(process {os.getpid()} on"),
            guards.only_run(tmp_path),
        ):
            pass
        check()
    with guards.only_run(tmp_path):  # whoever comes after
        pass


def test_a_folder_that_is_gone_is_named(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with guards.only_run(folder) as check:
        shutil.rmtree(folder)
        with pytest.raises(FileNotFoundError, match=f"{folder} was deleted, moved or replaced while"):
            check()
        folder.mkdir()
        (folder / guards.LOCK).write_text("")
        with pytest.raises(FileNotFoundError, match="replaced"):
            check()


def test_a_stall_shows_where_every_thread_is(tmp_path):
    with (tmp_path / "stacks").open("w+") as file:
        with guards.watchdog(times=10, least=0.1, file=file) as watchdog:
            for _ in range(6):
                watchdog.finished()
            watchdog.rest()
            time.sleep(0.2)
            assert not (tmp_path / "stacks").read_text()
            watchdog.finished()
            time.sleep(0.2)
        told = (tmp_path / "stacks").read_text()
        assert told.startswith("Timeout") and "test_a_stall_shows_where_every_thread_is" in told
        time.sleep(0.15)
        assert (tmp_path / "stacks").read_text() == told
