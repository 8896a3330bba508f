"""Slow start: who is refused is not asked a thousand times."""

import pytest

from tiphys.controllers.owned import slow_start


@pytest.mark.parametrize(
    ("count", "refused_at", "asked"),
    [(0, None, 0), (1, None, 1), (10, None, 10), (1000, 0, 1), (1000, 4, 7), (5, 4, 5)],
)
@pytest.mark.parametrize("raises", [True, False])
async def test_it_stops_after_the_batch_with_a_refusal(count, refused_at, asked, raises):
    seen = []

    async def work(index):
        seen.append(index)
        if raises and index == refused_at:
            raise ValueError(index)
        return index != refused_at

    if raises and refused_at is not None:
        with pytest.raises(ValueError, match=str(refused_at)):
            await slow_start(count, work)
    else:
        await slow_start(count, work)
    assert seen == list(range(asked))
