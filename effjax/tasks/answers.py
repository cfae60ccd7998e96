"""What people answer: from what they write to JSON, which the ledger keeps, and from JSON to what is learnt."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from effjax.specs import Spec

Move = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class AnswerFormat(Protocol):
    """How a task's answers are written, kept and learnt."""

    @property
    def specs(self) -> Mapping[str, Spec]:
        """Of the features that an answer becomes."""
        ...

    @property
    def choices(self) -> Sequence[str]:
        """The words that people choose from; none where they write freely."""
        ...

    @property
    def hint(self) -> str:
        """What people are to write."""
        ...

    def parse(self, text: str) -> Any:
        """The JSON for what a person wrote; where there are choices, for one of them.

        Raises:
          ValueError: if it is none, saying what is allowed.
        """

    def problem(self, answer: Any) -> str | None:
        """What is wrong with an answer in JSON; None if nothing is."""

    def read(self, answer: Any) -> Mapping[str, Any]:
        """What is learnt from an answer, by feature, as :attr:`specs` say."""
        ...

    def moved(self, answer: Any, move: Move) -> Any:
        """An answer of another part of the image.

        Args:
          answer: in JSON.
          move: from boxes ``[n, 4]`` to where they are in that part, and whether they show there, ``[n]``.
        """
        ...

    def write(self, targets: Mapping[str, np.ndarray]) -> Any:
        """The answer that gives these targets, for a dataset that answers by itself."""

    def show(self, answer: Any) -> str:
        """An answer in words."""
        ...

    def cost(self, answer: Any) -> float | None:
        """What an answer counts for in a budget, in seconds; None: as much as any, ``config.active.cost_per_label``."""

    def items(self, answer: Any) -> int:
        """How many things an answer says something of, such as boxes."""
        ...

    def boxes(self, answer: Any) -> Sequence[Sequence[float]]:
        """Where in the image an answer points: y0, x0, y1, x1 from 0 to 1 each; nothing if it is of the whole image."""
        ...


def parsed_json(text: str, answers: AnswerFormat) -> Any:
    """What a person has written as JSON.

    Raises:
      ValueError: if it is none, or no answer.
    """
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number may be too long, too
        raise ValueError(f"{text[:60]!r} is no JSON ({error}): write {answers.hint}") from error
    if problem := answers.problem(answer):
        raise ValueError(problem)
    return answer


def prices_of(answers: AnswerFormat) -> dict[str, float]:
    """What parts of an answer cost, by name, in seconds: the fields of a format that are such numbers by default."""
    fields = dataclasses.fields(answers) if dataclasses.is_dataclass(answers) else ()
    return {field.name: getattr(answers, field.name) for field in fields if isinstance(field.default, float)}


def with_prices(answers: AnswerFormat, prices: Mapping[str, float]) -> AnswerFormat:
    """The format with other prices.

    Args:
      answers: the format.
      prices: by name, some of :func:`prices_of`.
    """
    return dataclasses.replace(cast(Any, answers), **prices) if prices else answers


@dataclasses.dataclass(frozen=True)
class ClassAnswers:
    """One of some classes, kept as its number.

    Attributes:
      choices: the classes, in the order of the labels.
    """

    choices: tuple[str, ...]

    @property
    def specs(self) -> dict[str, Spec]:
        return {"label": Spec(np.int32)}

    @property
    def hint(self) -> str:
        return f"a class ({', '.join(self.choices)})"

    def parse(self, text: str) -> int:
        return self.choices.index(text)

    def problem(self, answer: Any) -> str | None:
        if type(answer) is int and 0 <= answer < len(self.choices):
            return None
        return f"label {answer!r} is none of the {len(self.choices)} classes"

    def read(self, answer: int) -> dict[str, int]:
        return {"label": answer}

    def moved(self, answer: int, move: Move) -> int:
        return answer

    def write(self, targets: Mapping[str, np.ndarray]) -> int:
        return int(targets["label"])

    def show(self, answer: int) -> str:
        return self.choices[answer]

    def cost(self, answer: int) -> None:
        return None

    def items(self, answer: int) -> int:
        return 1

    def boxes(self, answer: int) -> tuple[()]:
        return ()
