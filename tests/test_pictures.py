"""Pictures of images and labels, pixel by pixel."""

import io

import numpy as np
from PIL import Image

from dashboard import pictures


def grey(height, width, value=100):
    return np.full((height, width, 3), value, np.uint8)


def test_small_pictures_grow_by_whole_pixels():
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    big = pictures.enlarge(picture, least=7)  # 7 / 3 -> factor 3
    assert big.shape == (6, 9, 3)
    assert (big[::3, ::3] == picture).all()
    assert pictures.enlarge(grey(500, 10)).shape == (500, 10, 3)


def test_overlapping_labels_blend_and_a_single_one_keeps_its_colour():
    labels = np.zeros((2, 500, 3), bool)
    labels[0, :, :2] = True
    labels[1, :, 1:] = True
    out = pictures.label_picture(
        grey(500, 3), labels, ["#ff0000", "#0000ff"], valid=np.ones((500, 3), bool), outlines=False
    )
    # 0.45 of grey 100 and 0.55 of the colour: red 45 + 140 = 185; where both lie, half of each: 45 + 70 = 115.
    assert out[250, 0].tolist() == [185, 45, 45]
    assert out[250, 1].tolist() == [115, 45, 115]
    assert out[250, 2].tolist() == [45, 45, 185]


def test_outlines_show_a_label_that_lies_inside_another():
    labels = np.zeros((2, 9, 9), bool)
    labels[0] = True
    labels[1, 3:6, 3:6] = True
    out = pictures.label_picture(grey(9, 9), labels, ["#ff0000", "#0000ff"], valid=np.ones((9, 9), bool))
    assert (out == [0, 0, 255]).all(axis=-1).any()
    # The outer label reaches the rim of the image everywhere, and the rim is no outside.
    assert not (out == [255, 0, 0]).all(axis=-1).any()


def test_ignored_pixels_are_hatched():
    valid = np.ones((500, 12), bool)
    valid[:, :6] = False
    out = pictures.label_picture(grey(500, 12), np.zeros((1, 500, 12), bool), ["#ff0000"], valid=valid)
    assert len(np.unique(out[:, :6, 0])) == 2
    assert (out[:, 6:] == 99).all() or (out[:, 6:] == 100).all()


def test_comparison_says_which_head_alone_is_right():
    # pixels: same, only first right, only second right, neither right, differ but ignored
    truth = np.array([[[1, 1, 1, 1, 1]], [[0, 0, 0, 1, 0]]], bool)
    first = np.array([[[1, 1, 0, 0, 1]], [[0, 0, 0, 1, 0]]], bool)
    second = np.array([[[1, 0, 1, 1, 0]], [[0, 0, 0, 0, 0]]], bool)
    valid = np.array([[1, 1, 1, 1, 0]], bool)
    assert pictures.comparison(truth, first, second, valid).tolist() == [[0, 1, 2, 3, 0]]


def test_comparison_picture_uses_one_colour_a_code():
    codes = np.zeros((500, 4), np.uint8)
    codes[:, 1:] = [1, 2, 3]
    out = pictures.comparison_picture(grey(500, 4), codes, ["#ff0000", "#00ff00", "#0000ff"])
    assert out[0, 1:].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_big_pictures_shrink_by_the_mean_of_their_pixels():
    picture = grey(400, 800, 0)
    picture[:, ::2] = 200
    small = pictures.shrink(picture, most=200)
    # 800 / 200 = 4: each pixel is the mean of four columns 200, 0, 200, 0.
    assert small.shape == (100, 200, 3)
    assert np.unique(small).tolist() == [100]


def test_small_pictures_are_not_blown_up_beyond_whole_pixels():
    assert pictures.shrink(grey(40, 56), most=200).shape == (80, 112, 3)  # 100 / 56 -> factor 2


def test_jpeg_keeps_colours():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, 16:] = [255, 0, 0]
    with Image.open(io.BytesIO(pictures.jpeg(picture))) as back:
        assert np.abs(np.asarray(back).astype(int) - picture).max() < 20


def test_scale_grows_brighter_from_step_to_step():
    brightness = np.array(pictures.scale()) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(brightness) > 0).all()
    assert np.array(pictures.scale()).max() <= 255
