"""The dashboard as an ASGI application: finds the page or act, who asks, and answers; what fails is said on a page.

It is mounted below any path. All that it knows of the app it asks of the server's services.
"""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from msgspec.structs import replace
from starlette.requests import Request

from headway.dashboard import answers
from headway.dashboard.asking import Asked, Done, Shown
from headway.dashboard.door import SESSION, VISIT, Door, Visitor, is_ours
from headway.dashboard.live import live_answer
from headway.dashboard.reading import (
    address_of,
    fields_of,
    first_of,
    form_of,
    is_part,
    page_before,
    path_of,
    wants_data,
)
from headway.dashboard.rendering import Flash, Frame, Pages, Who
from headway.dashboard.sessions import LIFETIME_MS, written
from headway.dashboard.table import ACTS, PAGES, find
from headway.errors import HeadwayError
from headway.server.access.caller import Role
from headway.server.rest.problem import problem_of
from headway.server.services.problems import NotFoundError, OutOfScopeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from headway.server.access.authentication import Authenticator
    from headway.server.access.keyring import Keyring
    from headway.server.live.hub import Hub
    from headway.server.services.app_services import AppServices

_log: Final = logging.getLogger("headway.dashboard")
_SAID: Final = "headway_said"
_MODE: Final = "headway_mode"
_MODES: Final = ("light", "dark")
_YEAR: Final = 31_536_000
_AT_THE_DOOR: Final = "/sign-in"


class Dashboard:
    """Serves the pages of one app, which is open on the running loop."""

    def __init__(
        self,
        services: AppServices,
        keyring: Keyring,
        authenticator: Authenticator,
        hub: Hub,
        *,
        read_only: bool = False,
    ) -> None:
        """`hub` hears what happens. `read_only`: nobody can do anything here, whatever their role."""
        self._services = services
        self._door = Door(keyring, authenticator, services.app.clock)
        self._pages = Pages()
        self._hub = hub
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        base = request.scope.get("root_path", "")
        if request.method not in {"GET", "HEAD", "POST"}:
            return answers.told({"detail": "pages are read (GET) or acted on (POST)"}, 405)
        path = path_of(request).removeprefix(base) or "/"
        if path.startswith("/assets/"):
            digest, _, name = path.removeprefix("/assets/").partition("/")
            return answers.asset(digest, name)
        visitor = Visitor(None, "")
        try:
            visitor = await self._door.look(request.cookies, address_of(request))
            if self._read_only and visitor.caller is not None:
                visitor = visitor._replace(caller=replace(visitor.caller, role=Role.READ))
            answer = await self._found(request, base, path, visitor)
        except HeadwayError as error:
            answer = self._failed(request, base, visitor, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page says so and the log has it
            _log.exception("the page %s failed", path)
            answer = self._failed(
                request, base, visitor, HeadwayError(f"this page failed: {type(error).__name__}")
            )
        if visitor.fresh_visit:
            answers.set_cookie(answer, request, VISIT, visitor.fresh_visit, None)
        if _SAID in request.cookies and request.method == "GET" and not is_part(request):
            answers.set_cookie(answer, request, _SAID, "", 0)
        return answer

    async def _found(self, request: Request, base: str, path: str, visitor: Visitor) -> Response:
        if path == _AT_THE_DOOR:
            return await self._at_the_door(request, base, visitor)
        if visitor.caller is None:
            return _to_the_door(request, base, path)
        if request.method == "POST":
            return await self._act(request, base, path, visitor)
        if path == "/live":
            return live_answer(self._hub)
        return await self._page(request, base, path, visitor)

    async def _page(self, request: Request, base: str, path: str, visitor: Visitor) -> Response:
        found = find(PAGES, path)
        if found is None:
            msg = f"there is no page {path}"
            raise NotFoundError(msg)
        entry, parts = found
        asked = self._asked(request, base, visitor, parts, {})
        if not asked.may(entry.role):
            raise _beyond(visitor, entry.role)
        return answers.page(await entry.page(asked))

    async def _act(self, request: Request, base: str, path: str, visitor: Visitor) -> Response:
        form = await form_of(request)
        if not is_ours(visitor, first_of(form, "csrf"), request.headers, request.headers.get("host", "")):
            msg = "this form is too old, or was not one of ours: nothing was done. Load the page anew, then try again"
            raise OutOfScopeError(msg)
        if path == "/sign-out":
            answer = answers.to(f"{base}{_AT_THE_DOOR}")
            answers.set_cookie(answer, request, SESSION, "", 0)
            return answer
        if path == "/mode":
            mode = first_of(form, "mode")
            answer = answers.to(page_before(request, base))
            answers.set_cookie(
                answer, request, _MODE, mode if mode in _MODES else "", _YEAR if mode in _MODES else 0
            )
            return answer
        found = find(ACTS, path)
        if found is None:
            msg = f"there is no act {path}"
            raise NotFoundError(msg)
        entry, parts = found
        asked = self._asked(request, base, visitor, parts, form)
        if not asked.may(entry.role):
            raise _beyond(visitor, entry.role)
        match await entry.act(asked):
            case Shown(page, status):
                return answers.page(page, status)
            case Done(said, go) if wants_data(request):
                return answers.told({"said": said, "location": f"{base}{go}"} if go else {"said": said})
            case Done(said, go):
                answer = answers.to(f"{base}{go}" if go else page_before(request, base))
                _say(answer, request, "good", said)
                return answer

    async def _at_the_door(self, request: Request, base: str, visitor: Visitor) -> Response:
        to = request.query_params.get("to", "/")
        to = to if to.startswith("/") and not to.startswith(("//", "/\\")) else "/"
        if request.method == "GET":
            if visitor.caller is not None:
                return answers.to(f"{base}{to}")
            return answers.page(self._door_page(request, base, visitor, to))
        form = await form_of(request)
        if not is_ours(visitor, first_of(form, "csrf"), request.headers, request.headers.get("host", "")):
            wrong = "The page was too old. Please try again."
            return answers.page(self._door_page(request, base, visitor, to, wrong), 403)
        try:
            session, caller = await self._door.sign_in(first_of(form, "key"), address_of(request))
        except HeadwayError as error:
            status = _status(error)
            return answers.page(self._door_page(request, base, visitor, to, str(error)), status)
        await self._services.audit.note(caller, "dashboard.sign-in", f"session of {caller.who}")
        answer = answers.to(f"{base}{to}")
        answers.set_cookie(answer, request, SESSION, written(session), LIFETIME_MS // 1000)
        return answer

    def _asked(
        self,
        request: Request,
        base: str,
        visitor: Visitor,
        parts: Mapping[str, str],
        form: Mapping[str, tuple[str, ...]],
    ) -> Asked:
        assert visitor.caller is not None  # noqa: S101 - those who are nobody were sent to the door
        query = fields_of(request.url.query, 200)
        frame = self._frame(request, base, visitor)
        return Asked(self._services, self._pages, visitor.caller, frame, parts, query, form)

    def _frame(self, request: Request, base: str, visitor: Visitor) -> Frame:
        caller = visitor.caller
        mode = request.cookies.get(_MODE, "")
        return Frame(
            app_name=self._services.app.name,
            base=base,
            csrf=visitor.token,
            may=lambda role: caller is not None and caller.role.includes(Role(role)),
            mode=mode if mode in _MODES else "",
            who=Who(caller.who, caller.role) if caller is not None and visitor.signed_in else None,
            flash=_said(request),
        )

    def _door_page(self, request: Request, base: str, visitor: Visitor, to: str, wrong: str = "") -> str:
        return self._pages.render(
            "sign-in", self._frame(request, base, visitor), title="Sign in", to=to, wrong=wrong
        )

    def _failed(self, request: Request, base: str, visitor: Visitor, error: HeadwayError) -> Response:
        status = _status(error)
        if request.method == "POST":
            if wants_data(request):
                return answers.told({"detail": str(error)}, status)
            answer = answers.to(page_before(request, base))
            _say(answer, request, "bad", str(error))
            return answer
        return answers.page(self._error_page(request, base, visitor, str(error), status), status)

    def _error_page(self, request: Request, base: str, visitor: Visitor, text: str, status: int) -> str:
        frame = self._frame(request, base, visitor)
        return self._pages.render("trouble", frame, title="Trouble", text=text, status=status)


def _to_the_door(request: Request, base: str, path: str) -> Response:
    if request.method not in {"GET", "HEAD"} or wants_data(request):
        return answers.told({"detail": "sign in first", "location": f"{base}{_AT_THE_DOOR}"}, 401)
    wanted = path + (f"?{request.url.query}" if request.url.query else "")
    return answers.to(f"{base}{_AT_THE_DOOR}?to={quote(wanted)}")


def _beyond(visitor: Visitor, role: Role) -> OutOfScopeError:
    has = "nobody" if visitor.caller is None else visitor.caller.role
    return OutOfScopeError(f"this needs the role {role}, and {has} is not enough; nothing was done")


def _status(error: HeadwayError) -> int:
    found = problem_of(error)
    return 500 if found is None else found[0].status


def _say(answer: Response, request: Request, tone: str, text: str) -> None:
    """Let the next page say it."""
    said = base64.urlsafe_b64encode(
        f"{tone} {' '.join(text.split())[:600]}".encode(errors="replace")
    ).decode()
    answers.set_cookie(answer, request, _SAID, said, 60)


def _said(request: Request) -> Flash | None:
    if is_part(request):
        return None
    try:
        said = base64.urlsafe_b64decode(request.cookies.get(_SAID, "").encode()).decode()
    except ValueError:
        return None
    tone, _, text = said.partition(" ")
    return Flash(tone if tone in {"good", "bad"} else "quiet", text) if text else None
