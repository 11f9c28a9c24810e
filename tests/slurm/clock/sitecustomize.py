"""The driver asks Slurm every second; Python reads this at its start, from PYTHONPATH.

The plugin for Slurm waits ten seconds more after each question to which nothing has ended, and has
no option for it. Only the waiting is shorter; questions and answers are the real ones.
"""

import sys

if "--profile" in sys.orig_argv:
    import asyncio

    sleep = asyncio.sleep

    async def sleep_a_second(delay, result=None):
        return await sleep(min(delay, 1), result)

    asyncio.sleep = sleep_a_second
