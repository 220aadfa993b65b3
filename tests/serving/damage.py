"""Files as strangers may send them: valid ones with some bytes changed, and anything else."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Returns a strategy of a file's bytes after up to four mishaps, or of any few bytes."""
    place, piece = st.integers(0, max(len(content) - 1, 0)), st.binary(min_size=1, max_size=8)
    mishaps = st.one_of(
        st.builds(_replaced, place, piece),
        st.builds(_inserted, place, piece),
        st.builds(_left_out, place, st.integers(1, 40)),
        st.builds(_cut_off, place),
    )
    several = st.lists(mishaps, min_size=1, max_size=4)
    return st.one_of(several.map(lambda found: _after(content, found)), st.binary(max_size=40))


def _after(content: bytes, mishaps: list[Callable[[bytes], bytes]]) -> bytes:
    for mishap in mishaps:
        content = mishap(content)
    return content


def _replaced(place: int, piece: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + piece + content[place + len(piece) :]


def _inserted(place: int, piece: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + piece + content[place:]


def _left_out(place: int, length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + content[place + length :]


def _cut_off(place: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:place]
