"""Published accuracies beside one's own."""

import pytest

from configs.distill import cifar100
from effjax.errors import UserError
from effjax.reports.published import Own, beside, published, sources


def test_every_pair_and_method_of_the_config_is_known():
    known = published()
    assert set(known["pairs"]) == set(cifar100.PAIRS)
    assert set(cifar100.METHODS) < set(known["methods"])
    for methods in known["pairs"].values():
        assert set(methods) <= set(known["methods"])
        assert {said["source"] for said in methods.values()} <= set(known["sources"])
        assert all(55 < said["accuracy"] < 80 for said in methods.values())
        assert methods["teacher"]["accuracy"] > methods["student"]["accuracy"]


@pytest.mark.parametrize(
    ("pair", "method", "accuracy", "source"),
    [  # read by eye in the sources
        ("resnet56_resnet20", "kd", 70.66, "repdistiller"),
        ("resnet32x4_shufflenet_v2", "crd", 75.65, "repdistiller"),
        ("vgg13_mobilenet_v2", "nst", 58.16, "repdistiller"),
        ("resnet50_vgg8", "teacher", 79.34, "repdistiller"),
        ("resnet110_resnet20", "pkt", 70.25, "repdistiller"),
        ("resnet50_mobilenet_v2", "dkd", 70.35, "dkd"),
        ("resnet32x4_shufflenet_v1", "dist", 76.34, "dist"),
        ("vgg13_vgg8", "mlkd_standardized", 75.22, "lskd"),
        ("resnet110_resnet20", "dkd", 71.06, "lskd"),
        ("resnet56_resnet20", "reviewkd", 71.89, "reviewkd"),
        ("resnet50_vgg8", "sdd_dkd", 75.86, "sdd"),
        ("wrn_40_2_shufflenet_v1", "sdd_nkd", 76.81, "sdd"),
    ],
)
def test_numbers_are_those_of_their_source(pair, method, accuracy, source):
    said = published()["pairs"][pair][method]
    assert (said["accuracy"], said["source"]) == (accuracy, source)


def test_a_table_says_means_intervals_and_what_is_still_to_come():
    own = {
        "kd": Own([0.70, 0.71], [240.0, 240.0, 240.0], 240.0),
        "dist": Own([], [31.7, 30.2], 240.0),
        "mine": Own([0.5], [240.0], 240.0),
    }
    table = beside("resnet56_resnet20", own)
    rows = {row[0]: row[1:] for row in table.rows}
    # ± 12.7062 · (0.01 / √2) / √2, in percent
    assert rows["KD"] == ("70.66", "repdistiller", "70.50 ± 6.35", "-0.16", "2 of 3", "240 of 240")
    assert rows["DIST"] == ("71.75 ± 0.30", "dist", "", "", "0 of 2", "30 of 240")
    assert rows["mine"] == ("–", "–", "50.00", "", "1 of 1", "240 of 240")
    assert rows["AT"] == ("70.55", "repdistiller", "", "", "", "")
    assert table.rows[-1][0] == "mine"
    assert [line.split(":")[0] for line in sources(["resnet50_vgg8"])] == ["repdistiller", "sdd"]


def test_an_unknown_pair_is_refused():
    with pytest.raises(UserError, match=r"the pair 'resnet56_resnet8'; .*did you mean 'resnet56_resnet20'"):
        beside("resnet56_resnet8", {})
