"""What several tests share: the event loop, and real programs that must be there in CI."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

# The first draw of text builds a table of all characters, which takes a second on a fresh machine.
settings.register_profile("cmdtool", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cmdtool")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _own_spool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the output of runs out of the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMDTOOL_SPOOL", str(tmp_path_factory.mktemp("spool")))
        yield


@pytest.fixture(scope="session")
def require() -> Callable[[str], None]:
    """Skip a test whose program is missing; in CI that is a failure."""

    def check(program: str) -> None:
        if shutil.which(program) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed")

    return check
