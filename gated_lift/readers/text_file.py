"""The bytes of files that others made: bounded before memory is spent, unpacked where they are gzip."""

import gzip
import zlib
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"


def read_bytes(path: str | Path, what: str, mend: str, max_bytes: int, split: str = "") -> bytes:
    """The content of a file, unpacked if it is gzip.

    what: what the file should be, with its article. mend: what to do when it is not. split: what to do when
    it is too large, unless that is the same. All are for the message.

    Raises FileNotFoundError for a missing file, and ValueError, "{path} is not {what} (why): {mend}", for
    content, packed or unpacked, of more than ``max_bytes``, and for gzip that is damaged or cut short. No
    more than ``max_bytes`` are ever unpacked.
    """
    path = Path(path)
    with path.open("rb") as file:
        if path.stat().st_size > max_bytes:
            raise _error(path, what, f"it has more than {max_bytes} bytes", split or mend)
        data = file.read(max_bytes + 1)
        if data.startswith(GZIP_MAGIC):
            file.seek(0)
            try:
                with gzip.GzipFile(fileobj=file) as packed:
                    data = packed.read(max_bytes + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise _error(path, what, f"its gzip is damaged: {error}", mend) from error
    if len(data) > max_bytes:
        raise _error(path, what, f"it has more than {max_bytes} bytes", split or mend)
    return data


def decode(data: bytes, path: str | Path, what: str, mend: str) -> str:
    """The text of UTF-8, with or without the mark that some editors put before it. Raises ValueError, in the
    words of `read_bytes`, for any other bytes.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(Path(path), what, f"its text is not UTF-8 at byte {error.start}", mend) from error


def _error(path: Path, what: str, why: str, mend: str) -> ValueError:
    return ValueError(f"{path} is not {what} ({why}): {mend}")
