"""A pretend Twilio with pretend phones.

Read it in this order: `exchange` (one request and response as values), `webhooks` (the calls Twilio makes), `rules`
(what goes wrong), `settings` (how it behaves), `timeline` (what happens when, including disorder), `lookup` (facts
about a number), `network` (messages, phones, opt-outs, queues), `rest` (the API in front of it), `control` (what a test
sees and sets), `shell` (all of it on sockets). All but `shell` are values, functions and a seed: no socket, no clock.
"""

from reminders.simulator.control import control
from reminders.simulator.exchange import Request, Response, Transport
from reminders.simulator.lookup import PhoneFacts
from reminders.simulator.network import Message, Page, PhoneNetwork, Shown
from reminders.simulator.rest import Simulator
from reminders.simulator.rules import Rule
from reminders.simulator.settings import SimulatorSettings, Spread
from reminders.simulator.shell import NotLoopbackError, Shell, run, serve
from reminders.simulator.webhooks import Callback, Outcome, Policy

__all__ = [
    "Callback",
    "Message",
    "NotLoopbackError",
    "Outcome",
    "Page",
    "PhoneFacts",
    "PhoneNetwork",
    "Policy",
    "Request",
    "Response",
    "Rule",
    "Shell",
    "Shown",
    "Simulator",
    "SimulatorSettings",
    "Spread",
    "Transport",
    "control",
    "run",
    "serve",
]
