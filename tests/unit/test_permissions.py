"""One table says what scopes and roles may do, as the contract has it."""

from __future__ import annotations

import pytest

from domain.permissions import PERMISSIONS, Action, Role, Scope, may, sees

OPERATING = {Action.CANCEL, Action.RECHECK, Action.REDRIVE, Action.REPLAY, Action.ENDPOINTS}


def test_scopes_do_what_the_contract_says():
    assert PERMISSIONS[Scope.ORDERS] == {Action.CREATE, Action.CANCEL}
    assert PERMISSIONS[Scope.READ] == {Action.READ, Action.REPORT}
    assert PERMISSIONS[Scope.OPERATE] - PERMISSIONS[Scope.READ] == OPERATING
    assert PERMISSIONS[Scope.ADMIN] == set(Action)


@pytest.mark.parametrize(
    ("role", "scope"), [(Role.VIEWER, Scope.READ), (Role.OPERATOR, Scope.OPERATE), (Role.ADMIN, Scope.ADMIN)]
)
def test_a_role_does_what_its_scope_does(role, scope):
    assert PERMISSIONS[role] == PERMISSIONS[scope]


def test_finance_marks_and_reports_and_changes_nothing_else():
    assert PERMISSIONS[Role.FINANCE] - PERMISSIONS[Role.VIEWER] == {Action.MARK}


def test_everything_that_holds_anything_is_in_the_table():
    assert set(PERMISSIONS) == {*Scope, *Role}


def test_several_scopes_allow_what_one_of_them_does():
    assert may([Scope.ORDERS, Scope.READ], Action.READ)
    assert not may([Scope.ORDERS, Scope.READ], Action.MARK)
    assert not may([], Action.READ)


def test_without_a_limit_every_account_is_seen():
    assert sees(None, "shop")
    assert sees({"shop"}, "shop")
    assert not sees({"shop"}, "other")
    assert not sees(frozenset(), "shop")
