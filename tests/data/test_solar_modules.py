"""Modules of solar cells: which cells lie in them, and that the boxes are around the defective."""

import collections

import numpy as np

from effjax.data.builders import solar_cells, solar_modules
from effjax.data.decode import decode_image
from effjax.data.prepare import prepare
from effjax.data.sources import load


def test_no_cell_is_in_two_splits_or_twice_in_a_module():
    cells = solar_cells.read_cells()
    rows = solar_cells.split_indices(cells)
    counts = {}
    for split, passes in solar_modules.PASSES.items():
        modules = solar_modules.compose(cells, split)
        counts[split] = len(modules)
        used = collections.Counter(int(row) for module in modules for row in module.rows)
        assert set(used) <= {*rows[split].tolist()}
        assert max(used.values()) <= passes
        for module in modules:
            assert len({*module.rows.tolist()}) == 16
            assert {cells[row].cell_type for row in module.rows} == {module.cell_type}
        assert {module.cell_type for module in modules} == {"mono", "poly"}
        again = solar_modules.compose(cells, split)
        assert all(np.array_equal(one.rows, other.rows) for one, other in zip(modules, again, strict=True))
    assert counts == {"train": 904, "validation": 60, "test": 128}


def test_boxes_are_around_the_cells_that_an_expert_calls_defective(tmp_path, monkeypatch):
    cells = solar_cells.read_cells()[::4]
    monkeypatch.setattr(solar_modules, "read_cells", lambda: cells)
    monkeypatch.setattr(solar_modules, "PASSES", {"train": 1, "validation": 1, "test": 1})
    prepare("solar_modules", tmp_path)
    for split in solar_modules.PASSES:
        source = load("solar_modules", split, tmp_path, padded={"objects": 16})
        modules = solar_modules.compose(cells, split)
        assert len(source) == len(modules)
        assert source.info.class_names == ("defective",)
        for example, module in zip(source, modules, strict=True):
            assert example["image"].shape == (128, 128, 1)
            assert source.info.names["cell_type"][example["cell_type"]] == module.cell_type
            found = {tuple((128 * box).astype(int)) for box in example["objects/bbox"][example["objects/valid"]]}
            for place, row in enumerate(module.rows):
                y, x = 32 * (place // 4), 32 * (place % 4)
                assert ((y, x, y + 32, x + 32) in found) == (cells[row].probability >= 0.5)
            place = int(example["id"]) % 16
            y, x = 32 * (place // 4), 32 * (place % 4)
            file = (solar_cells.package_data() / cells[module.rows[place]].path).read_bytes()
            np.testing.assert_array_equal(example["image"][y : y + 32, x : x + 32], decode_image(file, 1, 32))
