"""What is said of a run that has used more than it may."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The limit that a run has exceeded, and what it was seen to use: seconds, bytes or processes.

    Nothing was seen where the kernel has refused what goes beyond.
    """

    key: Literal["cpu", "memory", "processes"]
    limit: float
    used: float | None
