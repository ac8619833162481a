"""A real S3 server for tests, from a wheel: SeaweedFS on free loopback ports, with one empty bucket."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.store import S3Store

from tests.support.backing_services import START_LIMIT_S, free_ports


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket of a running S3-compatible server."""

    endpoint: str
    name: str
    access_key: str
    secret_key: str

    @property
    def settings(self) -> dict[str, object]:
        """Return the settings with which a timim server stores its content in this bucket."""
        return {
            "s3_endpoint": self.endpoint,
            "s3_bucket": self.name,
            "s3_region": "us-east-1",
            "s3_access_key": self.access_key,
            "s3_secret_key": self.secret_key,
        }


@contextmanager
def s3_server(folder: Path) -> Iterator[Bucket]:
    """Start SeaweedFS with its S3 endpoint, its data in `folder`, and one bucket, for a fixture of a module or session."""
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = free_ports(8)
    access, secret = secrets.token_hex(8), secrets.token_hex(16)
    identity = {
        "name": "timim",
        "credentials": [{"accessKey": access, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    data, config, log = folder / "data", folder / "s3.json", folder / "log"
    data.mkdir(parents=True)
    config.write_text(json.dumps({"identities": [identity]}))
    command = [
        str(Path(sys.executable).parent / "weed"),
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=128",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        "-volume.max=20",
        "-filer",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        "-s3",
        f"-s3.port={s3}",
        f"-s3.port.grpc={s3_grpc}",
        f"-s3.config={config}",
        "-s3.port.iceberg=0",  # two unused endpoints, whose ports would otherwise be fixed
        "-s3.port.lance=0",
    ]
    bucket = Bucket(f"http://127.0.0.1:{s3}", "timim-test", access, secret)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=os.environ | {"HOME": str(folder)}
        )
    try:
        _wait(process, bucket, log)
        yield bucket
    finally:
        process.kill()  # the server's data is deleted with its folder
        process.wait()


def _wait(process: subprocess.Popen[bytes], bucket: Bucket, log: Path) -> None:
    """Wait until the server accepts a write. The first write that succeeds creates the bucket; it needs a volume."""
    store = S3Store(
        bucket.name,
        endpoint=bucket.endpoint,
        region="us-east-1",
        access_key_id=bucket.access_key,
        secret_access_key=bucket.secret_key,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    until = time.monotonic() + START_LIMIT_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the S3 server ended: {log.read_text(errors='replace')[-2000:]}")
        try:
            obstore.put(store, "ready", b"ready")
            obstore.delete(store, "ready")
        except (obstore.exceptions.BaseError, OSError) as exc:
            if time.monotonic() > until:
                raise TimeoutError(f"the S3 server takes nothing: {exc}") from exc
            time.sleep(0.1)
        else:
            return
