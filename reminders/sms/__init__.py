"""The phone network: hand texts to Twilio and hear what became of them.

`gateway` sends, looks up and lists inbound texts; a send has one of three results: accepted, refused or unknown.
`receipts` reads what Twilio sends us and checks its signature. `codes` says what each error code means and what to do.
`transport` is the wire: it sends every request at most once, by its deadline.
"""

from reminders.sms.gateway import Accepted, Answer, Gateway, Outgoing, Refused, Seen, Unknown, Unreachable
from reminders.sms.receipts import InboundText

__all__ = ["Accepted", "Answer", "Gateway", "InboundText", "Outgoing", "Refused", "Seen", "Unknown", "Unreachable"]
