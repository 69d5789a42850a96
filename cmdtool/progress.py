"""Readings -> updates: one call's progress as a client may see it, whatever the program prints.

A `ProgressTracker` is a one-slot mailbox between a command, which is never slowed down, and a client that may be slow:
`offer` replaces the reading that waits, `take` gives what may go out now. It keeps MCP's rule that progress increases
with every notification (2026-07-28, basic/utilities/progress), and DESIGN's promises: never above total, complete only
when the command has succeeded, a fraction that never falls, a sign of life when nothing else was to be said.
The clock is passed in, in seconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cmdtool.model import ProgressSpec
from cmdtool.readings import Reading
from cmdtool.text import clean_line
from cmdtool.values import stage_key

ALMOST: Final = 0.999
"""The fraction that stands for "all done" until the command has exited with success."""

CREEP: Final = 1e-9
"""The share of the total by which progress moves to carry a new message without claiming any."""

NOTHING: Final = 1e-6
"""The share of the total below which only creeps were sent."""

SPACING: Final = 1 / 9
"""Least seconds between two updates: with the last one, which waits for nothing, at most ten in any second."""

LIFE: Final = 1e6
"""Seconds without a number that count as one unit: real numbers, once there are some, are larger."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a sink gets: the fields of `notifications/progress`. No total means indeterminate."""

    progress: float
    total: float | None
    message: str | None


class ProgressTracker:
    """The progress of one call, from its start (in the queue) to its end."""

    def __init__(self, spec: ProgressSpec, now: float) -> None:
        self._heartbeat = spec.heartbeat
        self._interval = max(SPACING, min(spec.interval, spec.heartbeat))
        self._shares = _shares(spec.stages or {})
        self._start = now
        self._furthest = 0.0
        self._newest: Reading | None = None
        self._message: str | None = None
        self._sent: Update | None = None
        self._sent_at = -math.inf
        self._quiet_since = now
        self._factor = 1.0
        self._expected: float | None = None
        self._has_claimed = False
        self._last_line = b""

    def offer(self, reading: Reading) -> None:
        """Put the newest reading into the slot; the one that still waits there is gone."""
        self._newest = reading

    def say(self, message: str) -> None:
        """Offer a message without a number."""
        self.offer(Reading(value=None, total=None, message=message, stage=None))

    def weigh(self, stages: Mapping[str, float]) -> None:
        """Set the weights of the stages, which the parser that `auto` chose knows."""
        self._shares = _shares(stages)

    def expect(self, total: float) -> None:
        """Set the total that a success ends on even if no reading ever came."""
        self._expected = total

    def hear(self, line: bytes) -> None:
        """Remember the last line of output, for the message of a sign of life."""
        self._last_line = line

    def wait(self, now: float) -> float:
        """Return the seconds until `take` may have something, if nothing new is offered."""
        beat = self._quiet_since + self._heartbeat
        slot = self._sent_at + self._interval
        return max(0.0, (max(beat, slot) if self._newest is None else slot) - now)

    def take(self, now: float) -> Update | None:
        """Return what is to be sent now, or None; what is returned counts as sent."""
        if now < self._sent_at + self._interval:
            return None
        update = self._flush(now) if self._newest is not None else None
        if update is None and now >= self._quiet_since + self._heartbeat:
            self._quiet_since = now
            update = self._creep(self._life_sign(now), now)
        return self._note_sent(update, now)

    def finish(self, *, success: bool, now: float) -> Update | None:
        """Return the last update of the call: complete after a success with a known total, else the newest reading."""
        update = self._flush(now) if self._newest is not None else None
        last = update or self._sent
        if success and last is not None and last.total is not None:
            update = Update(last.total, last.total, self._message)
        elif success and self._expected is not None:
            total = self._expected * _factor_above(self._expected, last.progress if last else 0.0)
            update = Update(total, total, self._message)
        return self._note_sent(update, now)

    def _flush(self, now: float) -> Update | None:
        """Empty the slot into the update that follows from it, or None where it says nothing new."""
        assert self._newest is not None
        reading, self._newest = self._newest, None
        value, total, message = self._overall(reading)
        update = None
        if total is not None:
            self._expected = total
            update = self._measured(value or 0.0, total, message)
        elif value is not None:
            update = self._counted(value, message)
        if update is None and (self._sent is None or message != self._message):
            update = self._creep(message, now)
        self._message = message
        return update

    def _overall(self, reading: Reading) -> tuple[float | None, float | None, str | None]:
        """Map a stage's own fraction into its share; an unknown or an earlier stage only shows its name."""
        if not self._shares:
            return reading.value, reading.total, reading.message
        share = self._shares.get(stage_key(reading.stage or ""))
        if share is None or share[0] < self._furthest:
            return None, None, reading.stage or reading.message
        self._furthest, width = share
        value = self._furthest + width * _fraction(reading.value or 0.0, reading.total)
        return value, 100.0, reading.message

    def _counted(self, value: float, message: str | None) -> Update | None:
        """An indeterminate count: sent if it rises, and only as long as nothing of a total was claimed."""
        if self._has_claimed or (self._sent is not None and value <= self._sent.progress):
            return None
        return Update(value, None, message)

    def _measured(self, value: float, total: float, message: str | None) -> Update | None:
        """A determinate reading, on the scale that makes it follow what was sent; None if it does not rise."""
        value = total * ALMOST if value >= total else value
        last = self._sent
        if last is None:
            return Update(value, total, message)
        if last.total is None:
            return self._first_measured(value, total, message, last.progress)
        value, total = value * self._factor, total * self._factor
        fraction, sent = value / total, last.progress / last.total
        if value > last.progress and (fraction > sent or total > last.total):
            return Update(value, total, message)
        if fraction > sent and fraction * last.total > last.progress:
            return Update(fraction * last.total, last.total, message)
        return None

    def _first_measured(self, value: float, total: float, message: str | None, sent: float) -> Update | None:
        """The first total after a count, or after signs of life: all of what follows is multiplied as it is."""
        if value <= sent < total * NOTHING:
            return Update(sent + total * CREEP, total, message)  # only signs of life: still nothing of the total
        if value <= 0:
            return None
        self._factor = _factor_above(value, sent)
        return Update(value * self._factor, total * self._factor, message)

    def _creep(self, message: str | None, now: float) -> Update | None:
        """The smallest step up, so that a message can go out; None where the total leaves no room for it."""
        last = self._sent
        if last is None:
            return Update((now - self._start) / LIFE, None, message)
        if last.total is None:
            step = last.progress + (now - self._sent_at) / LIFE
            return Update(max(step, math.nextafter(last.progress, math.inf)), None, message)
        step = last.progress + last.total * CREEP
        return Update(step, last.total, message) if last.progress < step < last.total else None

    def _life_sign(self, now: float) -> str:
        elapsed = format_elapsed(now - self._start)
        line = clean_line(self._last_line.decode("utf-8", "replace"), limit=150)
        return f"{elapsed} elapsed · {line}" if line else f"{elapsed} elapsed"

    def _note_sent(self, update: Update | None, now: float) -> Update | None:
        if update is not None:
            self._sent = update
            self._has_claimed |= update.total is not None and update.progress > update.total * NOTHING
            self._sent_at = self._quiet_since = now
        return update


def format_elapsed(seconds: float) -> str:
    """Return a time as `12s`, `3m20s` or `1h05m`."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _fraction(value: float, total: float | None) -> float:
    return min(value / total, 1.0) if total else 0.0


def _factor_above(value: float, floor: float) -> float:
    """Return the smallest power of ten that lifts `value` above `floor`."""
    factor = 1.0
    while value * factor <= floor:
        factor *= 10
    return factor


def _shares(stages: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return where each stage starts and how wide it is, of 100; names are trimmed and without case."""
    whole = sum(stages.values())
    shares, before = {}, 0.0
    for name, weight in stages.items():
        shares[stage_key(name)] = (100 * before / whole, 100 * weight / whole)
        before += weight
    return shares
