"""What every service function needs: the settings, the secrets and the database."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from reminders import clock, languages, store
from reminders.plans import Known, to_wall
from reminders.settings import Secrets, Settings, without_password
from reminders.settings import load as load_settings
from reminders.settings import secrets as load_secrets
from reminders.sms import Gateway
from reminders.wording import house_style

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AppContext:
    """The settings, secrets and database of this process. Close it when done."""

    settings: Settings
    secrets: Secrets
    database: store.Database

    @classmethod
    def open(cls, settings: Settings | None = None, *, quick: bool = False, make_keys: bool = False) -> Self:
        """Open it with `settings`, or with those of this process.

        `quick` is for a process that must answer soon or not at all: Twilio waits three seconds for a webhook, then
        calls again. `make_keys` is for the one that makes the database: it generates missing keys and stores them next
        to the database. It does not connect yet. Raises SettingsError.
        """
        settings = settings or load_settings()
        house_style.use(settings.site.region)
        secrets = load_secrets(settings, make=make_keys)
        if secrets.made_here:
            log.info("sealing keys were generated on this machine; fine for a demo, refused when live")
        ring = store.Ring(secrets.sealing_keys)
        url = settings.database.url
        fast = settings.database.fast_path
        waits = {"patience": 1, "tries": 2} if quick else {}
        return cls(settings, secrets, store.Database(url, ring, fast=fast, **waits))

    @property
    def place(self) -> str:
        """The database and the settings in words, so that a person in the wrong directory notices (OPS-19)."""
        url = self.settings.database.url
        file = self.database.file
        where = f"sqlite:///{file.resolve()}" if file is not None else without_password(url)
        source = self.settings.source
        return f"Database {where}, settings {source.resolve() if source is not None else 'of the environment alone'}."

    def gateway(self) -> Gateway:
        """A gateway to Twilio, or to the simulator while `twilio.live` is false."""
        twilio = self.settings.twilio
        return Gateway(
            account_sid=self.secrets.account_sid,
            auth_token=self.secrets.auth_token,
            api_key=self.secrets.api_key,
            api_secret=self.secrets.api_secret,
            base_url=None if twilio.live else twilio.api_base_url,
            public_url=self.settings.web.public_url,
            live=twilio.live,
            deadline=twilio.deadline_seconds,
            in_flight=twilio.in_flight,
        )

    def keep_time(self) -> float:
        """Measure the database's clock and use it from now on; return how many seconds it is ahead (sending rule 2)."""
        ahead = self.database.skew(clock.machine)
        clock.correct(ahead)
        return ahead.total_seconds()

    def known(self, tx: store.Transaction, now: datetime, at: str | None = None) -> Known:
        """What plan documents are checked against, for the site with the key `at` or the default one."""
        site = (store.people.site_by_key(tx, at) if at is not None else None) or self.settings.site
        return Known(
            today=to_wall(now, site.zone).date(),
            languages=frozenset(languages.offered()),
            region=site.region,
            zone=site.zone,
            site=site.key,
            sites=frozenset({site.key, *store.people.site_keys(tx)}),
            fictional_numbers=not self.settings.twilio.live,
            countries=frozenset(self.settings.sending.countries or {site.region}),
            ours=frozenset(store.people.our_lines(tx)) | self.settings.our_lines,
        )

    def close(self) -> None:
        """Close the database."""
        self.database.close()
