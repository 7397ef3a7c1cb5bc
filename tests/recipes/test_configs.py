import pytest

from scenekit.core.checks import BadInput
from scenekit.recipes.background import BackgroundChoice, choose_background
from scenekit.recipes.configs import Fitting, VolumeFitting, from_plain, to_plain
from scenekit.renderers.volume import Marching


def test_nested_configs_survive_the_way_through_plain_values() -> None:
    fitting = VolumeFitting(batch_samples=7, marching=Marching(steps=9))
    plain = to_plain(fitting)
    assert plain["marching"]["steps"] == 9
    assert from_plain(VolumeFitting, plain, "here") == fitting


def test_none_is_left_out_and_comes_back() -> None:
    assert "steps" not in to_plain(Fitting())
    assert from_plain(Fitting, to_plain(Fitting(minutes=2.0)), "here") == Fitting(minutes=2.0)


def test_a_whole_number_serves_where_a_float_is_wanted() -> None:
    fitting = from_plain(Fitting, {"minutes": 2}, "here")
    assert isinstance(fitting.minutes, float)


@pytest.mark.bad_input
def test_an_unknown_key_and_a_wrong_type_are_named() -> None:
    with pytest.raises(BadInput, match=r"here: wanted keys among .* found \['stepz'\]"):
        from_plain(Fitting, {"stepz": 1}, "here")
    with pytest.raises(BadInput, match=r"here.seed: wanted .*int.*found 'x'"):
        from_plain(Fitting, {"seed": "x"}, "here")
    with pytest.raises(BadInput, match=r"here.marching: wanted a table"):
        from_plain(VolumeFitting, {"marching": 3}, "here")


@pytest.mark.bad_input
def test_a_limit_of_zero_is_refused() -> None:
    with pytest.raises(BadInput, match="wanted positive numbers"):
        Fitting(steps=0).budget()


def test_five_minutes_are_the_default_limit() -> None:
    assert Fitting().budget().minutes == 5
    assert Fitting(steps=3).budget().minutes is None


def test_backgrounds_follow_the_photographs_and_the_user() -> None:
    def choose(wanted: str, *, alpha: bool = False) -> BackgroundChoice:
        behind = (1.0, 1.0, 1.0) if alpha else None
        return choose_background(wanted, has_alpha=alpha, behind=behind, family_default="given")

    assert choose("auto", alpha=True) == BackgroundChoice("random", (1.0, 1.0, 1.0))
    assert choose("auto") == BackgroundChoice("given", (0.0, 0.0, 0.0))
    assert choose("white") == BackgroundChoice("given", (1.0, 1.0, 1.0))
    assert choose("0.5,0,1") == BackgroundChoice("given", (0.5, 0.0, 1.0))
    assert choose("learned").kind == "learned"


@pytest.mark.bad_input
def test_a_background_that_means_nothing_is_refused_with_the_choices() -> None:
    for wanted in ("beige", "1,2", "2,0,0", "nan,0,0"):
        with pytest.raises(BadInput, match="--background: wanted auto, given, random, learned, sphere, white, black"):
            choose_background(wanted, has_alpha=False, behind=None, family_default="given")
