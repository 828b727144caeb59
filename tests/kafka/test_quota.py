"""What becomes of publishes when a broker's quota slows the gateway down."""

import asyncio
import subprocess
from uuid import uuid4

from tests.broker import Broker
from tests.broker.distribution import classpath
from tests.conftest import TopicFactory
from tests.kafka.support import errors, producing, read_log

from eventbus_gateway.errors import Overloaded, QuotaExceeded
from eventbus_gateway.kafka.records import Outcome, Record

_BYTES = 20_000


def _limit(broker: Broker, client: str, bytes_per_second: int) -> None:
    tool = ["java", "-XX:TieredStopAtLevel=1", "-cp", classpath(), "kafka.admin.ConfigCommand"]
    where = ["--bootstrap-server", broker.bootstrap, "--entity-type", "clients", "--entity-name", client]
    what = ["--alter", "--add-config", f"producer_byte_rate={bytes_per_second}"]
    subprocess.run([*tool, *where, *what], check=True, capture_output=True, timeout=60)


def test_a_quota_delays_what_was_taken_and_refuses_the_rest_with_the_time_to_wait(
    broker: Broker, topic: TopicFactory
) -> None:
    client, name = f"quota-{uuid4().hex[:8]}", topic(1)
    _limit(broker, client, 20_000)

    async def run() -> tuple[int, QuotaExceeded]:
        async with producing(broker.bootstrap, client_id=client, max_in_flight_records=6) as sink:
            taken: list[asyncio.Future[list[Outcome]]] = []
            refusal: QuotaExceeded | None = None
            async with asyncio.timeout(60):
                while refusal is None:
                    try:
                        taken.append(sink.send(name, [Record(None, bytes(_BYTES), [])]))
                    except QuotaExceeded as error:
                        refusal = error
                    except Overloaded:  # the broker has not said a word yet
                        await asyncio.wait([each for each in taken if not each.done()], return_when="FIRST_COMPLETED")
                # What was taken is stored all the same, only later.
                outcomes = [errors(await each) for each in taken]
            assert outcomes == [[None]] * len(taken)
            return len(taken), refusal

    number, refusal = asyncio.run(run())
    assert refusal.retry_after is not None
    assert refusal.retry_after > 0
    assert [len(record.value or b"") for record in read_log(broker.bootstrap, name)] == [_BYTES] * number
