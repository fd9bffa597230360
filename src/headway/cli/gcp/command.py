"""The commands of `headway gcp`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from headway.cli.failures import EXIT_PENDING
from headway.cli.gcp.project import Project, Survey, takes_project, takes_project_and_names, with_cloud
from headway.cli.options import examples, json_option, yes_option
from headway.cli.streams import ask, emit, say

if TYPE_CHECKING:
    from headway.gcp.diff import Plan, Step


@click.group(
    epilog=examples(
        "headway gcp plan shop.jobs:app",
        "headway gcp apply shop.jobs:app",
        "headway gcp status shop.jobs:app --json",
    )
)
def gcp() -> None:
    """Make Google Cloud what an app declares: queues, schedules, services, topics, rights.

    Only what belongs to the app is touched. Needs the extra `gcp-admin`, and Google's default credentials.
    """


@gcp.command(
    epilog=examples(
        "headway gcp plan shop.jobs:app", "headway gcp plan shop.jobs:app --deployment shop.cloud:deployment"
    )
)
@json_option("the steps")
@takes_project
@click.pass_context
def plan(ctx: click.Context, project: Project, *, as_json: bool) -> None:
    """Show what apply would do. Changes nothing.

    Exit code 3: changes are pending; 0: there is nothing to do.
    """

    async def work(survey: Survey) -> tuple[Plan, int]:
        from headway.gcp.records import made_at_run_time

        return await _planned(survey), await made_at_run_time(project.app)

    found, made = with_cloud(project, work)
    _print_plan(found, as_json=as_json)
    if made:
        say(
            f"schedules made at run time: {made}. They get no Cloud Scheduler job: each call for a schedule of the "
            "code looks at them too"
        )
    ctx.exit(EXIT_PENDING if found.pending else 0)


@gcp.command(
    epilog=examples("headway gcp apply shop.jobs:app", "headway gcp apply shop.jobs:app --yes --json")
)
@yes_option
@json_option("the steps that were done")
@takes_project
def apply(project: Project, *, yes: bool, as_json: bool) -> None:
    """Make it so: create what is missing, mend what differs, delete what is no longer declared.

    Asks before it deletes. A queue in which jobs wait is kept, also when it is no longer declared; it looks again right
    before it deletes one. Stops at the first failure; applying again goes on from there.

    Schedules made at run time get no Cloud Scheduler job of their own: each call for one of the code looks at them too.
    """

    async def work(survey: Survey) -> tuple[Step, ...]:
        return await _carry_out(await _planned(survey), survey, yes=yes, as_json=as_json)

    _print_done(with_cloud(project, work), as_json=as_json)


@gcp.command(epilog=examples("headway gcp destroy shop.jobs:app"))
@yes_option
@json_option("the steps that were done")
@takes_project
def destroy(project: Project, *, yes: bool, as_json: bool) -> None:
    """Delete all that belongs to the app, with the jobs that wait in its queues. Asks before.

    Rights that were granted stay: others may need them too. Queues that Headway did not make stay as well.
    """

    async def work(survey: Survey) -> tuple[Step, ...]:
        from headway.gcp.diff import diff
        from headway.gcp.resources import Kind

        ours = [seen for seen in survey.seen if seen.resource.kind is not Kind.BINDING]
        return await _carry_out(diff([], ours, force=True), survey, yes=yes, as_json=as_json, force=True)

    _print_done(with_cloud(project, work), as_json=as_json)


@gcp.command(epilog=examples("headway gcp pause shop.jobs:app email", "headway gcp pause shop.jobs:app"))
@json_option("what is paused now")
@takes_project_and_names
def pause(project: Project, names: tuple[str, ...], *, as_json: bool) -> None:
    """Pause queues and schedules by name; none given: all of the app's.

    Nothing of a paused queue is dispatched; jobs for it are accepted. Fire times of a paused schedule are dropped: its
    record, in the guard's store, is paused too. Where that cannot be reached a warning says what comes of it.
    """
    _switch(project, names, paused=True, as_json=as_json)


@gcp.command(epilog=examples("headway gcp resume shop.jobs:app email", "headway gcp resume shop.jobs:app"))
@json_option("what is paused now")
@takes_project_and_names
def resume(project: Project, names: tuple[str, ...], *, as_json: bool) -> None:
    """Resume queues and schedules by name; none given: all of the app's."""
    _switch(project, names, paused=False, as_json=as_json)


@gcp.command(epilog=examples("headway gcp status shop.jobs:app"))
@json_option("the resources")
@takes_project
def status(project: Project, *, as_json: bool) -> None:
    """List all that belongs to the app: as declared, drifted, missing, paused, failed, not declared."""
    from headway.cli.output import Column, print_json, print_table, yellow

    async def work(survey: Survey) -> list[dict[str, Any]]:
        from headway.cli.gcp.render import state_fields

        return state_fields(survey.wanted, survey.seen, await _planned(survey))

    found = with_cloud(project, work)
    if as_json:
        print_json({"resources": found})
        return

    def colour(cell: str) -> str | None:
        return None if cell == "as declared" else yellow(cell)

    columns = [
        Column("kind"),
        Column("name"),
        Column("state", whole=True, colour=colour),
        Column("settings"),
        Column("detail"),
    ]
    rows = [[str(one[column.title]) for column in columns] for one in found]
    print_table(columns, rows, empty="nothing is declared, and nothing is there")


def somebody_is_there() -> bool:
    """Tell whether a question would be read by a person: what a pipe answers does not delete a cloud's resources."""
    return sys.stdin.isatty()


async def _planned(survey: Survey) -> Plan:
    from headway.gcp.diff import diff

    return diff(survey.wanted, survey.seen)


async def _carry_out(
    plan: Plan, survey: Survey, *, yes: bool, as_json: bool, force: bool = False
) -> tuple[Step, ...]:
    """Show the plan, ask where it takes something away, and do it."""
    from headway.cli.gcp.render import done_line, print_plan
    from headway.gcp.apply import apply as carry_out

    if not as_json:
        print_plan(plan)
    if plan.destructive:
        names = ", ".join(f"{step.resource.kind} {step.resource.name}" for step in plan.destructive)
        if not (yes or somebody_is_there()):
            msg = f"this deletes {names}: nobody can be asked, so nothing was changed; --yes goes without asking"
            raise click.UsageError(msg)
        ask(f"Delete {names}?", yes=yes)

    def said(step: Step) -> None:
        if not as_json:
            emit(done_line(step))

    return await carry_out(plan, survey.cloud, said, force=force)


def _switch(project: Project, names: tuple[str, ...], *, paused: bool, as_json: bool) -> None:
    from headway.cli.output import print_json

    async def work(survey: Survey) -> list[str]:
        from headway.gcp.switch import switch

        return await switch(
            project.app, survey.wanted, survey.seen, survey.cloud, names=names, paused=paused, warn=warn
        )

    def warn(text: str) -> None:
        say(f"warning: {text}")

    switched = with_cloud(project, work)
    if as_json:
        print_json({"paused" if paused else "resumed": switched})
        return
    for name in switched:
        emit(f"{name} {'paused' if paused else 'resumed'}")
    if not switched:
        emit("nothing to do")


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    from headway.cli.gcp.render import print_plan, step_fields
    from headway.cli.output import print_json

    if as_json:
        print_json({"pending": bool(plan.pending), "steps": [step_fields(step) for step in plan.steps]})
    else:
        print_plan(plan)


def _print_done(steps: tuple[Step, ...], *, as_json: bool) -> None:
    from headway.cli.gcp.render import step_fields
    from headway.cli.output import print_json

    if as_json:
        print_json({"done": [step_fields(step) for step in steps]})
