"""How long it takes to understand a reply, rules and second reader together: a usual text, and the longest body."""

import json
import statistics
import sys
import time

from reminders.conversation import understand

USUAL = "thanks my kids are fine, can we do friday"
FULL = (
    "hey sorry i could not call you back yesterday my kids were home from school and my phone died on the bus, "
    "can we move the visit to friday afternoon please thanks"
)
TEXTS = {
    "a usual text": USUAL,
    "a full segment": FULL,
    "the longest body Twilio brings": (f"{FULL}. " * 20)[:1600],
    "ten times as long": (f"{FULL}. " * 200)[:16000],
}


def main() -> None:
    """Print each text's median CPU time."""
    turns = json.loads(sys.argv[1])["turns"]
    rows = []
    for name, text in TEXTS.items():
        understand(text)  # compiles what it needs
        spent = []
        for _ in range(turns):
            begun = time.process_time()
            understand(text)
            spent.append(time.process_time() - begun)
        rows.append({"text": name, "characters": len(text), "cpu_ms": round(statistics.median(spent) * 1000, 3)})
    sys.stdout.write(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
