"""FixRes: a network that has trained on small images, and is fitted to larger ones at the end."""

from effjax.curricula.plans import Plan

#: The classifier and the normalisations, as this package's models call them.
FITTED = r"student/(.*/)?(classifier|\w*norm\w*)/.*"


def fixres(
    train_size: int, final_size: int, *, share: float = 0.1, fitted: str = FITTED
) -> tuple[Plan[int], Plan[str]]:
    """Trains on small images, and at the end fits classifier and normalisations to images of the final size.

    A crop of a random size shows objects larger in training than they are in evaluation, so a network does best on
    images larger than those it was trained on; and to train on small ones costs less. The best checkpoint of such a run
    is one of its last stage, at the final size.

    Args:
      train_size: of the images that all of the network is trained on, in pixels.
      final_size: of those that it is evaluated on.
      share: of the run, at the end, in which it is fitted.
      fitted: a regular expression: the parameters that then move.

    Returns:
      The plans ``image_size`` and ``trainable``.

    Example:
      >>> sizes, parts = fixres(128, 224)
      >>> sizes.pieces, parts(0.5)
      (((0.0, 128), (0.9, 224)), '.*')

    References:
      Touvron et al., `Fixing the train-test resolution discrepancy <https://arxiv.org/abs/1906.06423>`_, 2019.
    """
    sizes = Plan("image_size", [(0.0, train_size), (1 - share, final_size)])
    return sizes, Plan("trainable", [(0.0, ".*"), (1 - share, fitted)])
