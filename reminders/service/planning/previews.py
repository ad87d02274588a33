"""How often someone may try a plan out: each preview computes all of its texts, one at a time in a process."""

import threading
from collections import deque
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from reminders import store
from reminders.app_context import AppContext
from reminders.service.office.api_keys import TooMany

_WINDOW = timedelta(minutes=1)
_lock = threading.Lock()
_seen: WeakKeyDictionary[store.Database, dict[str, deque[datetime]]] = WeakKeyDictionary()


def admit(context: AppContext, who: str, now: datetime) -> None:
    """Count a preview of `who`, in this process. Raises TooMany above `web.previews_per_minute`."""
    with _lock:
        everybody = _seen.setdefault(context.database, {})
        for name in [name for name, times in everybody.items() if times[-1] <= now - _WINDOW]:
            del everybody[name]
        times = everybody.setdefault(who, deque())
        while times and times[0] <= now - _WINDOW:
            times.popleft()
        if len(times) >= context.settings.web.previews_per_minute:
            raise TooMany(times[0] + _WINDOW - now)
        times.append(now)
