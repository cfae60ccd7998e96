"""Chooses what to label next from a folder of your own images, with networks of your own:

  python -m launch.query --runs=runs/mine/student/seed_0 --pool=photos/unlabelled --k=50 --out=runs/query

scores every image below the folder, however many there are, and writes queries.csv (number, path, score, what the
network takes it for, and a column for your label) and sheet.png, the photos under their numbers. Several runs of one
architecture are an ensemble: their disagreement is a score too (--score=bald). Nothing is moved or changed. Exit codes
as for launch.train.
"""

from absl import flags

from . import cli

_RUNS = flags.DEFINE_list("runs", [], "folders of trained runs, each with checkpoints/; several are an ensemble")
_POOL = flags.DEFINE_string("pool", "", "a folder of images, of any depth")
_OUT = flags.DEFINE_string("out", "", "the folder to write to")
_K = flags.DEFINE_integer("k", 50, "how many images to choose", lower_bound=1, upper_bound=2**31 - 1)
_SCORE = flags.DEFINE_string(
    "score", "entropy", "entropy, least_confidence, margin, bald, variation_ratio, consistency"
)
_PREDICTIONS = flags.DEFINE_string("predictions", "", "single, ensemble, dropout or augmentations; by --runs if empty")
_SELECTOR = flags.DEFINE_string(
    "selector", "top_k", "top_k, power_batch, class_balanced, k_center_greedy, badge, batch_bald, typiclust or random"
)
_PASSES = flags.DEFINE_integer("passes", 25, "with dropout, or of augmentations", lower_bound=2, upper_bound=10_000)
_SIZE = flags.DEFINE_integer(
    "image_size",
    0,
    "that images are decoded to; 0: what the runs were trained at",
    lower_bound=0,
    upper_bound=16_384,
)
_WITHOUT = flags.DEFINE_list("without", [], "earlier queries.csv, whose images are not asked for again")
_SEED = flags.DEFINE_integer("seed", 0, "of every random draw", lower_bound=0, upper_bound=2**32 - 1)
_BATCH = flags.DEFINE_integer("batch_size", 256, "images at a time, over all devices", lower_bound=1, upper_bound=2**20)


def main() -> None:
    from effjax.recipes.active.query import choose

    chosen = choose(
        _RUNS.value,
        _POOL.value,
        _OUT.value,
        k=_K.value,
        score=_SCORE.value,
        predictions=_PREDICTIONS.value,
        selector=_SELECTOR.value,
        passes=_PASSES.value,
        image_size=_SIZE.value,
        without=_WITHOUT.value,
        seed=_SEED.value,
        batch_size=_BATCH.value,
    )
    for one in chosen[:10]:
        print(one)
    if len(chosen) > 10:
        print(f"… and {len(chosen) - 10} more")


if __name__ == "__main__":
    cli.run(main, required=("runs", "pool", "out"))
