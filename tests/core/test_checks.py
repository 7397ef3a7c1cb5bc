import pytest
import torch

from scenekit.core.checks import BadInput, check_same_kind, check_shape


@pytest.mark.bad_input
def test_a_wrong_shape_names_the_tensor_what_was_wanted_and_what_was_found() -> None:
    sizes: dict[str, int] = {}
    check_shape("means", torch.zeros(5, 3), ("N", 3), sizes)
    with pytest.raises(ValueError, match=r"opacities: wanted shape \[N\] with N = 5, found \[4\]"):
        check_shape("opacities", torch.zeros(4), ("N",), sizes)
    with pytest.raises(ValueError, match=r"means: wanted shape \[N 3\], found \[5\]"):
        check_shape("means", torch.zeros(5), ("N", 3), {})


@pytest.mark.bad_input
def test_mixed_dtypes_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"scales: wanted torch.float32"):
        check_same_kind("means", torch.zeros(1), scales=torch.zeros(1, dtype=torch.float64))
    with pytest.raises(TypeError, match="means: wanted a floating dtype"):
        check_same_kind("means", torch.zeros(1, dtype=torch.int64))


def test_bad_input_is_one_sentence_with_file_wanted_found_and_remedy() -> None:
    sentence = str(BadInput.of("a.json", wanted="poses", found="none", remedy="add some"))
    assert sentence == "a.json: wanted poses, found none; add some"
    foreign = str(BadInput.of("a\x1b[2J.json", wanted="poses", found="x\ny", remedy="add some"))
    assert foreign == "a [2J.json: wanted poses, found x y; add some"
