"""A pretend Twilio with pretend phones.

Read it in this order: `exchange` (one request and answer as values), `rules` (what is to go wrong), `webhooks` (the
calls Twilio makes), `network` (messages, phones and time), `rest` (the API in front of it), `control` (what a test sees
and sets), `shell` (all of it on sockets). All but `shell` are values, verbs and a seed: no socket, no clock.
"""

from reminders.sms.simulator.control import control
from reminders.sms.simulator.exchange import Request, Response, Transport
from reminders.sms.simulator.network import Message, PhoneNetwork, SimulatorSettings
from reminders.sms.simulator.rest import Simulator
from reminders.sms.simulator.rules import Rule
from reminders.sms.simulator.shell import NotLoopbackError, Shell, run, serve
from reminders.sms.simulator.webhooks import Callback, Outcome, Policy

__all__ = [
    "Callback",
    "Message",
    "NotLoopbackError",
    "Outcome",
    "PhoneNetwork",
    "Policy",
    "Request",
    "Response",
    "Rule",
    "Shell",
    "Simulator",
    "SimulatorSettings",
    "Transport",
    "control",
    "run",
    "serve",
]
