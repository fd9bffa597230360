"""`headway rollout start`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.routes.completion import complete_carrier, complete_queue
from headway.cli.streams import emit, say
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget
    from headway.figures.values import Counts
    from headway.routing.declared import Declared
    from headway.routing.rollout.plan import Plan

_DAY_MS = 86_400_000


class _Begun(NamedTuple):
    lines: list[str]
    warnings: list[str]
    forecasts: list[dict[str, Any]]


@click.command(
    epilog=examples(
        "headway rollout start reports --to push --max-error-rate 1% --max-p95 5s --app shop.jobs:app",
        "headway rollout start reports --to push --steps 1,10,100 --every 1h --dry-run --app shop.jobs:app",
        "headway rollout start --plan plan.toml --app shop.jobs:app",
    )
)
@click.argument("name", metavar="[QUEUE]", required=False, shell_complete=complete_queue)
@click.option("--to", metavar="CARRIER", shell_complete=complete_carrier, help="Where the queue goes.")
@click.option(
    "--steps", metavar="PERCENT,...", help="Percentages of the new carrier.  [default: 1,5,25,50,100]"
)
@click.option("--every", metavar="DURATION", help="The least time of a step.  [default: 10m]")
@click.option("--delay", metavar="DURATION", help="From the start to the first figures.  [default: 30s]")
@click.option("--stand", metavar="DURATION", help="How much longer the last step must hold.")
@click.option("--max-error-rate", metavar="PERCENT", help="Failed attempts among those that ended.")
@click.option("--max-p95", metavar="DURATION", help="Of the duration of attempts.")
@click.option("--max-queue-latency", metavar="DURATION", help="95th percentile from due to start.")
@click.option("--max-backlog", metavar="JOBS", help="Due jobs that wait on the new carrier.")
@click.option("--min-jobs", metavar="JOBS", help="Attempts that must end there in each step.  [default: 200]")
@click.option(
    "--move-back",
    "waiting",
    flag_value="move",
    help="When it goes back: move the jobs that wait there back, too.  [default: they run there]",
)
@click.option("--leave-waiting", "waiting", flag_value="stay", help="Instead: pause the queue there.")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of QUEUE and the options above: a TOML file of queues, one after the other.",
)
@click.option("--dry-run", is_flag=True, help="Check it and say how long it would take; change nothing.")
@click.option("--reason", default="", help="Why; kept with the first decision.")
@click.option("--who", default=None, help="Who begins it; kept with it.  [default: user@host]")
@json_option("what was begun")
@takes_target
def start(
    target: Target,
    /,
    *,
    name: str | None,
    plan_file: Path | None,
    dry_run: bool,
    reason: str,
    who: str | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Begin to move QUEUE to another carrier, step by step, and set the first step's route.

    Each step is judged by its figures: against the limits, and against the other side of the same time. It goes on when
    all are kept, waits while there are too few jobs to tell, and goes back to the route of before when one is broken.
    """
    given: dict[str, object] = {key: value for key, value in options.items() if value is not None}
    plans = _plans(name, plan_file, given)

    async def work(opened: OpenTarget) -> _Begun:
        from headway.cli.routes.known import clock_of, declared_of, me
        from headway.routing.changing import control_of
        from headway.routing.steering import begin, begin_all

        declared, control, clock = declared_of(opened), control_of(opened.carriers), clock_of(opened)
        checked = await _checked(opened, declared, plans)
        if not dry_run:
            by = who or me()
            if plan_file is None:
                await begin(control, declared, plans[0], clock, who=by, reason=reason)
            else:
                await begin_all(control, declared, plans, clock, who=by, reason=reason)
        return checked

    begun = with_target(target, work)
    _print(plans, begun, dry_run=dry_run, as_json=as_json)


def _plans(name: str | None, plan_file: Path | None, given: dict[str, object]) -> tuple[Plan, ...]:
    from headway.routing.rollout.plan import parse_plan
    from headway.routing.rollout.planfile import parse_plans

    if plan_file is not None:
        if name is not None or given:
            msg = "give QUEUE with its options, or --plan alone"
            raise click.UsageError(msg)
        try:
            text = plan_file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            msg = f"{plan_file}: is no UTF-8 text: {error}"
            raise click.UsageError(msg) from error
        return parse_plans(text, str(plan_file))
    if name is None:
        msg = "which queue? give QUEUE and --to CARRIER, or --plan FILE"
        raise click.UsageError(msg)
    return (parse_plan(name, given, f"roll-out of {name}"),)


async def _checked(opened: OpenTarget, declared: Declared, plans: tuple[Plan, ...]) -> _Begun:
    """Refuse what cannot go well before anything is written, and tell how it would go."""
    from headway.app.needs import gaining_carriers
    from headway.cli.routes.checks import check_change, warnings_of
    from headway.cli.routes.known import clock_of, counts_by_carrier
    from headway.errors import ConfigError
    from headway.routing.changing import control_of, read_routes
    from headway.routing.leaving import check_leaving
    from headway.routing.rollout.forecast import broken_before
    from headway.routing.rollout.rollout import stepped
    from headway.routing.steering import check_begin

    control, clock = control_of(opened.carriers), clock_of(opened)
    if missing := _without_figures(opened):
        raise ConfigError(missing)
    table = (await read_routes(control, clock)).table
    counts = await counts_by_carrier(opened.carriers)
    lines: list[str] = []
    warnings: list[str] = []
    forecasts: list[dict[str, Any]] = []
    for plan in plans:
        check_leaving(plan, opened.carriers)
        route, _ = await check_begin(control, declared, plan, clock)
        if plan.to in opened.carriers and plan.to not in counts:
            msg = f"roll-out of {plan.queue}: carrier {plan.to} is not available now: nothing could be enqueued there"
            raise CommandFailed(msg)
        there = counts.get(plan.to, {}).get(plan.queue)
        if there is not None and there.paused:
            msg = (
                f"roll-out of {plan.queue}: the queue is paused on {plan.to}: nothing would run there; "
                f"headway queues resume {plan.queue} first"
            )
            raise ConfigError(msg)
        goal = {plan.queue: stepped(route, plan.to, plan.steps[-1])}
        after = table.changed(goal, who="", when_ms=0, why="", unrouted=declared.unrouted)
        check_change(opened, declared, table, after)
        warnings += await warnings_of(opened, counts, gaining_carriers(declared, table, after))
        before, span_ms = await _before(opened, plan, clock.now_ms())
        if before.ended >= plan.min_jobs and (broken := broken_before(plan, before)):
            msg = f"roll-out of {plan.queue}: {broken[0]}: no roll-out can keep that"
            raise ConfigError(msg)
        forecasts.append(_forecast(plan, before, span_ms, lines))
    return _Begun(lines, warnings, forecasts)


def _without_figures(opened: OpenTarget) -> str:
    from headway.app.rollouts import figures_of

    if figures_of(opened.carriers) is not None:
        return ""
    return (
        f"none of the carriers {', '.join(opened.carriers)} keeps figures: a roll-out is judged by them, and needs a "
        "redis:// or a sqlite:// among the carriers"
    )


async def _before(opened: OpenTarget, plan: Plan, now_ms: int) -> tuple[Counts, int]:
    """Return what the queue did in the last day, and in how many ms."""
    from headway.app.rollouts import figures_of
    from headway.figures.values import MINUTE_MS, Figures

    store = figures_of(opened.carriers)
    found = Figures()
    if store is not None:
        found = await store.figures(now_ms - _DAY_MS, now_ms + _DAY_MS, queue=plan.queue, coarse=True)
    first = min((row.minute for row in found.rows), default=0) * MINUTE_MS
    return found.of(queue=plan.queue), min(_DAY_MS, max(MINUTE_MS, now_ms - first))


def _forecast(plan: Plan, before: Counts, span_ms: int, lines: list[str]) -> dict[str, Any]:
    from headway.cli.render import span
    from headway.routing.rollout.forecast import jobs_to_see, steps_forecast

    steps = steps_forecast(plan, before, span_ms)
    for step in steps:
        takes = "no job has come in the last day" if step.takes_ms is None else f"about {span(step.takes_ms)}"
        lines.append(f"{plan.queue} to {plan.to}: {step.percent} %: {takes}")
    seen = None if plan.max_error_rate is None else jobs_to_see(plan, min(0.9, 5 * plan.max_error_rate))
    if seen is not None:
        lines.append(f"five times as many errors as allowed are seen after about {seen} jobs on {plan.to}")
    return {
        "queue": plan.queue,
        "to": plan.to,
        "steps": [{"percent": one.percent, "takes_ms": one.takes_ms} for one in steps],
        "jobs_to_see": seen,
    }


def _print(plans: tuple[Plan, ...], begun: _Begun, *, dry_run: bool, as_json: bool) -> None:
    from headway.cli.output import print_json, printable

    if as_json:
        print_json(
            {
                "begun": not dry_run,
                "dry_run": dry_run,
                "forecast": begun.forecasts,
                "warnings": begun.warnings,
            }
        )
        return
    for line in begun.lines:
        emit(printable(line))
    for warning in begun.warnings:
        say(f"headway: {printable(warning)}")
    first = plans[0]
    if dry_run:
        emit("nothing was begun")
    else:
        emit(
            f"begun: {first.queue} to {first.to}, {first.steps[0]} % now; workers do the next steps, "
            "or: headway rollout run"
        )
