import asyncio
import logging
import ssl
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fault_server import FaultServer, close, drip, hang, reply, reset, unused_port, write_and_close
from hypothesis import given
from hypothesis import strategies as st

from reminders.sms.transport import LARGEST_ANSWER, CurlTransport, MaybeSent, NotSent, is_loopback

OK = reply(201, {"sid": "SM1"})
FORM = {"To": "+15005550006", "Body": "á & =+\n€"}


@asynccontextmanager
async def talking(*acts, **options):
    async with FaultServer(*acts) as server:
        transport = CurlTransport(**({"deadline": 5.0} | options))
        try:
            yield server, transport
        finally:
            await transport.close()


async def verdict(request):
    try:
        answer = await request
    except (NotSent, MaybeSent) as wire:
        return type(wire), str(wire)
    return answer.status_code, answer.text


def test_a_form_arrives_as_it_was_given_with_headers_and_basic_auth():
    async def main():
        async with talking(OK) as (server, transport):
            answer = await transport.request(
                "POST",
                f"{server.url}/x",
                data=FORM | {"Many": ["a", "b"]},
                headers={"X-Mine": "1"},
                auth=("AC0", "t:k"),
            )
            assert (answer.status_code, answer.text, answer.ok) == (201, '{"sid": "SM1"}', True)
            (post,) = server.arrived
            assert post.form == {"To": ["+15005550006"], "Body": ["á & =+\n€"], "Many": ["a", "b"]}
            assert post.headers["x-mine"] == "1"
            assert post.headers["authorization"] == "Basic QUMwOnQ6aw=="
            assert "expect" not in post.headers

    asyncio.run(main())


def test_a_get_has_its_parameters_and_no_body_also_after_a_post_on_the_same_handle():
    async def main():
        async with talking(OK) as (server, transport):
            await transport.request("POST", f"{server.url}/x", data=b'{"a": 1}')
            await transport.request("GET", f"{server.url}/y", params={"To": "+15005550006", "PageSize": 2})
            assert [one.path for one in server.arrived] == ["/x", "/y?To=%2B15005550006&PageSize=2"]
            assert "content-length" not in server.arrived[1].headers
            assert {one.connection for one in server.arrived} == {1}

    asyncio.run(main())


def test_a_body_longer_than_a_buffer_arrives_whole():
    async def main():
        async with talking(OK) as (server, transport):
            await transport.request("POST", server.url, data={"Body": "x" * 300_000})
            assert server.arrived[0].form["Body"] == ["x" * 300_000]

    asyncio.run(main())


def test_a_post_is_never_sent_again_when_its_reused_connection_dies_unanswered():
    """Without the guard in the transport a second copy of the second POST arrives here on a third connection."""

    async def main():
        async with talking(OK, close, OK) as (server, transport):
            assert (await verdict(transport.request("POST", server.url, data=FORM)))[0] == 201
            assert await verdict(transport.request("POST", server.url, data=FORM)) == (MaybeSent, "closed")
            await asyncio.sleep(0.2)
            assert [one.connection for one in server.posts] == [1, 1]
            assert (await verdict(transport.request("POST", server.url, data=FORM)))[0] == 201
            assert len(server.posts) == 3

    asyncio.run(main())


def test_a_post_is_never_sent_again_after_a_reset_on_a_reused_connection():
    async def main():
        async with talking(OK, reset, OK) as (server, transport):
            await transport.request("POST", server.url, data=FORM)
            assert (await verdict(transport.request("POST", server.url, data=FORM)))[0] is MaybeSent
            await asyncio.sleep(0.2)
            assert len(server.posts) == 2

    asyncio.run(main())


def test_fifty_posts_on_fifty_reused_connections_that_die_are_fifty_posts():
    async def main():
        async with talking(*[OK] * 50, *[close] * 50, OK) as (server, transport):
            for _ in range(2):
                sent = [verdict(transport.request("POST", server.url, data=FORM)) for _ in range(50)]
                answers = await asyncio.gather(*sent)
            assert set(answers) == {(MaybeSent, "closed")}
            assert len(server.posts) == 100
            assert len(server.connections) == 50

    asyncio.run(main())


@pytest.mark.parametrize("let_go", [close, reset])
def test_a_connection_the_server_closed_while_idle_is_replaced_and_the_post_arrives_once(let_go):
    async def main():
        async with talking(OK) as (server, transport):
            await transport.request("POST", server.url, data=FORM)
            let_go(server.connections[0])
            await asyncio.sleep(1.1)  # libcurl checks a connection that was idle for a second
            assert (await verdict(transport.request("POST", server.url, data=FORM)))[0] == 201
            assert [one.connection for one in server.posts] == [1, 2]

    asyncio.run(main())


@pytest.mark.parametrize("let_go", [close, reset])
def test_a_connection_closed_within_that_second_costs_an_answer_but_never_a_second_post(let_go):
    async def main():
        async with talking(OK) as (server, transport):
            await transport.request("POST", server.url, data=FORM)
            let_go(server.connections[0])
            await asyncio.sleep(0.05)
            assert await verdict(transport.request("POST", server.url, data=FORM)) in {
                (MaybeSent, "closed"),
                (NotSent, "closed"),
            }
            await asyncio.sleep(0.1)
            assert len(server.posts) == 1
            assert (await verdict(transport.request("POST", server.url, data=FORM)))[0] == 201

    asyncio.run(main())


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (close, "closed"),
        (reset, "reset"),
        (write_and_close(reply(201, b"{}", length=50)), "truncated"),
        (write_and_close(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"), "truncated"),
        (write_and_close(b"SSH-2.0-none\r\n\r\n"), "not http"),
        (reply(201, b" " * (LARGEST_ANSWER + 1)), "too big"),
        (
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"ffff\r\n" + b" " * 0xFFFF + b"\r\n") * 20,
            "too big",
        ),
    ],
    ids=["FIN", "RST", "truncated", "truncated-chunk", "not-http", "too-big", "too-big-unannounced"],
)
def test_whatever_goes_wrong_after_the_request_was_written_is_maybe_sent(act, why):
    async def main():
        async with talking(act) as (server, transport):
            assert await verdict(transport.request("POST", server.url, data=FORM)) == (MaybeSent, why)
            assert len(server.posts) == 1

    asyncio.run(main())


@pytest.mark.parametrize("act", [hang, drip(reply(201, b"x" * 1000), 0.02)], ids=["no-answer", "slow-drip"])
def test_f14_the_deadline_is_for_the_whole_request(act):
    async def main():
        async with talking(act, deadline=0.4) as (server, transport):
            began = time.monotonic()
            assert await verdict(transport.request("POST", server.url, data=FORM)) == (MaybeSent, "timeout")
            assert 0.3 < time.monotonic() - began < 2

    asyncio.run(main())


def test_a_timeout_of_one_request_replaces_the_deadline():
    async def main():
        async with talking(hang, deadline=60.0) as (server, transport):
            request = transport.request("POST", server.url, data=FORM, timeout=0.2)
            assert await verdict(request) == (MaybeSent, "timeout")

    asyncio.run(main())


def test_a_request_begins_and_ends_at_its_time_while_another_waits_longer():
    async def main():
        async with talking(hang, hang, deadline=60.0) as (server, transport):
            late = asyncio.create_task(verdict(transport.request("POST", server.url, data=FORM, timeout=1.5)))
            await server.reached.wait()
            began = time.monotonic()
            early = transport.request("POST", server.url, data=FORM, timeout=0.3)
            assert await verdict(early) == (MaybeSent, "timeout")
            assert 0.2 < time.monotonic() - began < 1.0
            assert await late == (MaybeSent, "timeout")
            assert time.monotonic() - began > 1.0

    asyncio.run(main())


def test_when_libcurl_cannot_go_on_a_request_says_what_is_known():
    async def main():
        async with talking(hang) as (server, transport):
            request = asyncio.create_task(verdict(transport.request("POST", server.url, data=FORM)))
            await server.reached.wait()
            transport._wire._multi.close()  # any further call is an error
            transport._wire._time_is_up()
            assert await request == (MaybeSent, "reset")

    asyncio.run(main())


def test_f13_a_refused_connection_carried_nothing_also_on_a_handle_that_has_sent_before():
    async def main():
        async with talking(OK) as (server, transport):
            await transport.request("POST", server.url, data=FORM)
            request = transport.request("POST", f"http://127.0.0.1:{unused_port()}/", data=FORM)
            assert await verdict(request) == (NotSent, "refused")

    asyncio.run(main())


def test_f13_a_name_that_does_not_resolve_carried_nothing():
    async def main():
        transport = CurlTransport(deadline=5.0)
        request = transport.request("POST", "http://no-such-host.invalid/", data=FORM)
        assert await verdict(request) == (NotSent, "dns")
        await transport.close()

    asyncio.run(main())


def test_a_handshake_that_never_ends_carried_nothing():
    async def main():
        async with talking(hang, connect_timeout=0.3) as (server, transport):
            request = transport.request("POST", f"https://127.0.0.1:{server.port}/", data=FORM)
            assert await verdict(request) == (NotSent, "timeout")

    asyncio.run(main())


def certificate(folder, *, names, days):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    today = datetime(2026, 1, 1, tzinfo=UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=3000))
        .not_valid_after(today + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + cert.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("trusted", "names", "days", "expected"),
    [
        (True, [x509.IPAddress(ip_address("127.0.0.1"))], 9000, (201, '{"sid": "SM1"}')),
        (False, [x509.IPAddress(ip_address("127.0.0.1"))], 9000, (NotSent, "tls")),
        (True, [x509.DNSName("api.example.org")], 9000, (NotSent, "tls")),
        (True, [x509.IPAddress(ip_address("127.0.0.1"))], -2900, (NotSent, "tls")),
    ],
    ids=["good", "unknown-authority", "another-host", "expired"],
)
def test_f13_tls_is_verified(tmp_path, trusted, names, days, expected):
    path = certificate(tmp_path, names=names, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    async def main():
        async with FaultServer(OK, ssl=context) as server:
            transport = CurlTransport(deadline=5.0, ca_file=str(path) if trusted else None)
            request = transport.request("POST", f"https://127.0.0.1:{server.port}/", data=FORM)
            assert await verdict(request) == expected
            assert len(server.arrived) == (expected[0] == 201)
            await transport.close()

    asyncio.run(main())


def test_redirects_are_answers_and_not_followed():
    async def main():
        async with talking(reply(307, b"", header="Location: /elsewhere\r\n")) as (server, transport):
            assert await verdict(transport.request("POST", server.url, data=FORM)) == (307, "")
            assert len(server.arrived) == 1

    asyncio.run(main())


def test_the_environments_proxies_are_not_used(monkeypatch):
    for name in ("http_proxy", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")

    async def main():
        async with talking(OK) as (server, transport):
            assert (await verdict(transport.request("POST", server.url, data=FORM)))[0] == 201

    asyncio.run(main())


def test_a_cancelled_request_leaves_the_transport_usable():
    async def main():
        async with talking(hang, OK) as (server, transport):
            task = asyncio.create_task(transport.request("POST", server.url, data=FORM))
            await server.reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await verdict(transport.request("POST", server.url, data=FORM)))[0] == 201
            assert [one.connection for one in server.posts] == [1, 2]

    asyncio.run(main())


def test_closing_says_what_is_known_of_a_request_on_the_wire():
    async def main():
        async with talking(hang) as (server, transport):
            task = asyncio.create_task(verdict(transport.request("POST", server.url, data=FORM)))
            await server.reached.wait()
            await transport.close()
            assert await task == (MaybeSent, "closed")
            with pytest.raises(RuntimeError, match="closed"):
                await transport.request("POST", server.url, data=FORM)

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    [
        "https://api.twilio.com/2010-04-01",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.org/",
        "http://127.0.0.1@example.org/",
        "http://example.org#@127.0.0.1/",
        "http://example.org\\@127.0.0.2.example.net/",
        "http://0.0.0.0/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::1/",
        "http://127.1/",
        "",
    ],
)
def test_only_this_machine_is_called_where_only_loopback_is_allowed(url):
    async def main():
        transport = CurlTransport(loopback_only=True)
        with pytest.raises(ValueError, match="loopback"):
            await transport.request("POST", url, data=FORM)
        await transport.close()

    asyncio.run(main())


@pytest.mark.parametrize("url", ["http://127.0.0.1:4010", "http://127.8.9.1/", "http://[::1]:80/", "http://LOCALHOST/"])
def test_loopback_addresses(url):
    assert is_loopback(url)


@given(st.ip_addresses())
def test_is_loopback_agrees_with_the_address(address):
    url = f"http://[{address}]/" if address.version == 6 else f"http://{address}/"
    assert is_loopback(url) == address.is_loopback


@pytest.mark.parametrize(
    "asked",
    [
        {"method": "POST", "data": {}},
        {"method": "POST", "data": None},
        {"method": "PUT", "data": FORM},
        {"method": "GET", "allow_redirects": True},
    ],
)
def test_what_could_be_sent_twice_is_not_sent_at_all(asked):
    async def main():
        async with talking(OK) as (server, transport):
            with pytest.raises(ValueError, match="POST"):
                await transport.request(url=server.url, **asked)
            assert not server.connections

    asyncio.run(main())


def test_the_sdks_loggers_which_print_phone_numbers_are_quiet():
    for name in ("twilio.http_client", "twilio.async_http_client"):
        assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING
