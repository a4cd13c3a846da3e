"""The body of an answer as it arrives: unpacked piece by piece, and never beyond a bound of memory.

A kilobyte of gzip unpacks to a megabyte: a client that unpacks a whole piece of the network and then looks at
its size has made 64 MiB of it before it can.
"""

from __future__ import annotations

import zlib

GZIP = 16 + zlib.MAX_WBITS


class TooLarge(Exception):
    """There is more of it than the bound."""


class Damaged(Exception):
    """It is not what its encoding says, or ends too early. The text says which."""


class Body:
    """take() each piece, then whole(). Holds `largest` bytes and one more at most."""

    def __init__(self, *, gzipped: bool, largest: int) -> None:
        self._unpacked = bytearray()
        self._unpacking = zlib.decompressobj(GZIP) if gzipped else None
        self._largest = largest

    def take(self, piece: bytes) -> None:
        """Raises TooLarge or Damaged."""
        room = self._largest - len(self._unpacked) + 1
        if self._unpacking is None:
            self._unpacked += piece[:room]
        else:
            try:
                self._unpacked += self._unpacking.decompress(piece, room)
            except zlib.error as error:
                raise Damaged(f"its gzip is damaged: {error}") from None
            if self._unpacking.unused_data:
                # Of which the decompressor would keep every byte, beyond any bound.
                raise Damaged("its gzip goes on after its end")
        if len(self._unpacked) > self._largest:
            raise TooLarge

    def whole(self) -> bytes:
        """Raises Damaged when the gzip is not at its end."""
        if self._unpacking is not None and not self._unpacking.eof:
            raise Damaged("its gzip is cut short")
        return bytes(self._unpacked)
