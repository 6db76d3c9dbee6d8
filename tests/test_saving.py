"""Saves that go on beside the steps: their order, and the errors of theirs that come up later."""

from concurrent.futures import Future

import pytest

from experiments.training import saving
from gated_lift.networks import checkpoints


@pytest.fixture
def begun(monkeypatch):
    """The saves that have been begun, whose results a test sets."""
    found = []

    def begin_save(folder, step, variables, description, optimizer, keep):
        found.append((folder.name, step, Future()))
        return found[-1][2]

    monkeypatch.setattr(checkpoints, "begin_save", begin_save)
    return found


def test_one_save_a_folder_at_a_time(begun, tmp_path):
    with saving.saver() as saver:
        saver.begin(tmp_path / "a", 1, {}, {})
        saver.begin(tmp_path / "b", 1, {}, {})
        saver.check()  # waits for neither
        begun[0][2].set_result(tmp_path)
        saver.begin(tmp_path / "a", 2, {}, {})
        assert [entry[:2] for entry in begun] == [("a", 1), ("b", 1), ("a", 2)]
        begun[1][2].set_result(tmp_path)
        begun[2][2].set_result(tmp_path)
    assert saver.seconds > 0


def test_a_save_that_failed_is_named(begun, tmp_path):
    words = rf"step 7 could not be saved to {tmp_path} \(No space left on device\); no step is complete "
    with pytest.raises(saving.SaveError, match=words), saving.saver() as saver:
        saver.begin(tmp_path, 7, {}, {})
        begun[0][2].set_exception(OSError("No space\nleft on device"))
        saver.check()
    with pytest.raises(saving.SaveError, match="step 8 could not"), saving.saver() as saver:
        saver.begin(tmp_path, 8, {}, {})
        begun[1][2].set_exception(OSError())
    # What stops the run comes first.
    with pytest.raises(ZeroDivisionError), saving.saver() as saver:
        saver.begin(tmp_path, 9, {}, {})
        begun[2][2].set_exception(OSError())
        raise ZeroDivisionError
