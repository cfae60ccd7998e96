"""A network with what it is shown: what it reads, through what its parameters go, what it predicts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from effjax.metrics import Mean, Metric
from effjax.metrics.metric import computed
from effjax.models import Outputs
from effjax.steps import Network, Shift, View, make_eval_step, make_predict
from effjax.steps.evaluate import KEPT

BATCH = {
    "image": np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1),
    "question": np.array([[1.0], [3.0]], np.float32),
    "answer": np.array([2.0, 5.0], np.float32),
    "mask": np.array([True, False]),
}


class Answerer(nn.Module):
    """Reads two things; what it says is no array."""

    @nn.compact
    def __call__(self, question, images, train=False):
        gain = self.param("gain", nn.initializers.constant(2.0), ())
        value = gain * question[:, 0] + images.sum((1, 2, 3))
        return Outputs({"value": value.astype(jnp.bfloat16), "word": (value > 0).astype(jnp.int32)}, {})


def network(**options):
    view = View(mean=(0.5,), std=(0.5,), ops=(Shift(1),))
    return Network(Answerer(), view, ("question", "image"), **options)


def test_it_reads_the_features_in_their_order_and_the_image_as_it_is_shown():
    made = network()
    seen = made.view.see(BATCH)
    question, image = made.reads(seen)
    np.testing.assert_array_equal(question, BATCH["question"])
    np.testing.assert_allclose(image, BATCH["image"] / 127.5 - 1, atol=1e-6)
    variables = made.module.init(jax.random.key(0), question, image)
    preds = made.predict(variables, BATCH).preds
    assert (preds["value"].dtype, preds["word"].dtype) == (jnp.float32, jnp.int32)
    expected = 2 * BATCH["question"][:, 0] + (BATCH["image"] / 127.5 - 1).sum((1, 2, 3))
    np.testing.assert_allclose(preds["value"], expected, rtol=1e-2)
    jax.tree.map(np.testing.assert_array_equal, make_predict(made)(variables, BATCH), preds)


def test_parameters_go_through_every_function_in_order():
    def add(params):
        return jax.tree.map(lambda x: x + 1.0, params)

    def double(params):
        return jax.tree.map(lambda x: x * 2.0, params)

    variables = {"params": {"gain": jnp.asarray(2.0)}}
    plain = network().predict(variables, BATCH).preds["value"]
    for through, gain in (((add, double), 6.0), ((double, add), 5.0)):
        changed = network(through=through).predict(variables, BATCH).preds["value"]
        np.testing.assert_allclose(changed - plain, (gain - 2.0) * BATCH["question"][:, 0], atol=0.1)
    assert variables["params"]["gain"] == 2.0


def test_a_step_measures_here_keeps_for_the_host_and_leaves_out_what_says_nothing():
    def error(preds, batch, where):
        return Mean.empty().update(jnp.abs(preds["value"] - batch["answer"]), where=where)

    metrics = {
        "error": Metric(error),
        "nothing": Metric(lambda *_: None),
        "words": Metric(lambda *_: 1 / 0, on_host=True),
    }
    variables = {"params": {"gain": jnp.asarray(2.0)}}
    states = make_eval_step(network(), metrics)(variables, BATCH)
    assert set(states) == {"error", KEPT}
    assert states["error"].count == 1  # padding does not count
    assert set(states[KEPT].batch) == {"answer", "mask"}  # not what the network has read
    assert set(states[KEPT].preds) == {"value", "word"}
    assert KEPT not in make_eval_step(network(), {"error": Metric(error)})(variables, BATCH)


def test_a_metric_may_compute_several_values():
    class Several:
        def compute(self):
            return {"map": 0.5, "map50": np.float32(0.75)}

    assert computed({"map": Several(), "loss": Mean(np.float64(3), np.float64(2))}) == {
        "map": 0.5,
        "map50": 0.75,
        "loss": 1.5,
    }
