"""``exact-source plan``: what a run would cost, before it starts."""

from __future__ import annotations

from typing import Any

import click

from exact_source import plan as planning
from exact_source.cli import options, printing
from exact_source.opening import Surroundings
from exact_source.plan import Cost, Plan

BACKFILL = {True: "everything", False: "changes"}


@click.command("plan", epilog="Example: exact-source plan --count --json")
@options.connection
@options.divisions
@click.option("--entity", "entities", multiple=True, metavar="NAME", help="This entity only; may be repeated.")
@click.option("--count", is_flag=True, help="Ask Exact for the number of rows where no run has been: one call each.")
@options.place
@options.as_json
def command(connection: str, count: bool, as_json: bool, **given: Any) -> None:
    """Tell what a run would cost, before it starts.

    Calls of each entity and division, share of the day's quota, minutes, and where the quota would stop it. From past
    runs, and without asking Exact, unless --count is given.
    """
    places = options.given(**{name: given[name] for name in ("region", "base_url", "token_store")})
    around = Surroundings(overrides=places)
    made = planning.plan(connection, around, divisions=given["divisions"] or None, entities=given["entities"] or None)
    if count:
        made = planning.counted(made, around)
    if as_json:
        printing.print_json(made.as_json())
    else:
        _print(made, count)


def _print(made: Plan, count: bool) -> None:
    printing.print_table(
        ("division", "entity", "feed", "reads", "calls", "from"),
        (
            [str(one.division), one.entity, one.feed, BACKFILL[one.is_backfill], _shown(one.calls), one.basis]
            for one in made.estimates
        ),
    )
    click.echo()
    printing.print_table(
        ("division", "calls", "of the day", "left today", "reserve", "minutes", "runs"), map(_row, made.costs)
    )
    for cost in made.costs:
        if cost.stops_at:
            printing.note(f"division {cost.division}: the quota of the day stops a run today at {cost.stops_at}")
    unknown = sum(cost.unknown for cost in made.costs)
    if unknown:
        advice = "" if count else "; --count asks Exact, one call each"
        printing.note(
            f"{printing.counted(unknown, 'entity', 'entities')} of unknown size, not in these figures{advice}"
        )
    if made.spent:
        printing.note(f"counting took {printing.counted(made.spent, 'call')}")
    click.echo(f"{printing.counted(made.calls, 'call')} in all, and 1 for the list of divisions")


def _row(cost: Cost) -> list[object]:
    share = None if cost.share_of_day is None else f"{cost.share_of_day:.1%} of {cost.daily_limit:,}"
    return [str(cost.division), cost.calls, share, cost.daily_left, cost.reserve, cost.minutes, cost.runs]


def _shown(calls: int | None) -> object:
    return "unknown" if calls is None else calls
