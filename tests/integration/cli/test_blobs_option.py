"""Tests of `--blobs`: one store for the content of all gateways, by a URL without credentials."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.integration.cli.test_cli import timim
from tests.support.s3_server import Bucket

pytestmark = pytest.mark.timeout(240)


def url_of(bucket: Bucket) -> str:
    return f"s3://{bucket.name}/flag-{secrets.token_hex(4)}?endpoint={bucket.endpoint}&region=us-east-1"


def keys_of(bucket: Bucket, **more: str) -> dict[str, str]:
    return {"TIMIM_S3_ACCESS_KEY": bucket.access_key, "TIMIM_S3_SECRET_KEY": bucket.secret_key, "TIMIM_PORT": "0"} | more


async def test_doctor_writes_reads_and_removes_a_blob(bucket: Bucket, tmp_path: Path) -> None:
    good = await timim(tmp_path, "doctor", "--blobs", url_of(bucket), **keys_of(bucket))
    assert good.code == 0, good
    assert "good     blobs: written, read and deleted in" in good.out
    folder = await timim(tmp_path, "doctor", "--port", "0", "--blobs", f"file://{tmp_path}/content")
    assert folder.code == 0, folder
    assert [path for path in (tmp_path / "content").rglob("*") if path.is_file()] == []
    wrong = await timim(tmp_path, "doctor", "--blobs", url_of(bucket), **keys_of(bucket, TIMIM_S3_SECRET_KEY="not the key"))
    assert wrong.code == 1, wrong
    assert "bad      blobs:" in wrong.out
    assert "not the key" not in wrong.out + wrong.err
    (tmp_path / "a-file").touch()
    assert (await timim(tmp_path, "doctor", "--port", "0", "--blobs", f"file://{tmp_path}/a-file")).code == 1


async def test_credentials_in_the_url_are_refused_and_not_shown(tmp_path: Path) -> None:
    for url in ("s3://me:hush-hush@shelf", "s3://shelf?secret_key=hush-hush"):
        said = await timim(tmp_path, "serve", "--port", "0", "--blobs", url)
        assert said.code == 2
        assert "blobs" in said.err
        assert "hush-hush" not in said.out + said.err
