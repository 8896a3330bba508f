"""A daemon that fails again and again is given ever more time."""

from tiphys.controllers.daemonset.patience import Patience


def owner(generation=1, uid="u"):
    return {"metadata": {"uid": uid}, "status": {"observedGeneration": generation}}


def test_each_failure_doubles_the_wait():
    patience, now, seen = Patience(), 0.0, []
    for _ in range(12):
        patience.note("d/x", owner(), "n1", now)
        seen.append(patience.waits("d/x", owner(), now)["n1"])
        now += seen[-1]
        assert patience.waits("d/x", owner(), now) == {}, "it is over then"
    assert seen == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_what_is_waited_for():
    patience = Patience()
    patience.note("d/x", owner(), "n1", 0.0)
    assert patience.waits("d/x", owner(), 0.25) == {"n1": 0.75}
    assert patience.waits("d/y", owner(), 0.25) == {}, "another set"
    assert patience.waits("d/x", owner(2), 0.25) == {}, "a new template"
    assert patience.waits("d/x", owner(uid="v"), 0.25) == {}, "made anew"
    patience.forget("d/x")
    assert patience.waits("d/x", owner(), 0.25) == {}


def test_a_long_good_time_is_forgiven():
    patience = Patience()
    for now in (0.0, 1.0, 3.0, 2000.0):
        patience.note("d/x", owner(), "n1", now)
    assert patience.waits("d/x", owner(), 2000.0) == {"n1": 1.0}
