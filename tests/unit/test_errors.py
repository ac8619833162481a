"""Tests of TIM's numeric codes: each has a named exception."""

from __future__ import annotations

import pytest

import timim
from timim.errors import error_for

NAMED: dict[type[timim.TimimError], tuple[int, ...]] = {
    timim.InvalidArgument: (6017, 10004, 10015, 10037, 10038, 20001, 90001, 90003, 90007, 90008, 90011),
    timim.MsgIdConflict: (90005,),
    timim.InvalidElem: (6016, 90002, 90010),
    timim.MessageTooLong: (8001, 93000, 80002),
    timim.NotLoggedIn: (6013, 6014),
    timim.AuthError: (70002, 70003, 70005, 70009, 70013, 70014, 70402, 70403),
    timim.SignatureExpired: (70001, 6206, 70052),
    timim.KickedOffline: (6208,),
    timim.UnknownUser: (20003, 90048, 70107),
    timim.UnknownGroup: (10010,),
    timim.NoPermission: (10007, 90009),
    timim.OwnerCannotQuit: (10009,),
    timim.Muted: (10017, 20012),
    timim.Blacklisted: (20007,),
    timim.NotFriends: (20009, 20010, 20011),
    timim.AlreadyMember: (10013,),
    timim.LimitReached: (10014,),
    timim.GroupExists: (10021,),
    timim.RateLimited: (10023, 9506),
    timim.UnknownMessage: (10030,),
    timim.RecallTooLate: (10031, 20016),
    timim.ServerFault: (60002, 10002),
    timim.RequestTimeout: (6012, 9520),
    timim.FileMissing: (7004,),
    timim.TooLarge: (7005,),
    timim.EmptyFile: (7006,),
    timim.NotAnImage: (6031,),
    # codes of the operator's back end, which have no classes of their own
    timim.ServerRefused: (10016, 20006, 80001, 120001, 125000, 130000),
}


@pytest.mark.parametrize("kind, codes", NAMED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_every_code_has_the_exception_of_its_name(kind: type[timim.TimimError], codes: tuple[int, ...]) -> None:
    for code in codes:
        error = error_for(code, "why")
        assert type(error) is kind, code
        assert (error.code, error.info) == (code, "why")
        assert f"code {code}" in str(error)


def test_the_text_of_an_error_can_always_be_stored_and_printed() -> None:
    assert timim.TimimError("no file na\udce9 of 李雷").info == "no file na\\udce9 of 李雷"
