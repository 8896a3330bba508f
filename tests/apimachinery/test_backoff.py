from tiphys.apimachinery.backoff import Backoff


def test_grows_to_the_cap_and_forgets() -> None:
    backoff = Backoff(1, 2, 5)
    assert [backoff.next("a") for _ in range(4)] == [1, 2, 4, 5]
    assert backoff.next("b") == 1
    assert backoff.failures("a") == 4
    backoff.reset("a")
    assert backoff.next("a") == 1


def test_many_failures_do_not_overflow() -> None:
    assert Backoff(1, 2, 60).delay(100_000) == 60
