"""How long a signed crisis webhook waits at the real web process while the largest plans are accepted.

The web process is `reminders web`. This process sends it texts with words of danger, one webhook after another, from
numbers that belong to no one. Meanwhile another program previews and accepts the largest plans allowed, through the API
of the same web process, and this process runs the worker's `watch` job.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from datetime import date, timedelta
from typing import Any, Self

import accepting
import httpx
import turn

from reminders import clock, store
from reminders.service import AppContext
from reminders.service.office import api_keys
from reminders.service.planning import watch

VISITS_A_DAY, DAYS, SUPPORTERS = 12, 60, 5


def largest(number: int, today: date) -> dict[str, Any]:
    """The largest plan allowed, of the n-th invented patient: twelve visits a day for two months, and six readers."""
    plan = accepting.plan_of(number, today)
    del plan["plan"]["program"], plan["plan"]["program_times"]
    named = [f"p{one}" for one in range(SUPPORTERS)]
    plan["recipients"] = [
        {"key": name, "role": "supporter", "phone": turn.phone(number * 10 + one + 1), "language": "en"}
        | {"consent": plan["consent"], "part2_consent_on": today.isoformat()}
        for one, name in enumerate(named)
    ]
    plan["patient"]["phone"] = turn.phone(number * 10)
    first = today + timedelta(days=1)
    plan["series"] = [
        {
            "key": f"s{one}",
            "kind": "therapy_individual",
            "starts": f"{first}T{8 + one:02}:00:00",
            "repeats": f"FREQ=DAILY;COUNT={DAYS}",
            "for": ["self", *named],
        }
        for one in range(VISITS_A_DAY)
    ]
    return plan


class Crisis:
    """Someone in danger who texts again and again: the duration and the answer of each webhook."""

    def __init__(self, url: str, sender: str) -> None:
        self.seconds: list[float] = []
        self.answers: list[int] = []
        self._url, self._sender, self._over = f"{url}/sms/inbound", sender, threading.Event()
        self._thread = threading.Thread(target=self._text)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _text(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._over.is_set():
                form = {
                    "AccountSid": os.environ["TWILIO_ACCOUNT_SID"],
                    "MessageSid": f"SM{secrets.token_hex(16)}",
                    "From": turn.phone(70_000 + len(self.seconds) % 1000),
                    "To": self._sender,
                    "Body": "I want to die",
                }
                signed = self._url + "".join(name + value for name, value in sorted(form.items()))
                token = os.environ["TWILIO_AUTH_TOKEN"].encode()
                mac = base64.b64encode(hmac.new(token, signed.encode(), hashlib.sha1).digest()).decode()
                begun = time.perf_counter()
                answer = client.post(self._url, data=form, headers={"X-Twilio-Signature": mac})
                self.seconds.append(time.perf_counter() - begun)
                self.answers.append(answer.status_code)


def measure(context: AppContext, url: str, rounds: int) -> dict[str, Any]:
    """Preview, accept and watch that many of the largest plans; how long the webhooks took meanwhile, and alone before.

    Raises SystemExit where anything was not answered as it should be.
    """
    now = clock.now()
    key = api_keys.make(context, "benchmark", ("write", "people"), now, who="benchmark").text
    sender = context.settings.twilio.sender
    took: dict[str, list[float]] = {"preview": [], "accept": [], "watch": []}
    with Crisis(url, sender) as alone:
        time.sleep(rounds)
    with Crisis(url, sender) as crisis, httpx.Client(timeout=120, trust_env=False) as program:
        program.headers["Authorization"] = f"Bearer {key}"
        for number in range(rounds):
            for what, path in (("preview", "/api/v1/preview"), ("accept", "/api/v1/plans")):
                begun = time.perf_counter()
                answer = program.post(url + path, json=largest(number, now.date()))
                took[what].append(time.perf_counter() - begun)
                if answer.status_code not in {200, 201}:
                    raise SystemExit(f"{what}: {answer.status_code} {answer.text[:500]}")
            begun = time.perf_counter()
            watch.look(context, clock.now())
            took["watch"].append(time.perf_counter() - begun)
    if set(crisis.answers) | set(alone.answers) != {200}:
        raise SystemExit(f"webhooks were answered {sorted(set(crisis.answers))}")
    waits, before = sorted(crisis.seconds), sorted(alone.seconds)
    figures = {
        "p99_alone_ms": _at(before, 0.99),
        "p50_ms": _at(waits, 0.5),
        "p99_ms": _at(waits, 0.99),
        "most_ms": _at(waits, 1.0),
    }
    slowest = {f"{name}_s": round(max(each), 2) for name, each in took.items()}
    return {"webhooks": len(waits)} | figures | slowest


def _at(waits: list[float], part: float) -> float:
    return round(waits[min(len(waits) - 1, int(len(waits) * part))] * 1000, 1)


def main() -> None:
    told = turn.config()
    context = AppContext.open()
    store.migrate(context.database, clock.now())
    port = context.settings.web.port
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"REMINDERS_WEB__PUBLIC_URL": url}
    with subprocess.Popen(
        [sys.executable, "-m", "reminders", "web"], env=environment, stderr=subprocess.DEVNULL
    ) as web:
        try:
            for _ in range(600):
                if web.poll() is not None:
                    raise SystemExit("the web process ended before it answered")
                try:
                    httpx.get(f"{url}/healthz", trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            turn.say(json.dumps(measure(context, url, told["messages"])))
        finally:
            web.terminate()
    context.close()


if __name__ == "__main__":
    main()
