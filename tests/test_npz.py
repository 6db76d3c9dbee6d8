"""Archives from strangers: whatever is inside, the answer is the arrays or a ValueError naming the file."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from gated_lift.readers.npz import read_npz


class Hostile:
    """Creates a file when it is unpickled: the mark that code ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def member(array, **save):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **save)
    return buffer.getvalue()


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_plain_arrays_come_back(tmp_path, save):
    arrays = {
        "a": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.array("text"),
        "d": np.zeros((0, 3), np.float32),
    }
    save(tmp_path / "x.npz", **arrays)
    read = read_npz(tmp_path / "x.npz", ["a", "b"], optional=["c", "d", "absent"])
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        read_npz(tmp_path / "none.npz", ["a"])
    np.savez(tmp_path / "x.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(ValueError, match=r"x\.npz lacks poses, start and holds a, b"):
        read_npz(tmp_path / "x.npz", ["a", "poses", "start"])


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04", b"hello" * 100, pickle.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path, junk):
    (tmp_path / "x.npz").write_bytes(junk)
    with pytest.raises(ValueError, match=r"x\.npz is not a whole \.npz archive"):
        read_npz(tmp_path / "x.npz", ["a"])


def test_what_an_archive_quotes_of_itself_is_cut(tmp_path):
    """A local header whose name has become as long as the whole member is quoted by zipfile's own error."""
    path = archive(tmp_path / "a.npz", {"a.npy": member(np.arange(500.0))}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[26:28] = struct.pack("<H", 4000)
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"not a whole \.npz archive") as refused:
        read_npz(path, ("a",))
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)


def test_a_name_that_is_no_text_is_refused_by_name(tmp_path):
    """As a fuzzer found: the name before an array's bytes is marked as UTF-8, which it is not."""
    path = tmp_path / "file.npz"
    np.savez(path, values=np.arange(3))
    spoilt = bytearray(path.read_bytes())
    spoilt[7] |= 0x08
    spoilt[30] = 0xE4
    path.write_bytes(spoilt)
    with pytest.raises(ValueError, match=r"file.npz is not a whole .npz archive \('utf-8' codec"):
        read_npz(path, ["values"])


def test_damage_never_passes_unnoticed(tmp_path):
    """A flipped byte or a cut either leaves the arrays intact or raises a ValueError with the file's name."""
    arrays = {"a": np.arange(60, dtype=np.float32), "b": np.array(["x", "yy"])}
    np.savez(tmp_path / "whole.npz", **arrays)
    whole = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "broken.npz"
    flipped = [whole[:k] + bytes([whole[k] ^ 0x55]) + whole[k + 1 :] for k in range(len(whole))]
    truncated = [whole[:k] for k in range(0, len(whole), 7)]
    refused = 0
    for data in flipped + truncated:
        path.write_bytes(data)
        try:
            read = read_npz(path, ["a", "b"])
        except ValueError as error:
            assert "broken.npz" in str(error)
            refused += 1
        else:
            for name, array in arrays.items():
                np.testing.assert_array_equal(read[name], array)
    assert refused > 0.8 * len(flipped + truncated)


def test_pickles_are_refused_and_never_run(tmp_path):
    mark = tmp_path / "code-ran"
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array(Hostile(mark), dtype=object))
    with pytest.raises(ValueError, match=r"x\.npz: a\.npy holds pickled.*allow_pickle=True only"):
        read_npz(path, ["a"])
    with pytest.raises(ValueError, match=r"it asks for .*open"):
        read_npz(path, ["a"], allow_pickle=True)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Hostile(mark))).close()
    assert mark.exists()  # the bait works when it is unpickled carelessly


def test_pickled_dictionaries_are_read_on_request(tmp_path):
    nested = {"S1": {"Walk": [np.arange(6.0).reshape(2, 3), np.float32(2.5)], "n": (1, "two", None, True)}}
    np.savez(tmp_path / "x.npz", a=np.array(nested, dtype=object), b=np.array([{}, []], dtype=object))
    read = read_npz(tmp_path / "x.npz", ["a", "b"], allow_pickle=True)
    np.testing.assert_array_equal(read["a"]["S1"]["Walk"][0], nested["S1"]["Walk"][0])
    assert read["a"]["S1"]["Walk"][1] == 2.5 and read["a"]["S1"]["n"] == nested["S1"]["n"]
    assert read["b"].shape == (2,)


def test_damaged_pickles_are_refused(tmp_path):
    data = member(np.array({"a": np.arange(4.0)}, dtype=object))
    head = 10 + int.from_bytes(data[8:10], "little")  # magic, length and header, as the format has it
    for cut in range(head + 1, len(data), 11):
        path = archive(tmp_path / "x.npz", {"a.npy": data[:cut]})
        with pytest.raises(ValueError, match=r"x\.npz"):
            read_npz(path, ["a"], allow_pickle=True)
    path = archive(tmp_path / "x.npz", {"a.npy": data[:head] + pickle.dumps([1, 2])})
    with pytest.raises(ValueError, match="does not hold the array it declares"):
        read_npz(path, ["a"], allow_pickle=True)


def test_bombs_are_refused_before_they_unpack(tmp_path):
    path = archive(tmp_path / "x.npz", {"a.npy": member(np.zeros(4_000_000))})
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"unpacks to 32000\d+ bytes, max_bytes is 1000000"):
        read_npz(path, ["a"], max_bytes=1_000_000)
    # A header that claims more than the archive holds must not be believed: it would be 8 TB.
    honest = member(np.zeros(16))
    lying = honest.replace(b"(16,), }", b"(1000000000000,), }")[: len(honest)]
    assert lying != honest
    path = archive(tmp_path / "x.npz", {"a.npy": lying})
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_npz(path, ["a"])


def test_an_archive_that_understates_its_size_is_refused(tmp_path):
    path = archive(tmp_path / "x.npz", {"a.npy": member(np.zeros(4096))})
    data = path.read_bytes()
    true, small = struct.pack("<I", 128 + 8 * 4096), struct.pack("<I", 128 + 8 * 16)
    assert data.count(true) == 2  # local header and central directory
    path.write_bytes(data.replace(true, small))
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_npz(path, ["a"])


def test_headers_that_numpy_does_not_write_are_refused(tmp_path):
    good = member(np.zeros(3))
    for bad in (
        b"",
        b"not numpy",
        good[:20],
        good.replace(b"(3,)", b"(-3,)"),
        b"\x93NUMPY\x09\x00" + good[8:],
    ):
        path = archive(tmp_path / "x.npz", {"a.npy": bad})
        with pytest.raises(ValueError, match=r"x\.npz"):
            read_npz(path, ["a"])
    path = archive(tmp_path / "x.npz", {"a.npy": good}, compression=zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match="packed as NumPy never does"):
        read_npz(path, ["a"])
    mixed = np.zeros(2, dtype=[("x", object), ("y", float)])
    path = archive(tmp_path / "x.npz", {"a.npy": member(mixed)})
    with pytest.raises(ValueError, match="mixes objects"):
        read_npz(path, ["a"], allow_pickle=True)


def test_a_pickle_that_asks_for_absurd_memory_is_refused(tmp_path):
    head = member(np.array(None, dtype=object))
    head = head[: 10 + int.from_bytes(head[8:10], "little")]
    for absurd in (
        b"\x80\x04\x8e" + b"\xff" * 8,
        b"\x80\x04\x8d" + b"\xff" * 8,
        b"\x80\x04j\xff\xff\xff\xff.",
    ):
        path = archive(tmp_path / "x.npz", {"a.npy": head + absurd})
        with pytest.raises(ValueError, match=r"x\.npz: a\.npy cannot be unpickled"):
            read_npz(path, ["a"], allow_pickle=True)
