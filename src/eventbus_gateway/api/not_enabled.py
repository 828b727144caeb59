"""What is answered where a part of the gateway is switched off."""

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.errors import RouteNotFound


class NotEnabled:
    """Stands for all handlers of subscriptions in a process that serves none."""

    async def __call__(self, request: Request) -> Answer:
        """Refuse a request.

        Raises:
            RouteNotFound: always.
        """
        raise RouteNotFound("Subscriptions are not enabled on this gateway.")

    all = one = put = delete = pause = resume = seek = redrive = __call__
    ack = release = extend = reject = __call__
    test = attempts = rotate = __call__
