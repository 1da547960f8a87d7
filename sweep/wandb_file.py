"""How a .wandb file holds its records: a log in blocks of 32 KiB, a record in one piece or several, each checksummed.

Source: LevelDB's log format, as in wandb 0.31.0, sdk/internal/datastore.py. What a record says is not known here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

MAGIC = b":W&B\xe1\xbe\x00"
BLOCK, HEADER = 32 * 1024, struct.Struct("<IHB")  # checksum, length, kind of the piece
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class NotWhole(ValueError):
    """A .wandb file that does not hold a run from beginning to end."""


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """(byte at which its last piece begins, content) of each record.

    Raises:
        NotWhole: it cannot be read, is of another version, was cut off or damaged; the message does not name the file.
    """
    held = b""
    for at, kind, piece in _pieces(path):
        held = piece if kind in (FULL, FIRST) else held + piece
        if kind in (FULL, LAST):
            yield at, held


def _pieces(path: Path) -> Iterator[tuple[int, int, bytes]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotWhole(f"it cannot be read ({error.strerror})") from error
    if not content.startswith(MAGIC):
        raise NotWhole("it does not begin as W&B's files of the version that is known do")
    at = len(MAGIC)
    while at < len(content):
        if BLOCK - at % BLOCK < HEADER.size:  # too little room for a piece: zeros
            at += BLOCK - at % BLOCK
            continue
        begin = at + HEADER.size
        checksum, length, kind = HEADER.unpack_from(content, at) if begin <= len(content) else (0, 1, 0)
        piece = content[begin : begin + length]
        if len(piece) < length:
            raise NotWhole(f"it was cut off at byte {len(content)}, so its run did not end")
        if zlib.crc32(bytes([kind]) + piece) != checksum or not FULL <= kind <= LAST:
            raise NotWhole(f"the piece at byte {at} does not have its checksum: it is damaged")
        yield at, kind, piece
        at = begin + length
