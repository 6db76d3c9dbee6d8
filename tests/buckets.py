"""A bucket without a network: what s3:// names is kept in memory."""

import fsspec
from etils import epath
from fsspec.implementations.memory import MemoryFileSystem

ADDRESS = "s3://bucket/run"


def empty_bucket():
    """The path of an empty folder in a bucket."""
    fsspec.register_implementation("s3", MemoryFileSystem, clobber=True)
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    return epath.Path(ADDRESS)
