"""OpenAI, simulated: chat completions in a form that the request gives."""

import json
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fields import check_choice, check_number, read_object
from slotbase.sandbox.openai.answers import MODES, Written, write
from slotbase.sandbox.openai.errors import Refused, no_quota, refusal_of
from slotbase.sandbox.openai.wishes import Wish, read_wish
from slotbase.sandbox.provider import Provider

WORKS, RATE_LIMIT, NO_QUOTA = "ok", "rate_limit", "insufficient_quota"
ALL_MODES = (WORKS, RATE_LIMIT, NO_QUOTA, *MODES)
LEAST_KEY = 12


@dataclass(frozen=True)
class Mode:
    """How the model behaves; `count` None means until it is told otherwise."""

    name: str = WORKS
    count: int | None = None
    retry_after: int | None = None


class OpenAI(Provider):
    """The part of OpenAI's API that writes."""

    name: ClassVar[str] = "openai"

    def __init__(self) -> None:
        self._mode = Mode()

    def routes(self) -> list[Route]:
        """The one address."""
        path = "/v1/chat/completions"
        return [Route("POST", path, "chat.completions", self._complete)]

    def controls(self) -> list[Route]:
        """How the model behaves from now on."""
        return [Route("POST", "/openai/mode", "set_mode", self._set_mode)]

    def error(self, status: int) -> Reply:
        """An error in OpenAI's form."""
        return refusal_of(status).reply()

    def reset(self) -> None:
        """The model behaves again."""
        self._mode = Mode()

    def _complete(self, request: Request) -> Reply:
        try:
            _authenticate(request)
            wish = read_wish(request)
            written = self._write(wish)
        except Refused as refused:
            return refused.reply()
        completion = _completion(wish, written)
        effect = {
            "id": completion["id"],
            "request": wish.body,
            "content": written.content and written.content[:10_000],
            "total_tokens": completion["usage"]["total_tokens"],
        }
        return Reply(200, completion, effect=effect)

    def _write(self, wish: Wish) -> Written:
        mode = self._mode
        if mode.count is not None:
            is_last = mode.count == 1
            self._mode = Mode() if is_last else replace(mode, count=mode.count - 1)
        if mode.name == RATE_LIMIT:
            raise refusal_of(429, retry_after=mode.retry_after)
        if mode.name == NO_QUOTA:
            raise no_quota()
        return MODES.get(mode.name, write)(wish)

    def _set_mode(self, request: Request) -> Reply:
        data = read_object(request, allowed=("mode", "count", "retry_after"))
        mode = Mode(check_choice(data.get("mode"), "mode", choices=ALL_MODES))
        if "count" in data:
            count = check_number(data["count"], "count", low=1, high=1_000_000)
            mode = replace(mode, count=count)
        if "retry_after" in data:
            wait = data["retry_after"]
            wait = check_number(wait, "retry_after", low=0, high=86_400)
            mode = replace(mode, retry_after=wait)
        self._mode = mode
        return Reply(201, {"mode": mode.name, "count": mode.count})


def _authenticate(request: Request) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    is_key = given.startswith("sk-") and len(given) >= LEAST_KEY
    if scheme != "Bearer" or not is_key:
        raise refusal_of(401)


def _completion(wish: Wish, written: Written) -> dict[str, Any]:
    message = {"role": "assistant", "content": written.content, "refusal": None}
    choice = {"index": 0, "message": {**message, **written.more}, "logprobs": None}
    # About four characters are a token.
    asked, answered = (
        len(json.dumps(wish.body)) // 4,
        len(written.content or "") // 4 + 1,
    )
    if written.finish_reason == "length":
        answered = wish.body.get("max_completion_tokens", answered)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": wish.body["model"],
        "choices": [{**choice, "finish_reason": written.finish_reason}],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": answered,
            "total_tokens": asked + answered,
        },
    }
