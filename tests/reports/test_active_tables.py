"""Tables of labelling loops, by hand."""

from effjax.reports import active_tables, tables

LEVELS = (0.6, 0.75)


def run(*accuracies, labels=(10, 20, 40), seeds=None):
    keys = ("ece", "ece_scaled", "nll")

    def one(number, values):
        rounds = [
            {"round": r, "labels": n, "test/accuracy": a, **{f"test/{key}": 0.1 * a for key in keys}}
            for r, (n, a) in enumerate(zip(labels, values, strict=False))
        ]
        return {"seed": number, "rounds": rounds}

    return {"seeds": [one(number, values) for number, values in zip(seeds or range(99), accuracies, strict=False)]}


def test_results_by_hand():
    summary = {
        "random": run([0.5, 0.7, 0.8], [0.5, 0.7, 0.8]),
        "entropy": run([0.5, 0.7, 0.82], [0.5, 0.7, 0.84]),
    }
    found = active_tables.scores(summary, "test", LEVELS)
    table = active_tables.results(found, {"entropy": "by entropy"}, "random", "test")
    first, second = table.rows
    assert table.headers[2] == "test acc."
    # (0.6 · 10 + 0.75 · 20) / 30; the last two heights of the others raise it by 2/3 and 4/3 of a point.
    assert first == ("random", "40", "80.00 ± 0.00 %", "", "70.00 ± 0.00 %", "", "0.0800", "0.0800", "0.080")
    assert second[:3] == ("by entropy", "40", "83.00 ± 1.41 %")
    assert second[3] == "+3.00 ± 12.71 %"  # 12.7062 · 0.0141 / √2
    assert second[4:6] == ("71.00 ± 0.47 %", "+1.00 ± 4.24 %")


def test_a_run_is_not_better_than_itself():
    summary = {name: run([0.5, 0.7, 0.8], [0.4, 0.6, 0.9]) for name in "ab"}
    found = active_tables.scores(summary, "test", LEVELS)
    row = active_tables.results(found, {}, "a", "test").rows[1]
    assert row[3] == row[5] == "+0.00 ± 0.00 %"
    assert active_tables.efficiency(found, {}, "a", LEVELS).rows[1][2::2] == ["+0 ± 0 %", "+0 ± 0 %"]
    assert tables.claims(found, {}, [("b beats a", "b", "a")], "area").rows[0][-1] == "not told apart"


def test_labels_needed_and_saved():
    summary = {
        "random": run([0.5, 0.7, 0.8], [0.5, 0.6, 0.7]),
        "entropy": run([0.5, 0.7, 0.8], [0.5, 0.7, 0.7]),
        "worse": run([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]),
    }
    table = active_tables.efficiency(active_tables.scores(summary, "test", LEVELS), {}, "random", LEVELS)
    assert table.headers == ["run", "labels for 60 %", "saved at 60 %", "labels for 75 %", "saved at 75 %"]
    assert table.rows[0] == ["random", "18 ± 4", "", "> 35 (1 of 2 seeds)", ""]  # 15, 20; 30, not in 40
    assert table.rows[1][1] == "15 ± 0"
    assert table.rows[1][2] == "+12 ± 159 %"  # 0 and 1/4: 12.5 ± 12.7062 · 12.5
    assert table.rows[1][3:] == ["> 35 (1 of 2 seeds)", "–"]
    assert table.rows[2] == ["worse", "> 40 (0 of 2 seeds)", "–", "> 40 (0 of 2 seeds)", "–"]


def test_a_control_that_does_not_get_there_is_beaten_by_at_least_so_much():
    summary = {"random": run([0.5, 0.6, 0.7], [0.5, 0.7, 0.8]), "entropy": run([0.7, 0.8], [0.7, 0.8])}
    table = active_tables.efficiency(active_tables.scores(summary, "test", (0.75,)), {}, "random", (0.75,))
    assert table.rows[1] == ["entropy", "15 ± 0", "≥ +56 %"]  # 1 − 15/40 and 1 − 15/30: 62.5 and 50


def test_without_a_control_nothing_is_compared():
    found = active_tables.scores({"a": run([0.5, 0.7, 0.8])}, "test", LEVELS)
    assert active_tables.efficiency(found, {}, None, LEVELS).rows == [["a", "15", "30"]]
    assert active_tables.results(found, {}, None, "test").rows[0][2:6] == ("80.00 %", "", "70.00 %", "")


def test_unequal_rounds_are_compared_over_what_all_cover():
    summary = {"a": run([0.5, 0.7, 0.8]), "b": run([0.5, 0.7])}
    found = active_tables.scores(summary, "test", ())
    assert active_tables.covered_by(summary) == (10, 20)
    assert found["a"]["seeds"][0]["area"] == found["b"]["seeds"][0]["area"]


def test_loops_that_share_no_number_of_labels_have_no_area():
    found = active_tables.scores({"a": run([0.5, 0.6]), "b": run([0.7], labels=(50,))}, "test", ())
    assert [row[4:6] for row in active_tables.results(found, {}, "a", "test").rows] == [("", ""), ("", "")]
    assert active_tables.comparable(found, [("b beats a", "b", "a")]) == []


def test_pairs_are_of_seeds_that_both_have():
    summary = {"a": run([0.5, 0.6], [0.5, 0.7]), "b": run([0.5, 0.9], seeds=[1]), "c": run([0.5, 0.9], seeds=[7])}
    found = active_tables.scores(summary, "test", ())
    assert [row[3] for row in active_tables.results(found, {}, "a", "test").rows] == ["", "+20.00 %", ""]
    claims = [("b beats a", "b", "a"), ("c beats a", "c", "a"), ("d beats a", "d", "a")]
    assert active_tables.comparable(found, claims) == claims[:1]
