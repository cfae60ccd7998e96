"""Writes a trained network as a file for other runtimes.

python -m launch.export --run=runs/x/student/seed_0 --out=model

writes model.onnx (or model.stablehlo), model.json (classes, mean, std, size, grids, the hash of the parameters), 16
images with the answers to them, and model_check.py, which needs numpy and onnxruntime alone. With --bits=w8a8 a network
of floats is quantised first, calibrated on training images. All is read back and compared before it says that it is
done. --weights exports a network with weights that a package ships, calibrated on the photos of --images:

python -m launch.export --weights=efficientnet_lite0 --images=photos --bits=w8a8 --out=lite0

ONNX needs the packages of effjax[export]. Exit codes as for launch.train.
"""

from absl import flags

from . import cli

_RUN = flags.DEFINE_string("run", "", "a run's folder, which holds checkpoints/")
_STEP = flags.DEFINE_enum("step", "last", ["last", "best"], "which checkpoint; best is by validation")
_WEIGHTS = flags.DEFINE_string("weights", "", "instead of a run: a model whose weights a package ships")
_IMAGES = flags.DEFINE_string("images", "", "with --weights: a folder of photos")
_SIZE = flags.DEFINE_integer(
    "image_size", 0, "with --weights: the side of its images; 0: its own", lower_bound=0, upper_bound=16_384
)
_OUT = flags.DEFINE_string("out", "", "the folder to write to")
_FORMAT = flags.DEFINE_string("format", "onnx", "onnx or stablehlo")
_BITS = flags.DEFINE_string("bits", "", "w8a8, w4a8, …: quantised after training; empty leaves a network as it is")
_CALIBRATION = flags.DEFINE_string("calibration", "mse", "minmax, percentile, mse or entropy")
_CALIBRATE = flags.DEFINE_integer(
    "calibrate", 512, "how many training images it is calibrated on", lower_bound=1, upper_bound=10**6
)
_INPUTS = flags.DEFINE_string("inputs", "float", "float: normalised images; uint8: bytes, which the file normalises")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where datasets are prepared")


def main() -> None:
    from effjax.recipes.export import subject
    from effjax.recipes.export.experiment import export

    chosen = subject.chosen(_RUN.value, _STEP.value, _WEIGHTS.value, _IMAGES.value, _SIZE.value, _DATA_DIR.value)
    export(
        chosen,
        _OUT.value,
        format=_FORMAT.value,
        bits=_BITS.value,
        calibration=_CALIBRATION.value,
        calibrate=_CALIBRATE.value,
        inputs=_INPUTS.value,
    )


if __name__ == "__main__":
    cli.run(main, required=("out",))
