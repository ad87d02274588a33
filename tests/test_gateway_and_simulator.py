"""The two sides of the wire, written separately, on one loopback: what we send, and the pretend Twilio's reports."""

import asyncio
from datetime import timedelta

from fault_server import FaultServer

from reminders import clock
from reminders.simulator import Shell, Simulator, SimulatorSettings
from reminders.sms import Accepted, Gateway, Outgoing, Refused
from reminders.sms.receipts import is_signed, read_receipt

QUICK = SimulatorSettings(queued_after=0.01, sent_after=0.03, delivered_after=0.03)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_text_is_sent_found_fetched_and_reported_with_a_good_signature():
    async def main():
        began = clock.now() - timedelta(seconds=60)
        async with FaultServer(NO_CONTENT) as public, Shell(Simulator(QUICK, seed=7)) as shell:
            gateway = Gateway(
                account_sid=QUICK.account_sid,
                auth_token=QUICK.auth_token,
                base_url=f"http://127.0.0.1:{shell.port}",
                public_url=public.url,
                live=False,
                deadline=5.0,
                in_flight=4,
            )
            text = Outgoing("+12025550143", "Oak: see you tomorrow, 3 PM.", "r3fE", "+15005550006", 600)
            accepted = await gateway.send(text)
            assert isinstance(accepted, Accepted)
            assert accepted.status == "queued"
            (seen,) = await gateway.find(text.to, since=began)
            assert (seen.sid, seen.to, seen.sender, seen.body) == (accepted.sid, text.to, text.sender, text.body)
            assert await gateway.find("+12025550144", since=began) == []
            assert await gateway.fetch("SM" + "f" * 32) is None

            for number, code in (("+15005550001", 21211), ("+15005550004", 21610), ("+15005550009", 21614)):
                refused = await gateway.send(Outgoing(number, "x", "r2", "+15005550006", 600))
                assert refused == Refused(code, 400)

            receipts = []
            while not receipts or receipts[-1].status != "delivered":
                await asyncio.wait_for(public.reached.wait(), 5)
                public.reached.clear()
                receipts = [read_receipt(pairs(one)) for one in public.arrived]
            assert [(one.status, one.error_code, one.sid) for one in receipts] == [
                ("sent", 0, accepted.sid),
                ("delivered", 0, accepted.sid),
            ]
            for one in public.arrived:
                assert one.path == "/sms/status/r3fE"
                checked = {
                    "public_url": public.url,
                    "path_and_query": one.path,
                    "form": pairs(one),
                    "signature": one.headers["x-twilio-signature"],
                }
                assert is_signed(tokens=[QUICK.auth_token], **checked)
                assert not is_signed(tokens=["another"], **checked)
            assert (await gateway.fetch(accepted.sid)).status == "delivered"
            await gateway.close()

    asyncio.run(main())


def pairs(arrived):
    return [(name, value) for name, values in arrived.form.items() for value in values]
