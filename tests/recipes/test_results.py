"""What was measured is read again; where that is damaged, it is said and measured anew."""

import small_configs

from effjax.recipes.build.datasets import open_datasets
from effjax.recipes.train.finished import RESULT_FILE
from effjax.recipes.train.results import PREDICTIONS_FILE, measure
from effjax.recipes.train.runs import TrainingExperiment


def test_damaged_results_are_said_and_measured_anew(tmp_path, data_dir, caplog):
    config = small_configs.plain()
    config.data.update(train="train[:64]", validation="validation[:32]", test="test[:32]", dir=str(data_dir))
    config.eval_batch_size = 32
    del config.runs["teacher"], config.runs["distilled"]
    experiment = TrainingExperiment(config.to_dict(), tmp_path)
    (done,) = experiment.train()
    result = measure(experiment, done, None)
    for name in (RESULT_FILE, PREDICTIONS_FILE):
        path = done.folder / name
        whole = path.read_bytes()
        digit = bytearray(whole)
        digit[whole.rindex(b".") + 1] ^= 1  # in the last number of the table, or in an array's name
        for damage in (bytes(digit), b"", whole[: len(whole) // 2], b"[1]", b"{}\n", b"\xff" * 40, None):
            if damage is None:
                path.unlink()
            else:
                path.write_bytes(damage)
            caplog.clear()
            assert measure(experiment, done, None) == result
            assert (name in caplog.text) == (damage is not None or name == PREDICTIONS_FILE), (name, damage)
            assert caplog.text.count("\n") <= 1
            assert measure(experiment, done, None) == result
            assert path.read_bytes() == whole or name == PREDICTIONS_FILE  # a zip file knows the time


def test_what_every_evaluation_reads_is_decoded_once(data_dir):
    config = small_configs.plain()
    config.data.update(train="train[:64]", validation="validation[:32]", test="test[:32]", dir=str(data_dir))
    datasets = open_datasets(config.to_dict())
    for source in (datasets.validation, datasets.test):
        assert source[3]["image"] is source[3]["image"]
    assert datasets.train[3]["image"] is not datasets.train[3]["image"]  # it lives on the device, if anywhere
    config.data.on_device_mib = 0
    assert open_datasets(config.to_dict()).test[3]["image"] is not datasets.test[3]["image"]
    source = open_datasets(config.to_dict()).test
    assert source[3]["image"] is not source[3]["image"]  # nor is a large set kept on the host
