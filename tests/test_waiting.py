from gated_lift.drawing import waiting
from gated_lift.drawing.waiting import counted


def test_short_work_is_silent(capsys):
    assert list(counted(range(5), 5, "counting")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")


def test_long_work_says_how_fast_it_is(capsys, monkeypatch):
    """On standard error: results on standard output stay clean."""
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    assert list(counted(iter(range(500)), 500, "counting", "sheep")) == list(range(500))
    out, err = capsys.readouterr()
    assert out == "" and "counting" in err and "sheep/s" in err


def test_it_ends_with_whoever_asks(capsys, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    items = counted(iter(range(500)), 500, "counting")
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
