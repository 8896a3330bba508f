"""Components run on uvloop where it is installed."""

import asyncio

from tiphys.cmd import loop


def test_a_component_runs_to_its_end_on_uvloop() -> None:
    seen: list[str] = []

    async def component() -> None:
        await asyncio.sleep(0)
        seen.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])

    loop.run(component())
    assert seen == ["uvloop"]
