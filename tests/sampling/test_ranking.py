from __future__ import annotations

from hub.sampling.ranking import Ranking


def test_few_all_have_a_place() -> None:
    assert Ranking(2).choose({"a": (0,), "b": (0,)}, 1.0, ()) == {"a", "b"}


def test_of_many_the_usual_ones_go_first_and_then_the_most_active() -> None:
    growth = {"a": (0, 1), "b": (5, 0), "c": (3, 1), "d": (0, 0)}
    assert Ranking(2).choose(growth, 1.0, ()) == {"b", "c"}
    assert Ranking(2).choose(growth, 1.0, {"d"}) == {"b", "d"}


def test_activity_fades_within_a_minute_or_so() -> None:
    ranking = Ranking(1)
    ranking.choose({"a": (100,), "b": (0,)}, 1.0, ())
    assert ranking.choose({"a": (0,), "b": (10,)}, 1.0, ()) == {"a"}
    assert ranking.choose({"a": (0,), "b": (10,)}, 180.0, ()) == {"b"}


def test_of_those_that_were_alike_who_had_a_place_keeps_it() -> None:
    ranking = Ranking(1)
    assert ranking.choose({"b": (0,), "c": (0,)}, 1.0, ()) == {"b"}
    assert ranking.choose({"a": (0,), "b": (0,), "c": (0,)}, 1.0, ()) == {"b"}
