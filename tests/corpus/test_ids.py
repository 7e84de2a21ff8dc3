"""Ids are unique and lead back to names; order is natural."""

import os
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.corpus.ids import track_id

raw = st.lists(
    st.one_of(
        st.sampled_from([b"%", b"%25", b"%4", b"2", b"a", b"F", b"\xff", b"\xc3\xa9", b"\xc3"]), st.binary()
    ),
    max_size=8,
).map(lambda parts: b"".join(parts).replace(b"\0", b""))


@given(raw)
def test_an_id_leads_back_to_its_name(name: bytes) -> None:
    track = track_id(os.fsdecode(name))
    assert unquote_to_bytes(track.encode("utf-8")) == name  # and so no two names have one id


@given(st.text(st.characters(codec="utf-8", exclude_characters="%\0")))
def test_plain_names_are_their_ids(name: str) -> None:
    assert track_id(name) == name
