"""The receiver's HTTP side: who may send, how much, and what is answered. Judging is in `validation`, keeping in `wal`, sealing in `sealer`.

POST /events               application/cloudevents-batch+json (array), application/cloudevents+json (one), application/json (either)
GET  /schemas/DOMAIN/TYPE  JSON Schema of an event's data
GET  /healthz              whether events are taken, and what is wrong
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from platform_defs.collection.record import Batch, Rejected, encode
from platform_defs.collection.registry import RegistryView
from platform_defs.collection.tokens import Tokens
from platform_defs.collection.validation import BodyMalformed, Form, Judge, Limits, rfc3339
from platform_defs.collection.verdicts import Judged
from platform_defs.collection.wal import LogUnavailable, WriteAheadLog
from platform_defs.contracts.wire import json_schema

_LOG = logging.getLogger(__name__)
_FORMS: dict[str, Form] = {"application/cloudevents-batch+json": "batch", "application/cloudevents+json": "single", "application/json": "either"}
_INLINE = 256 << 10  # a bigger body is judged in a thread, so that others are answered meanwhile


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """What the HTTP side stands on.

    Attributes:
        health: more for /healthz: names and texts without values.
        in_flight_bytes: of all requests between their first byte and their answer; over it 503. A client alone may hold half: over it 429.
        body_seconds: for a body to arrive.
    """

    log: WriteAheadLog
    registry: RegistryView
    tokens: Tokens
    limits: Limits = field(default_factory=Limits)
    health: Callable[[], Mapping[str, Any]] = dict
    in_flight_bytes: int = 64 << 20
    body_seconds: float = 30.0


def create_app(config: ReceiverConfig) -> Starlette:
    """The ASGI application; it starts and stops nothing."""
    receiver = _Receiver(config)
    return Starlette(
        routes=[
            Route("/events", receiver.events, methods=["POST"]),
            Route("/schemas/{domain}/{name}", receiver.schema, methods=["GET"]),
            Route("/healthz", receiver.healthz, methods=["GET"]),
        ]
    )


class _Refuse(Exception):
    """An answer other than 202, with words without values."""

    def __init__(self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.response = _answer(status, {"error": error, "detail": detail}, headers)
        super().__init__(error)


class _Receiver:
    def __init__(self, config: ReceiverConfig) -> None:
        self._config = config
        self._in_flight = 0
        self._by_client: dict[str, int] = defaultdict(int)

    async def events(self, request: Request) -> Response:
        """Takes events: 202 with a verdict for each once all that is accepted, and all that is rejected, is on the disk."""
        try:
            return await self._events(request)
        except _Refuse as refusal:
            return refusal.response
        except ClientDisconnect:
            return Response(status_code=400)
        except LogUnavailable:
            return _answer(
                503, {"error": "unavailable", "detail": "nothing can be kept now, none of this request is taken: send it again"}, {"Retry-After": "5"}
            )
        except Exception as error:  # noqa: BLE001 - a text of an unforeseen error may hold a value: its type and place must do
            place = _place(error)
            _LOG.error("POST /events failed: %s at %s", type(error).__name__, place)
            return _answer(500, {"error": "internal", "detail": f"{type(error).__name__}; none of this request is taken"})

    async def schema(self, request: Request) -> Response:
        """The JSON Schema of a type's data."""
        if self._config.tokens.client_of(request.headers.get("authorization")) is None:
            return _unauthorized().response
        judge = self._config.registry.judge
        key = f"{request.path_params['domain']}/{request.path_params['name']}"
        contract = judge.contracts.get(key) if judge else None
        if contract is None:
            return _answer(404, {"error": "unknown_type", "detail": "no contract has this type"})
        return _answer(200, await asyncio.to_thread(json_schema, contract), media_type="application/schema+json")

    async def healthz(self, request: Request) -> Response:
        """200 while events can be judged, 503 before the contracts were ever read."""
        judge = self._config.registry.judge
        said: dict[str, Any] = {"status": "ok" if judge else "starting", "types": len(judge.contracts) if judge else 0, "in_flight_bytes": self._in_flight}
        said["registry"] = self._config.registry.problem
        return _answer(200 if judge else 503, {**said, **self._config.health()})

    async def _events(self, request: Request) -> Response:
        client = self._config.tokens.client_of(request.headers.get("authorization"))
        if client is None:
            raise _unauthorized()
        form = _FORMS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
        if form is None or request.headers.get("content-encoding", "identity") != "identity":
            raise _Refuse(415, "unsupported", f"send plain {', '.join(_FORMS)}")
        judge = self._config.registry.judge
        if judge is None:
            raise _Refuse(503, "starting", "the contracts are not read yet: send it again", {"Retry-After": "2"})
        with self._room(client) as take:
            body = await self._body(request, client, take)
            ticket = self._config.log.begin()
            try:
                try:
                    judged = await self._judge(judge, body, form, client, ticket.received_at)
                except BodyMalformed as error:
                    await self._keep(client, rfc3339(ticket.received_at), (), (Rejected(None, "malformed", str(error), body, len(body)),))
                    raise _Refuse(400, "malformed", f"{error}; the body is kept in the failed log") from None
                await self._keep(client, rfc3339(ticket.received_at), judged.groups, judged.rejected)
            finally:
                self._config.log.end(ticket)
        return Response(judged.answer(), 202, media_type="application/json")

    async def _judge(self, judge: Judge, body: bytes, form: Form, client: str, received_at: Any) -> Judged:
        judged = await self._apart(judge, body, form, client, received_at)
        if judged.unknown:  # declared a moment ago, perhaps: look before refusing, at most twice a second
            newer = await asyncio.to_thread(self._config.registry.refresh, 0.5)
            if newer is not None and newer is not judge:
                return await self._apart(newer, body, form, client, received_at)
        return judged

    async def _apart(self, judge: Judge, body: bytes, form: Form, client: str, received_at: Any) -> Judged:
        if len(body) <= _INLINE:
            return judge.judge(body, form, client, received_at)
        return await asyncio.to_thread(judge.judge, body, form, client, received_at)

    async def _keep(self, client: str, at: str, groups: Any, rejected: tuple[Rejected, ...]) -> None:
        if groups or rejected:
            await asyncio.wrap_future(self._config.log.append(encode(Batch(client, at, groups, rejected))))

    async def _body(self, request: Request, client: str, take: Callable[[int], None]) -> bytes:
        """The whole body, at most `batch_bytes` of it read; a bigger one is noted without its bytes, its sender has them."""
        limit = self._config.limits.batch_bytes
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isdecimal() else 0
        chunks: list[bytes] = []
        have = 0
        if size <= limit:
            take(size)
            taken = size
            try:
                async with asyncio.timeout(self._config.body_seconds):
                    async for chunk in request.stream():
                        have += len(chunk)
                        if have > limit:
                            break
                        if have > taken:
                            take(have - taken)
                            taken = have
                        chunks.append(chunk)
            except TimeoutError:
                raise _Refuse(408, "timeout", f"the body did not arrive within {self._config.body_seconds:.0f} s", {"Connection": "close"}) from None
        if max(size, have) > limit:
            detail = f"a body may have {limit} bytes: send fewer events at a time"
            ticket = self._config.log.begin()
            try:
                await self._keep(client, rfc3339(ticket.received_at), (), (Rejected(None, "too_large", detail, None, max(size, have)),))
            finally:
                self._config.log.end(ticket)
            raise _Refuse(413, "too_large", detail, {"Connection": "close"})
        return b"".join(chunks)

    @contextmanager
    def _room(self, client: str) -> Iterator[Callable[[int], None]]:
        """Bounds what all requests together, and one client's, hold in memory."""
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if self._in_flight + size > self._config.in_flight_bytes:
                raise _Refuse(503, "overloaded", "more is under way than can be held: send it again", {"Retry-After": "1", "Connection": "close"})
            if self._by_client[client] + size > self._config.in_flight_bytes // 2:
                raise _Refuse(429, "too_many", "this client has more under way than its share: send it again", {"Retry-After": "1", "Connection": "close"})
            self._in_flight += size
            self._by_client[client] += size
            held += size

        try:
            yield take
        finally:
            self._in_flight -= held
            self._by_client[client] -= held


def _unauthorized() -> _Refuse:
    return _Refuse(401, "unauthorized", "send `Authorization: Bearer <token>` with a client's token", {"WWW-Authenticate": "Bearer"})


def _answer(status: int, said: Mapping[str, Any], headers: Mapping[str, str] | None = None, media_type: str = "application/json") -> Response:
    return Response(to_json(said), status, headers=dict(headers or {}), media_type=media_type)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace is not None else "?"
