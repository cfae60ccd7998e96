"""The terms an objective can be made of, by name. One more term is one function and one registry line."""

from collections.abc import Callable
from typing import Any

import optax

from effjax import losses
from effjax.errors import UserError, nearest
from effjax.steps.objective import Term, TermInputs

Scheduled = float | optax.Schedule


def ce(*, weight: Scheduled = 1.0, label_smoothing: float = 0.0) -> Term:
    """Cross-entropy with the labels."""

    def loss(inputs: TermInputs):
        return losses.cross_entropy(inputs.student.logits, inputs.batch["label"], label_smoothing=label_smoothing)

    return Term(loss, weight)


def soft_target(*, weight: Scheduled = 1.0, temperature: Scheduled = 4.0, teacher: str = "teacher") -> Term:
    """Hinton's soft targets: ``T² · KL(teacher ‖ student)`` at temperature T, a number or a schedule."""

    def loss(inputs: TermInputs):
        t = temperature(inputs.step) if callable(temperature) else temperature
        return losses.soft_target_kl(inputs.student.logits, inputs.teachers[teacher].logits, temperature=t)

    return Term(loss, weight, teachers=(teacher,))


TERMS: dict[str, Callable[..., Term]] = {
    "ce": ce,
    "soft_target": soft_target,
}


def make_term(name: str, **options: Any) -> Term:
    """Makes the term ``name``.

    Raises:
      UserError: if there is no such term, or it has no such option.
    """
    if name not in TERMS:
        raise UserError(f"terms: no term {name!r}; {nearest(name, TERMS)}")
    allowed = TERMS[name].__kwdefaults__
    for option in options:
        if option not in allowed:
            raise UserError(f"terms.{name}: no option {option!r}; {nearest(option, allowed)}")
    return TERMS[name](**options)
