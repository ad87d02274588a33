"""The phone network: handing texts to Twilio and hearing what became of them.

`gateway` sends, looks up and lists what came in; a send is answered with one of three values: accepted, refused,
unknown. `receipts` reads what Twilio sends us and checks its signature. `codes` says what each error code means and
what to do. `transport` is the wire: every request at most once, by its deadline. `simulator` is a pretend Twilio with
pretend phones.
"""

from reminders.sms.gateway import Accepted, Answer, Gateway, Outgoing, Refused, Seen, Unknown, Unreachable
from reminders.sms.receipts import InboundText

__all__ = ["Accepted", "Answer", "Gateway", "InboundText", "Outgoing", "Refused", "Seen", "Unknown", "Unreachable"]
