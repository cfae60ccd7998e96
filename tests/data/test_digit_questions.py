"""Questions about grids of digits: every learnable answer is worked out again from the digits; splits share none."""

import collections
import hashlib

import numpy as np
import pytest

from effjax.data.builders import digit_grids, digit_questions
from effjax.data.builders.digits import read_digits, split_indices
from effjax.data.prepare import prepare
from effjax.data.sources import load

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")


@pytest.fixture(scope="module")
def digits():
    images, labels = read_digits()
    return images.reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.uint8), labels


@pytest.fixture(scope="module")
def drawn(digits):
    return [digit_grids.draw(0.5, 0, "train", index, *digits) for index in range(600)]


def grid_of(one, digits):
    """Digits by (row, column), found again from their pixels."""
    images, labels = digits
    cells = {}
    for y, x in np.ndindex(3, 3):
        patch = one.image[14 * y : 14 * y + 14, 14 * x : 14 * x + 14]
        if patch.any():
            match = np.flatnonzero((images[list(one.rows)] == patch).all((1, 2)))
            cells[y, x] = int(labels[one.rows[match[0]]]) if len(match) else None  # covered by noise
    return cells


def answered(words, cells):
    """The answer to a learnable question, by its words alone."""
    digits = list(cells.values())
    at = lambda row, column: cells[ROWS.index(row), COLUMNS.index(column)]  # noqa: E731
    match words:
        case ["which", "digit", "is", row, column]:
            return str(at(row, column))
        case ["is", "there", "a", number]:
            return "yes" if NUMBERS.index(number) in digits else "no"
        case ["how", "many", number]:
            return str(digits.count(NUMBERS.index(number)))
        case ["is", "the", "sum", "larger", "than", limit]:
            return "yes" if sum(digits) > int(limit) else "no"
        case ["is", row, column, "larger", "than", other, there]:
            return "yes" if at(row, column) > at(other, there) else "no"
        case ["where", "is", "the", number]:
            (place,) = (place for place, digit in cells.items() if digit == NUMBERS.index(number))
            return f"{ROWS[place[0]]} {COLUMNS[place[1]]}"
    raise AssertionError(words)


def test_learnable_questions_have_the_answer_that_the_image_gives(drawn, digits):
    learnable = [one for one in drawn if one.kind == "learnable"]
    assert {one.type for one in learnable} == {"digit", "exists", "count", "sum", "compare", "position"}
    for one in learnable:
        assert one.answer == answered(list(one.words), grid_of(one, digits)), one.words


def test_grids_are_of_two_or_three_rows_and_columns(drawn, digits):
    sizes = collections.Counter(tuple(np.max(list(grid_of(one, digits)), axis=0) + 1) for one in drawn)
    assert set(sizes) == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert min(sizes.values()) > 100


def test_unlearnable_questions_are_of_four_kinds(drawn, digits):
    kinds = collections.Counter(one.kind for one in drawn)
    assert set(kinds) == set(digit_grids.KINDS)
    assert 0.45 < 1 - kinds["learnable"] / 600 < 0.55
    for one in drawn:
        covered = [place for place, digit in grid_of(one, digits).items() if digit is None]
        if one.kind == "unreadable":  # it is the very digit that is asked for
            _, _, _, row, column = one.words
            assert covered == [(ROWS.index(row), COLUMNS.index(column))]
        else:
            assert not covered
        assert one.answer != digit_grids.UNANSWERABLE


def test_a_smaller_share_has_fewer_of_the_same(digits):
    few, many = ([digit_grids.draw(share, 0, "test", i, *digits) for i in range(200)] for share in (0.15, 0.45))
    for one, other in zip(few, many, strict=True):
        if one.kind != "learnable" or other.kind == "learnable":
            assert (one.words, one.answer, one.kind) == (other.words, other.answer, other.kind)
            assert np.array_equal(one.image, other.image)
    assert all(digit_grids.draw(0, 0, "test", i, *digits).kind == "learnable" for i in range(200))


def test_every_word_has_a_number_and_questions_fit(drawn):
    assert len(set(digit_grids.WORDS)) == len(digit_grids.WORDS)
    for one in drawn:
        tokens = one.tokens
        assert len(tokens) == digit_grids.LENGTH
        assert [digit_grids.WORDS[token] for token in tokens if token] == list(one.words)
        assert digit_grids.ANSWERS[one.label] == one.answer


def test_what_covers_a_digit_is_noise_of_all_greys_but_the_darkest_and_the_lightest(drawn, digits):
    greys = []
    for one in drawn:
        if one.kind == "unreadable":
            ((y, x),) = (place for place, digit in grid_of(one, digits).items() if digit is None)
            greys.append(one.image[14 * y : 14 * y + 14, 14 * x : 14 * x + 14])
    assert len(greys) > 30
    assert len({grey.tobytes() for grey in greys}) == len(greys)
    counts = np.histogram(greys, 7, (51, 229.5))[0]  # a fifth of white to nine tenths
    assert counts.sum() == np.size(greys)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 7, atol=0.02)


def test_sums_are_compared_with_what_lies_around_them(drawn, digits):
    asked = [one for one in drawn if one.type == "sum"]
    limits = np.array([int(one.words[-1]) for one in asked])
    sums = np.array([sum(grid_of(one, digits).values()) for one in asked])
    assert set(limits) <= {*range(0, 85, 5)}
    assert np.abs(limits - sums).max() <= 17.5  # 15 to either side, then rounded
    assert 0.3 < np.mean(sums > limits) < 0.7


def test_the_published_questions_stay_the_same(digits):
    digest = hashlib.sha256()
    for split in digit_grids.SPLITS:
        for index in range(100):
            one = digit_grids.draw(0.45, digit_questions.SEED, split, index, *digits)
            digest.update(one.image.tobytes() + repr((one.words, one.answer, one.type, one.kind, one.rows)).encode())
    assert digest.hexdigest() == "1a3198b2210c250bbe546f2ed69483f9c290c173302305f2cfa0e6904871d6fe"


@pytest.mark.parametrize("percent", digit_questions.PERCENT)
def test_on_disk_it_is_what_is_drawn(percent, tmp_path, monkeypatch, digits):
    assert digit_questions.COUNTS == {"train": 20_000, "validation": 1_000, "test": 3_000}
    monkeypatch.setattr(digit_questions, "COUNTS", {"train": 12, "validation": 5, "test": 6})
    name = f"digit_questions/unlearnable_{percent}"
    prepare(name, tmp_path)
    splits = split_indices(digits[1])
    assert not set(splits["train"]) & set(splits["test"])
    for split, count in digit_questions.COUNTS.items():
        source = load(name, split, tmp_path)
        assert (len(source), source.info.class_names) == (count, digit_grids.ANSWERS)
        assert source.info.names["question"] == digit_grids.WORDS
        assert source.info.names["kind"] == digit_grids.KINDS
        for example in source:
            own = (part[splits[split]] for part in digits)
            one = digit_grids.draw(percent / 100, digit_questions.SEED, split, int(example["id"]), *own)
            np.testing.assert_array_equal(example["image"][..., 0], one.image)
            assert example["question"].tolist() == one.tokens
            assert int(example["label"]) == one.label
            said = one.answer if one.kind == "learnable" else digit_grids.UNANSWERABLE
            assert digit_grids.ANSWERS[int(example["answered"])] == said
            assert digit_grids.TYPES[int(example["type"])] == one.type
