"""Windows and batches."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from models.batches import WIDTH_STEP, cut, pack


@given(st.integers(0, 5000), st.integers(1, 300))
def test_windows_cover_a_text_in_order_without_overlap_and_are_nearly_equal(length: int, longest: int) -> None:
    windows = cut(length, longest)
    assert windows[0][0] == 0
    assert windows[-1][1] == length
    assert all(one[1] == two[0] for one, two in itertools.pairwise(windows))
    sizes = [end - start for start, end in windows]
    assert max(sizes) <= longest
    assert max(sizes) - min(sizes) <= 1
    assert len(windows) == max(1, -(-length // longest))


@given(st.lists(st.integers(1, 130), max_size=60), st.integers(1, 1000))
def test_every_window_is_in_one_batch_under_the_budget_with_its_tokens(lengths: list[int], budget: int) -> None:
    windows = [[number + 1] * length for number, length in enumerate(lengths)]
    batches = pack(windows, budget=budget, padding_id=0)
    assert sorted(number for batch in batches for number in batch.windows) == list(range(len(windows)))
    for batch in batches:
        assert len(batch.windows) == 1 or batch.ids.size <= budget
        assert batch.mask.sum() == sum(lengths[number] for number in batch.windows)
        for row, number in enumerate(batch.windows):
            assert batch.ids[row][batch.mask[row] == 1].tolist() == windows[number]
            assert not batch.ids[row][batch.mask[row] == 0].any()


@given(st.lists(st.integers(1, 130), min_size=1, max_size=60))
def test_the_width_at_which_a_window_runs_follows_from_itself_alone(lengths: list[int]) -> None:
    for batch in pack([[1] * length for length in lengths], budget=512, padding_id=0):
        for number in batch.windows:
            assert batch.ids.shape[1] - lengths[number] in range(WIDTH_STEP)
            assert batch.ids.shape[1] % WIDTH_STEP == 0
