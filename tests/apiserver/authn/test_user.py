"""Users as values, made once for all requests of one."""

import pytest

from tiphys.apiserver.authn.tokens import AnyAudience, StaticTokens
from tiphys.apiserver.authn.user import (
    ANONYMOUS_USER,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    split_service_account,
)
from tiphys.apiserver.options import TokenEntry


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        pytest.param(User("a"), (AUTHENTICATED,), id="in no group"),
        pytest.param(User("a", groups=("x",)), ("x", AUTHENTICATED), id="in another"),
        pytest.param(User("a", groups=(AUTHENTICATED, "x")), (AUTHENTICATED, "x"), id="in it"),
        pytest.param(User("a", groups=(UNAUTHENTICATED,)), (UNAUTHENTICATED,), id="in its opposite"),
        pytest.param(ANONYMOUS_USER, (UNAUTHENTICATED,), id="nobody"),
    ],
)
def test_who_has_shown_who_they_are(user: User, groups: tuple[str, ...]) -> None:
    assert user.authenticated().groups == groups


def test_the_same_user_is_made_once() -> None:
    first, second = User("a", "1", ("x",)), User("a", "1", ("x",))
    assert first is not second
    assert first.authenticated() is second.authenticated()
    assert first.authenticated() is not User("a", "2", ("x",)).authenticated()


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("system:serviceaccount:a:b", ("a", "b")),
        ("system:serviceaccount:a:b.c", ("a", "b.c")),
        ("system:serviceaccount:a:b:c", None),
        ("system:serviceaccount:a", None),
        ("system:serviceaccount::b", None),
        ("system:serviceaccount:a:", None),
        ("system:serviceaccount:A:b", None),
        ("system:serviceaccount:a.b:c", None),
        ("system:serviceaccount:a:B", None),
        ("alice", None),
    ],
)
def test_whose_account_a_name_is(name: str, account: tuple[str, str] | None) -> None:
    assert split_service_account(name) == account


async def test_a_static_token_names_the_same_value_each_time() -> None:
    tokens = StaticTokens([TokenEntry("secret", "a", "1", ("x",))])
    found = await tokens.authenticate_token("secret", ())
    assert found is not None
    assert found is await tokens.authenticate_token("secret", ())
    assert found.user.groups == ("x", AUTHENTICATED)
    assert await tokens.authenticate_token("other", ()) is None


@pytest.mark.parametrize(
    ("own", "asked", "common"),
    [
        (("api", "b"), ("api", "b"), ("api", "b")),
        (("api", "b"), ("b", "c"), ("b",)),
        (("api",), ("c",), None),
        (("api",), (), None),
        ((), (), None),
    ],
    ids=["its own", "some of them", "others", "none asked", "none at all"],
)
async def test_audiences_of_tokens_without(
    own: tuple[str, ...], asked: tuple[str, ...], common: tuple[str, ...] | None
) -> None:
    tokens = AnyAudience(StaticTokens([TokenEntry("secret", "a", "1", ())]), own)
    found = await tokens.authenticate_token("secret", asked)
    assert (found.audiences if found is not None else None) == common
