"""Tests of the operator's settings: refused values, and the place of content."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from timim.server.settings import ContentLocation, Settings


@pytest.mark.parametrize("url", ["ftp://host/", "file:///etc/passwd", "host/path", "http://", "http://h/#f"])
@pytest.mark.requirement("R16")
def test_an_invalid_address_is_refused_at_start(url: str) -> None:
    with pytest.raises(ValidationError, match="must be a URL like https"):
        Settings(webhook_url=url)
    with pytest.raises(ValidationError, match=r"unknown callback C2C\.Nonsense"):
        Settings(webhook_commands="C2C.Nonsense")


@pytest.mark.parametrize(
    "url, content",
    [
        ("s3://shelf", ContentLocation(bucket="shelf")),
        ("s3://shelf/a/b/?region=eu", ContentLocation(bucket="shelf", prefix="a/b", region="eu")),
        ("s3://shelf?endpoint=http://10.0.0.1:9000", ContentLocation(bucket="shelf", endpoint="http://10.0.0.1:9000")),
        ("file:///srv/my%20content", ContentLocation(folder=Path("/srv/my content"))),
    ],
)
def test_a_blob_url_is_parsed(url: str, content: ContentLocation) -> None:
    assert Settings(blobs=url).content == content


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:shelf", "shelf", "http://shelf", "file://", "file:///", "file://host/x", "s3://shelf?acl=public", "s3://a#b"],
)
def test_an_invalid_blob_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must be a URL like s3"):
        Settings(blobs=url)


def test_a_second_blob_location_is_refused() -> None:
    assert "shelf" not in repr(Settings(blobs="s3://shelf"))
    with pytest.raises(ValidationError, match="exclude each other"):
        Settings(blobs="s3://shelf", s3_bucket="other")
