"""Messages: one line, whatever the names of files hold."""

from __future__ import annotations

import pickle

from persam_video.errors import DamagedVideoError, InputError
from persam_video.messages import printable


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31mred\r\nb\x07") == "a\\x1b[31mred\\r\\nb\\x07"
    assert printable("left \u202e right \u2028 line \udcff byte") == "left \\u202e right \\u2028 line \\udcff byte"
    assert printable("äöü …\xa0日本 👩\u200d🚀") == "äöü …\xa0日本 👩\u200d🚀"
    assert str(InputError("clip\n.mp4: no such file")) == "clip\\n.mp4: no such file"


def test_the_middle_of_a_long_text_is_left_out() -> None:
    text = printable("begin " + "x" * 5000 + " end")
    assert len(text) <= 1000
    assert text.startswith("begin xxx")
    assert text.endswith("xxx end")
    assert " … " in text


def test_errors_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(DamagedVideoError("clip.mp4: damaged", frame_index=3)))
    assert (str(error), error.frame_index) == ("clip.mp4: damaged", 3)
