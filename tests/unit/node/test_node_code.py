from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from headway.cli.root import cli
from headway.migrate.found import FoundJob, FoundState
from headway.migrate.mapfile import parse_map
from headway.migrate.node.reading import Declarations, read_declarations
from headway.migrate.node.sampling import Sample
from headway.migrate.node.shapes import kind_of, parameters
from headway.migrate.node.stubs import make_stubs, map_text, tasks_text
from headway.migrate.node.tokens import tokens
from headway.migrate.node.values import Unknown, value
from headway.migrate.rewrite.sources import Source

if TYPE_CHECKING:
    from headway import Headway
    from headway.migrate.rewrite.findings import Finding

BULLMQ = """
import { Queue, Worker, FlowProducer } from 'bullmq';
export const EMAIL = 'email';
export const emailQueue = new Queue<EmailData>(EMAIL, { connection, defaultJobOptions: { attempts: 3 } });
class Reports {
  constructor(@InjectQueue('reports') private readonly reports: Queue) {}
  async go() {
    await this.reports.add('daily', { full: true }, { repeat: { pattern: '0 3 * * *', tz: 'Europe/Zurich' } });
    await this.reports.upsertJobScheduler('hour', { every: 60 * 60 * 1000 }, { name: 'hourly', data: {} });
    await this.reports.add(nameOf(x), {});
  }
}
// await emailQueue.add('commented', {});
await emailQueue.add('welcome', { userId: 7, locale: "en" }, { attempts: 5, backoff: { type: 'exponential', delay: 1000 } });
await emailQueue.addBulk([{ name: 'digest', data: { ids: [1, 2], n: 1.5 } }, { name: "digest", data: { ids: [] } }]);
new Worker(EMAIL, async (job) => `${job.name}`, { concurrency: 20 });
const flow = new FlowProducer({ connection });
await flow.add({ name: 'site', queueName: 'build', data: { id: 'x' }, children: [{ name: 'page', queueName: 'pages' }] });
const dynamic = new Queue(`tenant-${id}`);
"""
BULL = """
const Queue = require('bull');
const video = new Queue('video transcoding', 'redis://127.0.0.1:6379');
video.process(async (job) => {});
video.process('thumb', 5, path);
video.add({ video: 'x.mov' }, { attempts: 2, backoff: 500, repeat: { cron: '*/5 * * * *' } });
video.add("thumb", { 'page-id': 3 });
"""


def _read(text: str) -> tuple[Declarations, list[Finding]]:
    findings: list[Finding] = []
    return read_declarations([Source(Path("a.ts"), "a.ts", text, "utf-8")], findings.append), findings


def _made(
    system: str, seen: Declarations, sample: Sample | None = None
) -> tuple[Headway, str, dict[str, Any]]:
    """Run what was written, and read the map as `headway migrate` does."""
    stubs = make_stubs(seen, sample)
    text = tasks_text(system, "shop", stubs)
    scope: dict[str, Any] = {"__name__": "tasks"}
    exec(compile(text, "tasks.py", "exec"), scope)  # noqa: S102 - it is ours
    fields = tomllib.loads(map_text(system, stubs))
    assert {rule.task for rule in parse_map(fields).rules} == set(scope["app"].tasks)
    return scope["app"], text, fields


def test_bullmq_in_typescript() -> None:
    seen, findings = _read(BULLMQ)
    app, text, fields = _made("bullmq", seen)
    assert sorted(app.tasks) == ["daily", "digest", "hourly", "page", "site", "welcome"]
    assert (
        "retry=Retry(max_attempts=5, initial=1, factor=2, jitter=0))\nasync def welcome(*, userId: int, locale: str)"
        in text
    )
    assert (
        "Retry(max_attempts=3, initial=0, factor=1, jitter=0))\nasync def digest(*, ids: list[int], n: float | None = None)"
        in text
    )
    assert "# ran: pattern 0 3 * * *, tz Europe/Zurich (a.ts:8)" in text
    assert "# ran: every 3600000 (a.ts:9)" in text
    assert {"name": "daily", "queue": "reports", "task": "daily", "arguments": "fields"} in fields["job"]
    assert {"name": "page", "queue": "pages", "task": "page", "arguments": "data"} in fields["job"]
    assert "commented" not in text
    assert [one.line for one in findings] == [19, 10, 18]


def test_bull_in_javascript() -> None:
    seen, _ = _read(BULL)
    app, text, fields = _made("bull", seen)
    assert sorted(app.tasks) == ["thumb", "video transcoding"]
    assert "async def video_transcoding(*, video: str)" in text
    assert "async def thumb(data: Any)" in text
    assert "# ran: cron */5 * * * * (a.ts:6)" in text
    assert fields["job"][0]["name"] == "__default__"


def test_a_sample_goes_before_literals_and_finds_what_the_code_does_not_show() -> None:
    seen, _ = _read(BULLMQ)
    jobs = [
        {"userId": 1, "locale": "en", "plan": None},
        {"userId": 2, "locale": "de", "plan": "gold", "x": {"y": 1}},
    ]
    sample = Sample(
        payloads={("email", "welcome"): jobs, ("tenant-1", "sync"): [[1, "a"]]},
        attempts={
            ("email", "welcome"): FoundJob(
                source_id="1", queue="email", state=FoundState.WAITING, name="welcome", attempts_allowed=2
            )
        },
        queues=["email", "tenant-1", "empty"],
    )
    app, text, _fields = _made("bullmq", seen, sample)
    assert "userId: int, locale: str, plan: str | None, x: dict[str, Any] | None = None" in text
    assert "Retry(max_attempts=2, initial=0, factor=1, jitter=0))\nasync def welcome" in text
    assert {"sync", "empty"} <= set(app.tasks)


def test_equal_names_in_two_queues_and_names_that_no_carrier_holds() -> None:
    seen, _ = _read(
        "const a = new Queue('a'); const b = new Queue('b{1}'); a.add('run', {}); b.add('run', {}); a.add('x,y', 1);"
    )
    app, _text, fields = _made("bullmq", seen)
    assert sorted(app.tasks) == ["a.run", "b-1-.run", "x-y"]
    assert {one["queue"] for one in fields["job"]} == {"a", "b{1}"}


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    _read(f"const q = new Queue('q'); q.add({text}")
    assert "".join(one.value for one in tokens("a = 1")) == "a=1"


@given(
    st.lists(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53), 2**53)
            | st.floats(allow_nan=False)
            | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=10,
        ),
        min_size=1,
        max_size=5,
    ),
    st.text(max_size=20),
)
def test_stubs_of_any_payload_are_python_and_take_it(payloads: list[Any], name: str) -> None:
    app, _text, fields = _made("bullmq", Declarations(), Sample(payloads={("q", name): payloads}))
    (task,) = app.tasks.values()
    for one in payloads:
        if fields["job"][0]["arguments"] == "fields":
            task.signature.parameters.bind((), one)
        else:
            task.signature.parameters.bind((one,), {})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], "float"),
        ([1, "a"], "int | str"),
        ([True, None], "bool | None"),
        ([[], [1], ["a"]], "list[int | str]"),
        ([[], []], "list[Any]"),
        ([None], "Any"),
        ([{"a": 1}], "dict[str, Any]"),
        ([Unknown("x"), 1], "Any"),
    ],
)
def test_types(values: list[Any], expected: str) -> None:
    assert kind_of(values) == expected


def test_payloads_that_are_one_argument() -> None:
    assert parameters([{"a": 1}, 3]) is None
    assert parameters([{"class": 1}]) is None
    assert parameters([{f"f{n}": 1 for n in range(100)}]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a: 1, 'b': [true, null], c}", {"a": 1, "b": [True, None], "c": Unknown("c")}),
        ("5 * 60 * 1000", 300_000),
        ("'it\\'s \\u00e9'", "it's é"),
        ("`plain`", "plain"),
        ("{ ...rest, x: f(1, 2) } as Data", {"x": Unknown("f(1,2)")}),
        ("[" * 100 + "]" * 100, None),
    ],
)
def test_values(text: str, expected: Any) -> None:
    found = value(tokens(text), {})
    if expected is not None:
        assert found == expected


def test_the_command_writes_once_and_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "queues.ts").write_text(BULLMQ, encoding="utf-8")
    args = ["migrate", "code", "--from", "bullmq", str(tmp_path / "src"), "--into", str(tmp_path / "jobs")]
    shown = CliRunner().invoke(cli, args)
    assert (shown.exit_code, (tmp_path / "jobs").exists()) == (0, False)
    assert "+++ b/tasks.py" in shown.stdout
    assert CliRunner().invoke(cli, [*args, "--write"]).exit_code == 0
    again = json.loads(CliRunner().invoke(cli, [*args, "--write", "--json"]).stdout)
    assert again["changes"] == []
    (tmp_path / "jobs" / "tasks.py").write_text("mine", encoding="utf-8")
    assert "not written over" in CliRunner().invoke(cli, [*args, "--write"]).stdout
    assert (tmp_path / "jobs" / "tasks.py").read_text(encoding="utf-8") == "mine"


def test_options_of_the_other_systems_are_refused_for_arq(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["migrate", "code", "--from", "arq", str(tmp_path), "--source", "redis://x"]
    )
    assert (result.exit_code, "for BullMQ and Bull" in result.stderr) == (2, True)
