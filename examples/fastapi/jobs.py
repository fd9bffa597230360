"""The task, and what it uses: run by the worker, named by the web application."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator

from headway import Context, Headway

app = Headway("reports")  # HEADWAY_URL says where; without it the file headway.db

WEEKS = 20


@app.resource  # opened once in each process of the worker; the web application opens none
async def sales() -> AsyncIterator[sqlite3.Connection]:
    """Give the sales: stands for the pool of your database."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE sales (year INTEGER, week INTEGER, amount INTEGER)")
    rows = [(year, week, week * 10) for year in range(2020, 2030) for week in range(WEEKS)]
    connection.executemany("INSERT INTO sales VALUES (?, ?, ?)", rows)
    yield connection
    connection.close()


@app.task
async def make_report(ctx: Context, year: int) -> int:
    """Add up a year's sales, slowly, and say how far it is."""
    total = 0
    for week in range(WEEKS):
        found = ctx.resource(sales).execute(
            "SELECT amount FROM sales WHERE year = ? AND week = ?", (year, week)
        )
        total += sum(amount for (amount,) in found)
        await asyncio.sleep(0.1)
        await ctx.progress((week + 1) / WEEKS, f"week {week + 1} of {WEEKS}")
    return total
