"""The picture of what augmentation does."""

import numpy as np

from effjax.reports import augmentation_sheet as sheet


def test_a_row_for_each_magnitude_operation_and_mix(monkeypatch):
    shown = {}
    page = sheet.contact_sheet

    def recorded(rows, *, cell):
        shown.update(rows)
        return page(rows, cell=cell)

    monkeypatch.setattr(sheet, "contact_sheet", recorded)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), np.uint8)
    picture = sheet.augmentation_sheet(images, magnitudes=(1, 9), cell=12)
    assert len(shown) == 1 + 2 + 15 + 4
    assert picture.height >= 12 * len(shown)
    np.testing.assert_array_equal(shown["as it is"], images)
    np.testing.assert_array_equal(shown["Invert 9"], 255 - images)
    np.testing.assert_array_equal(shown["cutmix"][0] == images[1], shown["cutmix"][1] == images[0])
    blend = (shown["mixup"][0].astype(int) + shown["mixup"][1]) - images.astype(int).sum(0)
    assert np.abs(blend).max() <= 1  # both by the same share
    assert (shown["Brightness 9"][0] >= images[0]).all()
    assert (shown["Brightness 9"][1] <= images[1]).all()
