"""docs/go-live.md: this service and Twilio understand everything that it tells ops to paste, press and type."""

import re
import tomllib
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
import typer
from test_docs import ROOT, SETTINGS, commands
from test_simulator_inbound import a_caller, later, lose, say, screen

from reminders import wording
from reminders.cli import app
from reminders.settings import Settings
from reminders.simulator import Policy
from reminders.wording.catalog import catalogs
from reminders.wording.segments import segments

DOCUMENT = (ROOT / "docs" / "go-live.md").read_text(encoding="utf-8")
FLOWING = " ".join(DOCUMENT.split())
TWIML = re.search(r"```xml\n(.*?)```", DOCUMENT, re.DOTALL)[1]
QUOTED = re.findall(r"^ *> (\S.*)$", DOCUMENT, re.MULTILINE)


def fallback_texts():
    return [message.text for message in ET.fromstring(TWIML).findall("Message")]


def test_c4_the_fallback_is_one_text_in_each_language():
    english, spanish = fallback_texts()
    assert "call or text 988" in english
    assert "988 y oprima 2" in spanish


@pytest.mark.parametrize("text", fallback_texts())
def test_c4_a_fallback_text_is_one_segment_carries_988_and_911_and_asks_and_tells_nothing(text):
    assert (segments(text).encoding, segments(text).count) == ("GSM-7", 1)
    assert "988" in text
    assert "911" in text
    assert not set(text) & set("?¿{}")
    assert wording.telling_words(text) == ()


def test_the_fallback_is_what_a_phone_sees_while_our_host_is_down():
    caller = a_caller(fallback_twiml=TWIML)
    say(caller, "is anyone there")
    lose(caller, "ct")
    later(caller, 5)
    assert screen(caller) == [("phone", "is anyone there"), *(("twiml", text) for text in fallback_texts())]


def test_the_inbound_address_is_ours_and_twilio_understands_how_often_to_try():
    (url,) = re.findall(r"`(https://\S+/sms/\S+)`", DOCUMENT)
    parts = urlsplit(url)
    assert parts.path == "/sms/inbound"
    assert Policy.of(parts.fragment) == Policy(connect=2, read=4, total=15, retries=3, retry_on=frozenset({"all"}))


@pytest.mark.parametrize("language", ["en", "es"])
def test_c6_twilios_help_answer_is_ours_and_carries_988(language):
    text = catalogs()[language].texts["help"]
    assert text in QUOTED
    assert "988" in text


def test_l12_the_words_twilio_is_to_stop_on_are_words_we_stop_on():
    (added,) = re.findall(r"^\| STOP \| ([A-Z, ]+) \|", DOCUMENT, re.MULTILINE)
    data = (ROOT / "reminders" / "conversation" / "opt_words.toml").read_text(encoding="utf-8")
    ours = {word for words in tomllib.loads(data)["stop"].values() for word in words}
    assert {word.lower() for word in added.split(", ")} <= ours


def test_the_samples_for_the_campaign_are_texts_that_are_sent():
    samples = [line for line in QUOTED if line.startswith("Oak Street Office: ")]
    patterns = [
        re.sub(r"\\\{\w+\\\}", "[^?]+?", re.escape(text))
        for text in catalogs()["en"].texts.values()
        if "{alias}" in text
    ]
    assert len(samples) >= 3
    for sample in samples:
        assert any(re.fullmatch(pattern, sample) for pattern in patterns), sample
        assert "STOP" in sample
        assert segments(sample).count == 1
        assert wording.telling_words(sample) == ()


@pytest.mark.parametrize("line", sorted(set(re.findall(r"reminders ([a-z][a-z -]*)", FLOWING))))
def test_every_command_it_names_is_there(line):
    known = {*commands(typer.main.get_command(app)), "tasks"}
    assert any(f"{line} ".startswith(f"{command} ") for command in known), line


def test_every_setting_it_names_is_there_and_none_of_the_go_live_ones_is_left_out():
    tables = "|".join(table for table in Settings.model_fields if table != "source")
    named = set(re.findall(rf"`((?:{tables})\.[a-z0-9_]+)\b", FLOWING))
    assert named <= set(SETTINGS) | {"settings.toml"}
    assert {key for key in SETTINGS if key.startswith("go_live.")} <= named
