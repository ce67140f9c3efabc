import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from images import offline_digits
from images.offline_digits import draw_digits, draw_part


@pytest.fixture(scope="module")
def sample():
    return draw_digits([200] * 10, seed=7)


def test_each_digit_is_drawn_as_often_as_asked():
    images, labels = draw_digits([3, 0, 5, 0, 0, 0, 0, 0, 0, 2], seed=7)
    assert np.bincount(labels, minlength=10).tolist() == [3, 0, 5, 0, 0, 0, 0, 0, 0, 2]
    assert (images.shape, labels.shape) == ((10, 784), (10,))
    assert images.dtype == labels.dtype == np.uint8


def test_zero_and_one_come_in_the_shapes_and_counts_of_mnist():
    train_images, train_labels = draw_part("train", [0, 1])
    test_images, test_labels = draw_part("test", [0, 1])
    assert train_images.shape == (12_665, 784) and test_images.shape == (2_115, 784)
    assert np.bincount(train_labels).tolist() == [5923, 6742]
    assert np.bincount(test_labels).tolist() == [980, 1135]


def test_all_ten_digits_add_up_to_mnist():
    assert sum(offline_digits.COUNTS["train"]) == 60_000
    assert sum(offline_digits.COUNTS["test"]) == 10_000


def test_the_name_says_that_they_are_not_mnist():
    assert "not MNIST" in offline_digits.NAME


@pytest.mark.long
def test_same_seed_draws_the_same_bits_in_another_process():
    program = (
        "import hashlib; from images import offline_digits;"
        "images, labels = offline_digits.draw_digits([40] * 10, seed=7);"
        "print(hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest())"
    )
    root = Path(offline_digits.__file__).parent.parent
    other = subprocess.check_output([sys.executable, "-c", program], cwd=root, text=True).strip()
    images, labels = draw_digits([40] * 10, seed=7)
    assert hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() == other


def test_another_seed_draws_other_images_in_another_order():
    images, labels = draw_digits([20, 20], seed=7)
    other_images, other_labels = draw_digits([20, 20], seed=8)
    assert not set(map(bytes, images)) & set(map(bytes, other_images))
    assert (labels != other_labels).any()


def test_no_test_image_is_a_training_image():
    assert offline_digits.SEEDS["train"] != offline_digits.SEEDS["test"]
    train, test = (draw_part(part, [1])[0] for part in ("train", "test"))
    assert not set(map(bytes, train)) & set(map(bytes, test))


def test_other_digits_do_not_change_a_digits_images():
    for alone, together in zip(split_of(3, [3]), split_of(3, [8, 3, 0]), strict=True):
        assert len(alone) > 0
        np.testing.assert_array_equal(alone, together)


def split_of(digit, digits):
    parts = (draw_part(part, digits) for part in ("train", "test"))
    return [images[labels == digit] for images, labels in parts]


def test_digits_are_shuffled(sample):
    _, labels = sample
    assert set(labels[:100]) == set(range(10))


def test_every_image_is_bright_ink_on_a_dark_background(sample):
    images, _ = sample
    assert (images.max(axis=1) > 180).all()
    assert ((images == 0).mean(axis=1) > 0.4).all()
    assert 0.10 < images.mean() / 255 < 0.17  # MNIST: 0.13


def test_edges_are_grey_and_hearts_of_strokes_white(sample):
    images, _ = sample
    assert (((images > 0) & (images < 255)).sum(axis=1) > 20).all()
    assert (images.max(axis=1) == 255).mean() > 0.5


def test_digits_lie_in_the_middle_of_the_frame(sample):
    frames = sample[0].reshape(-1, 28, 28).astype(float)
    ink = frames.sum(axis=(1, 2))
    rows = frames.sum(axis=2) @ np.arange(28) / ink
    columns = frames.sum(axis=1) @ np.arange(28) / ink
    assert np.abs(np.stack([rows, columns]) - 13.5).max() < 2.5
    within = frames[:, 1:-1, 1:-1].sum(axis=(1, 2))
    assert (within > 0.95 * ink).all()
    assert within.sum() > 0.995 * ink.sum()


def test_every_face_has_ten_digits_that_fill_their_box():
    for face in offline_digits.FACES:
        glyphs = [offline_digits.glyph(face, digit) for digit in range(10)]
        assert len({ink.tobytes() for ink in glyphs}) == 10, face
        for ink in glyphs:
            rows, columns = np.nonzero(ink)
            longer = max(np.ptp(rows), np.ptp(columns)) + 1
            assert 57 <= longer <= 60, face  # 20 pixels of 3 grid points, less a faint edge


def test_distances_are_those_of_a_direct_search():
    ink = offline_digits.glyph("DejaVuSerif", 8)
    field = offline_digits.signed_distance(ink)
    assert field.dtype == np.float32
    for row, column in np.random.default_rng(7).integers(offline_digits.GRID, size=(200, 2)):
        rows, columns = np.nonzero(ink != ink[row, column])
        nearest = np.hypot(rows - row, columns - column).min() - 0.5  # to the edge between them
        expected = nearest if ink[row, column] else -nearest
        assert field[row, column] * offline_digits.FINE == pytest.approx(expected, rel=1e-5)


def test_classes_can_be_learned_but_not_by_their_means_alone(sample):
    images, labels = sample
    means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)])
    unseen, truth = draw_digits([50] * 10, seed=8)
    predicted = ((unseen[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.7 < (predicted == truth).mean() < 0.95
