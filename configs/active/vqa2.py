"""Which questions of VQA-2 should be answered? The size at which uncertainty was found to fail.

  python -m launch.active --config=configs/active/vqa2.py --workdir=runs/vqa2 --config.data.name=vqa2:/path

443,757 questions about COCO's images, in the official files (v2_OpenEnded_mscoco_*_questions.json,
v2_mscoco_*_annotations.json, train2014/, val2014/); the 3,000 most frequent answers of training. A tenth of the pool at
random, then a tenth a round up to a half. ResNet-50's features of images of 448×448 pixels, a GRU, two glances.
Cost: for several GPUs; not measured, nothing has been run but its shapes and a test on twenty questions. Variant
``stored``: features that somebody has stored, features/train2014/COCO_train2014_000000000009.npy and so on, [h, w, C].
"""

from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("stored",))
    config = schema.experiment()
    config.recipe, config.task, config.title = "active", "answering", "Which questions of VQA-2 to answer?"
    config.data.name, config.data.image_size = "vqa2:/path", 448
    config.data.validation, config.data.test = "validation[:20000]", "validation[20000:]"
    config.data.num_workers = 8
    config.view.mean, config.view.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    config.active.update(initial=44_000, per_round=44_000, rounds=5, levels=(0.4, 0.45, 0.5))
    if variant:
        config.task = "answering_stored"
    for name, (label, query) in {
        "random": ("random", schema.query(selector="random")),
        "entropy": ("entropy", schema.query()),
        "bald": ("dropout, BALD", schema.query(predictions="dropout", passes=10, score="bald")),
    }.items():
        run = schema.run(label=label, batch_size=256, steps=20_000, query=query)
        run.model = {"name": "vqa_attention", "backbone": "stored" if variant else "resnet50", "words": 15_000}
        run.model.update(dim=1024, hidden=1024, reader="gru", dropout=0.5)
        run.optimizer.update(name="adamw", learning_rate=3e-4)
        config.runs[name] = run
    config.control, config.table = "random", ("random", "entropy", "bald")
    return config
