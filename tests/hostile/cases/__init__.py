"""The cases, by what they attack."""

from tests.hostile.case import Case
from tests.hostile.cases.ending import ENDING
from tests.hostile.cases.limits import LIMITS
from tests.hostile.cases.output import OUTPUT
from tests.hostile.cases.progress import PROGRESS
from tests.hostile.cases.sandbox import SANDBOX
from tests.hostile.cases.server import SERVER
from tests.hostile.cases.streams import STREAMS

CASES: list[Case] = [*ENDING, *STREAMS, *OUTPUT, *PROGRESS, *LIMITS, *SANDBOX, *SERVER]
