"""Fixtures of all tests: hypothesis profiles, shared servers, databases, and an alarm for blocking calls on the event loop."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from tests.support.backing_services import Nats, Postgres
from tests.support.fork_server import FORK_SERVER
from tests.support.s3_server import Bucket, s3_server
from tests.support.users import Users
from timim.testing import RunningServer, running_server
from timim.testing.server import BACKEND

pytest.register_assert_rewrite(
    "tests.support.blob_contract",
    "tests.support.locks_contract",
    "tests.support.media_store_contract",
    "tests.support.migrations_contract",
    "tests.support.store_contract",
)

# deadline=None: two workers share two cores, so the time of a single example has no meaning
settings.register_profile("default", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


MEMORY = Path("/dev/shm")  # a file system in memory: a sync of a file costs nothing there
MEMORY_BYTES = 4 << 30  # more than the files of a whole run


def has_space(folder: Path) -> bool:
    """Return whether a folder exists that has space for the files of a whole run."""
    return folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= MEMORY_BYTES


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=["file", "cluster"], default="file", help="what running_server() stands on")
    parser.addoption("--requirement", metavar="ID", help="only the tests that prove this requirement, P03 for example")
    parser.addoption("--seed", type=int, help="drives faults, kills and data; a failing test prints its own")


def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary files in memory, and fork every running_server() from one process that has imported its packages."""
    if "TMPDIR" not in os.environ and has_space(MEMORY):
        tempfile.tempdir = os.environ["TMPDIR"] = str(MEMORY)
    BACKEND.launch = FORK_SERVER.launch
    if config.getoption("numprocesses", None):
        os.environ.update(FORK_SERVER.shared())


def pytest_unconfigure() -> None:
    FORK_SERVER.close()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this test, which is printed so that a failure can be repeated with --seed."""
    given: int | None = request.config.getoption("--seed")
    drawn = random.SystemRandom().randrange(1 << 32) if given is None else given
    print(f"--seed {drawn}")
    return drawn


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Raise BlockingError in coroutine tests when timim makes a blocking call on the running event loop."""
    if request.node.get_closest_marker("asyncio") is None:
        yield
        return
    alarm = blocking_alarm()
    alarm.activate()
    try:
        yield
    finally:
        alarm.deactivate()


@cache
def blocking_alarm() -> BlockBuster:
    """Return the alarm for blocking calls of timim; its construction takes 12 ms, and its activation 0.3 ms."""
    alarm = BlockBuster("timim")
    # asyncpg looks for ~/.pgpass and certificates before it connects: small local files, once for each connection
    for blocking in alarm.functions.values():
        blocking.can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
    # an elem resolves a relative path when it is made; the kernel knows the working folder without I/O
    alarm.functions["os.getcwd"].can_block_in("timim/util/arguments.py", "_whole_path")
    return alarm


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server() -> AsyncIterator[RunningServer]:
    """Start a server that all tests of a module share."""
    async with running_server() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def users(shared_server: RunningServer) -> AsyncIterator[Users]:
    """Return the users of the shared server, who are logged out when the test ends."""
    async with AsyncExitStack() as stack:
        yield Users(shared_server, stack)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start the PostgreSQL server of this test run. A test that stops a server uses `own_postgres` instead."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def stoppable_postgres() -> Iterator[Postgres]:
    """Start the PostgreSQL server that tests stop, one after the other."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def own_postgres(stoppable_postgres: Postgres) -> Iterator[Postgres]:
    """Return a PostgreSQL server without databases, which the test may stop and whose databases it may drop."""
    yield stoppable_postgres
    stoppable_postgres.renew()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Callable[[], str]]:
    """Return a function that returns the URL of an empty database."""
    names: list[str] = []

    def lend() -> str:
        names.append(postgres.lend())
        return postgres.url(names[-1])

    yield lend
    for name in names:
        postgres.take_back(name)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Nats]:
    """Start the NATS server of this test run."""
    server = Nats()
    yield server
    server.close()


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Return an empty bucket on the S3 server of this test run."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


OWN_GATEWAYS = Path(__file__).parent / "cluster"
# These files and tests concern a single process and its file; the cluster has tests of its own for the same subjects.
ONE_PROCESS = {
    "test_rates.py": "each gateway counts the requests of a user for itself",
    "test_acks.py": "failpoints and kills of the one process",
    "test_cli.py": "the command line beside the server's data folder, which has its key",
    "test_cli_files.py": "the command line beside the server's data folder, which has its key",
    "test_deadlines.py": "the connections of one process",
    "test_waiting_bytes.py": "the memory of one process",
    "test_the_command_line_ends_logins": "the command line beside the server's data folder, which has its key",
    "test_a_revocation_cuts_the_sockets_on_every_gateway": "makes its own gateways",
    "test_requests_over_a_rate_are_refused_until_the_time_to_wait_is_over": "each gateway counts the requests for itself",
    "test_a_login_names_the_devices_that_it_ended": "the callback names the devices on the node of the login",
    "test_power_cut.py": "the file below the server",
    "test_a_full_disk_of_the_server_refuses_messages_and_recovers": "the file below the server",
    "test_a_server_restored_from_a_backup_is_noticed_and_its_history_fetched_again": "puts its file back",
    "test_the_server_fetches_no_address_of_a_user": "a gateway has a database and a bus to connect to",
    "test_a_retry_of_a_stored_message_gets_its_seq_despite_later_rules": "another gateway decides by it a moment later",
    "test_the_code_of_a_refused_stranger_says_which_side_is_not_a_friend": "another gateway decides by it a moment later",
    "test_equal_requests_at_once_are_fetched_once": "counts every request; a comparison between gateways may add one",
    "test_a_server_that_does_not_recognise_a_resend_is_detected_in_a_storm": "its mutant is of the file's store",
    "test_a_server_that_loses_or_repeats_is_detected": "its mutants are of the file's store",
    "test_the_cost_of_a_login_depends_on_changes_not_on_conversations": "its file is filled by bench/login_cost.py",
}


# Files that share something that takes seconds to make: one worker runs those with the same name.
TOGETHER = {
    "tests/cluster/test_shared_content.py": "S3",
    "tests/integration/cli/test_blobs_option.py": "S3",
    "tests/hostile/test_openapi.py": "jsonschema",
    "tests/integration/cli/test_cli_files.py": "jsonschema",  # through nbformat
    "tests/integration/server/test_content_stores.py": "S3",
    "tests/integration/test_notebooks.py": "jsonschema",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Give each file to a free worker, so that what its tests share is made once.

    With pytest 9.2 the mark xdist_group has no effect.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return TOGETHER.get(file, file)

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let one worker compile the tests for all of them: the others wait until it has collected."""
    if sys.pycache_prefix is None or "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with Path(sys.pycache_prefix, "collection.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_finish() -> None:
    """Exclude the objects of the collection from garbage collection: each full collection would take half a second."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if wanted := config.getoption("--requirement"):
        proves = {item for item in items if any(wanted in mark.args for mark in item.iter_markers("requirement"))}
        config.hook.pytest_deselected(items=[item for item in items if item not in proves])
        items[:] = [item for item in items if item in proves]
    if config.getoption("--backend") == "cluster":
        for item in items:
            name = getattr(item, "originalname", None) or item.name
            if item.path.is_relative_to(OWN_GATEWAYS):
                item.add_marker(pytest.mark.skip(reason="makes its own gateways; `make unit` runs it"))
            elif why := ONE_PROCESS.get(item.path.name) or ONE_PROCESS.get(name):
                item.add_marker(pytest.mark.skip(reason=f"one process: {why}"))


class OnCluster:
    """The databases of a test run on a cluster: one for each folder in which a server is started."""

    def __init__(self, postgres: Postgres, nats: Nats) -> None:
        self._postgres = postgres
        self._nats = nats
        self.names: dict[Path, str] = {}

    def settings_of(self, folder: Path) -> dict[str, object]:
        if folder not in self.names:
            self.names[folder] = f"t{uuid.uuid4().hex}"
            self._postgres.database(self.names[folder])
        return {"database": self._postgres.url(self.names[folder]), "bus": self._nats.url, "database_connections": 3}

    def drop(self, folder: Path) -> None:
        self._postgres.drop(self.names.pop(folder))


@pytest.fixture(scope="session", autouse=True)  # before the servers that a module shares
def backend(request: pytest.FixtureRequest) -> Iterator[OnCluster | None]:
    """Run every running_server() as two gateways on PostgreSQL and NATS if --backend=cluster is given."""
    if request.config.getoption("--backend") == "file":
        yield None
        return
    cluster = OnCluster(request.getfixturevalue("postgres"), request.getfixturevalue("nats_server"))
    BACKEND.settings_of = cluster.settings_of
    yield cluster
    BACKEND.settings_of = None


@pytest.fixture(autouse=True)
def cleared(backend: OnCluster | None) -> Iterator[None]:
    """Drop the databases of a test's own servers at once, because hundreds of them need gigabytes and are slow to drop."""
    shared = set(backend.names) if backend is not None else set()  # the servers of the module have been started by now
    yield
    if backend is not None:
        for folder in backend.names.keys() - shared:
            backend.drop(folder)
