"""The web process: Twilio's webhooks, health for monitors, and pages for people."""

from reminders.web.app import create_app

__all__ = ["create_app"]
