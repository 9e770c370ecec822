"""The kill switch: refuses what a stop order covers and cuts what is already running (rows C16, H3)."""

from __future__ import annotations

from typing import Final

from safeguards.base import Admission, Safeguard, Watch
from safeguards.exchange import Channel, Exchange
from safeguards.mode import Mode
from safeguards.ports import Stop, Switches
from safeguards.verdict import PASS, Block, Code

_CODES: Final = {Mode.DE_DEPLOYED: Code.DE_DEPLOYED, Mode.NO_NEW_PRINCIPALS: Code.NO_NEW_PRINCIPALS}


def stopped(stop: Stop) -> Block:
    """The verdict that a stop order in force means."""
    return Block(
        _CODES.get(stop.mode, Code.STOPPED), f"{stop.scope}: {stop.reason or 'no reason given'}", rule=stop.order
    )


class KillSwitch(Safeguard):
    """Asks the switches before the model is reached and whenever text is to leave."""

    kind = "kill_switch"
    watches = True

    def __init__(self, switches: Switches) -> None:
        """Take the switches of this process."""
        self._switches = switches

    def admit(self, exchange: Exchange) -> Admission:
        """Refuse what a stop covers."""
        stop = self._switches.covering(exchange)
        return PASS if stop is None else stopped(stop)

    def watch(self, exchange: Exchange, channel: Channel) -> Watch:
        """Cut what a stop covers since it began."""
        stop = self._switches.cutting(exchange)
        return channel.whole if stop is None else stopped(stop)
