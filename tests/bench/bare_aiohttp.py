"""A bare loop that posts the same form as ours, with fifty requests in flight, and stores nothing."""

import asyncio
import os

import aiohttp
import turn
import tutorial

IN_FLIGHT = 50


async def post_all(url: str, messages: int) -> int:
    """Post that many texts; return how many were accepted."""
    numbers = iter(range(messages))
    address = f"{url}/2010-04-01/Accounts/{tutorial.ACCOUNT}/Messages.json"
    taken = 0
    signed = {"Authorization": aiohttp.encode_basic_auth(tutorial.ACCOUNT, tutorial.TOKEN)}
    async with aiohttp.ClientSession(headers=signed, connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as session:

        async def post() -> None:
            nonlocal taken
            for number in numbers:
                form = {
                    "To": turn.phone(number),
                    "From": tutorial.SENDER,
                    "Body": tutorial.BODY,
                    "StatusCallback": f"http://127.0.0.1:8000/sms/status/{number:032x}",
                    "ValidityPeriod": "36000",
                }
                async with session.post(address, data=form) as answer:
                    taken += (await answer.json())["sid"].startswith("SM") and answer.status == 201

        await asyncio.gather(*(post() for _ in range(IN_FLIGHT)))
    return taken


def main() -> None:
    told = turn.config()
    taken = 0

    def work() -> None:
        nonlocal taken
        taken = asyncio.run(post_all(os.environ["BENCH_URL"], told["messages"]))

    turn.take(work, lambda: taken)


if __name__ == "__main__":
    main()
