"""Tests of accounts from the environment and from a server's data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from timim import Client, InvalidArgument
from timim.transport.account import account_from_environment, account_from_folder
from timim.usersig import verify_user_sig
from timim.util import clock

WHOLE = {"TIMIM_URL": "ws://x:1", "TIMIM_APP_ID": "14", "TIMIM_USER": "bot", "TIMIM_USER_SIG": "sig"}


def test_the_environment_names_the_account() -> None:
    account = account_from_environment(WHOLE | {"TIMIM_OTHER": "x"})
    assert (account.url, account.app_id, account.user_id, account.user_sig) == ("ws://x:1", 14, "bot", "sig")


def test_with_the_key_each_login_is_signed() -> None:
    account = account_from_environment(WHOLE | {"TIMIM_USER_SIG": "", "TIMIM_SECRET_KEY": "key"})
    assert callable(account.user_sig)
    signature = account.user_sig()
    assert isinstance(signature, str)
    verify_user_sig(signature, app_id=14, user_id="bot", secret_keys=["key"], now=clock.now())


@pytest.mark.parametrize(
    "without, named",
    [
        (["TIMIM_URL"], "missing in the environment: TIMIM_URL"),
        (["TIMIM_APP_ID", "TIMIM_USER"], "missing in the environment: TIMIM_APP_ID, TIMIM_USER"),
        (["TIMIM_USER_SIG"], "missing in the environment: TIMIM_USER_SIG or TIMIM_SECRET_KEY"),
        (
            list(WHOLE),
            "missing in the environment: TIMIM_URL, TIMIM_APP_ID, TIMIM_USER, TIMIM_USER_SIG or TIMIM_SECRET_KEY",
        ),
    ],
)
def test_missing_variables_are_named(without: list[str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TIMIM_SECRET_KEY", raising=False)
    for name in without:
        monkeypatch.setenv(name, "")
    with pytest.raises(InvalidArgument) as refused:
        Client.from_env()
    assert refused.value.info == named


def test_wrong_variables_and_options_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIMIM_APP_ID", "x14")
    with pytest.raises(InvalidArgument, match="TIMIM_APP_ID: must be a number, not 'x14'"):
        Client.from_env()
    monkeypatch.setenv("TIMIM_APP_ID", "14")
    with pytest.raises(InvalidArgument, match="timeout: must be more than 0"):
        Client.from_env(timeout=0)
    with pytest.raises(TypeError, match="loud"):
        Client.from_env(loud=True)  # type: ignore[call-arg]
    assert Client.from_env(data_dir=":memory:", concurrency=3).user_id == "bot"


def test_a_folder_of_an_earlier_server_has_the_default_address(tmp_path: Path) -> None:
    (tmp_path / "app.json").write_text(json.dumps({"app_id": 14, "secret_key": "key"}))
    account = account_from_folder(tmp_path, "bot")
    assert (account.url, account.app_id, account.user_id) == ("ws://127.0.0.1:8700", 14, "bot")


@pytest.mark.parametrize("content", [None, "", "[]", '{"app_id": 14}', '{"app_id": "x", "secret_key": "key"}'])
def test_a_folder_without_a_key_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "app.json").write_text(content)
    with pytest.raises(InvalidArgument, match=f"no app key in {tmp_path}/"):
        Client.from_server(tmp_path, user_id="bot")
