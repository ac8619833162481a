"""Tests of resizing damaged files: the result is a picture or a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import image_factory
from timim import EmptyFile, NotAnImage, TooLarge
from timim.media import make_variants


@given(st.integers(0, 2**32))
@pytest.mark.requirement("R12")
def test_a_damaged_picture_is_resized_or_refused(seed: int) -> None:
    for form, data in image_factory.damaged(seed, 3):
        try:
            made = make_variants(data)
        except (NotAnImage, TooLarge, EmptyFile):
            continue
        assert made.original.width >= made.thumb.width > 0, form
