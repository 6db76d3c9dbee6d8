import os

import pytest

from gated_lift.outputs import check_free, write_whole


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "page.html"

    def write(part):
        assert part.suffix == ".html" and part.parent == path.parent and not path.exists()
        part.write_text("whole")

    assert write_whole({path: write}) == (path,) and path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("before")

    def fail(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole({path: fail}, overwrite=True)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_folders_that_were_made_for_nothing_go(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="no"):
        write_whole({tmp_path / "mine" / "a" / "b" / "page.html": fail_with(ValueError("no"))})
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"file is no folder.: choose another folder"):
        check_free([tmp_path / "file" / "page.html"])


def fail_with(error):
    def write(part):
        raise error

    return write


def test_what_exists_is_kept_and_named(tmp_path):
    path = tmp_path / "page.html"
    path.symlink_to(tmp_path / "nowhere")  # a link that leads nowhere is there too
    with pytest.raises(FileExistsError, match=r"page\.html exists: choose another name, or pass overwrite"):
        write_whole({path: lambda part: part.write_text("new")})
    write_whole({path: lambda part: part.write_text("new")}, overwrite=True)
    assert path.read_text() == "new" and not path.is_symlink()
    with pytest.raises(IsADirectoryError, match="is a folder: give the name of a file"):
        write_whole({tmp_path: lambda part: None}, overwrite=True)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="whoever may do everything is never refused"
)
def test_a_closed_folder_is_named_before_the_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="choose a folder that you may write to"):
        write_whole({tmp_path / "page.html": lambda part: pytest.fail("the work was done")})
