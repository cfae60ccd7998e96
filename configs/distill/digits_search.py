"""How the student of configs/distill/digits.py was chosen: widths, temperatures and weights, by validation alone.

  python -m launch.train --config=configs/distill/digits_search.py --workdir=runs/digits_search \
      --results=results/distill_digits_search.md

Cost: about 10 minutes on two CPU cores. Its "test" columns are the validation split; the test split is not read.
"""

from configs.distill import digits


def get_config():
    config = digits.get_config()
    config.title = "Choosing the student for digits, by validation: the columns headed test are the validation split"
    config.num_seeds = 4
    config.data.test = "validation"
    base, runs = config.runs, {"teacher": config.runs.teacher}
    for width in (64, 128, 256):
        for name in ("student", "distilled", "distilled_early_stop"):
            settings = [(4.0, 0.9)] if name == "student" else [(4.0, 0.9), (8.0, 0.9), (2.0, 0.9), (4.0, 0.5)]
            for temperature, weight in settings:
                run = base[name].copy_and_resolve_references()
                run.model.widths = (width, width)
                if name != "student":
                    run.terms.soft_target.update(temperature=temperature, weight=weight)
                    run.terms.ce.weight = 1.0 - weight
                run.label = f"{name} w={width}" + ("" if name == "student" else f" T={temperature:g} λ={weight:g}")
                runs[run.label.replace(" ", "_").replace("=", "").replace(".", "_")] = run
    config.runs = runs
    return config
