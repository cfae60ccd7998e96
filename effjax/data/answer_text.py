"""Questions and answers as text: what of it does not matter, and which words and answers are known."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

PADDING, UNKNOWN = "<pad>", "<unknown>"  # words number 0 and 1
_ARTICLES = {"a", "an", "the"}
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
} | {"none": "0"}
_WORD = re.compile(r"[a-z0-9]+(?:['’][a-z]+)*")
# What people write without its apostrophe. Words that are others without it ("its", "were", "well") are left alone.
_CONTRACTIONS = [
    "ain't",
    "aren't",
    "can't",
    "couldn't",
    "didn't",
    "doesn't",
    "don't",
    "hadn't",
    "hasn't",
    "haven't",
    "isn't",
    "mightn't",
    "mustn't",
    "needn't",
    "oughtn't",
    "shouldn't",
    "wasn't",
    "weren't",
    "wouldn't",
    "could've",
    "might've",
    "must've",
    "should've",
    "would've",
    "how'd",
    "how's",
    "that's",
    "there's",
    "they'd",
    "they're",
    "they've",
    "what's",
    "when's",
    "where's",
    "who's",
    "why'd",
    "why's",
    "y'all",
    "you'd",
    "you're",
    "you've",
    "i'm",
    "i've",
    "o'clock",
    "somebody's",
    "something's",
    "everybody's",
    "everyone's",
]
_MISSING = {word.replace("'", ""): word for word in _CONTRACTIONS}


def normalised(answer: str) -> str:
    """An answer without what makes no difference, as VQA's evaluation takes it.

    In small letters; without articles; numbers up to ten in figures; missing apostrophes of contractions put in; no
    full stop, but in a decimal; a comma between figures left out; all other punctuation, but for apostrophes and
    colons, a space.

    Example:
      >>> normalised("The two dogs."), normalised("It dont cost $1,000.50!")
      ('2 dogs', "it don't cost 1000.50")

    References:
      `VQA: evaluation <https://visualqa.org/evaluation.html>`_, whose description this follows.
    """
    text = answer.lower().replace("’", "'")
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)", "", text)
    text = re.sub(r"[^\w\s':.]|_", " ", text)
    words = (_MISSING.get(word, _NUMBERS.get(word, word)) for word in text.split())
    return " ".join(word for word in words if word not in _ARTICLES)


def words_of(question: str) -> list[str]:
    """The words of a question, in small letters, without punctuation.

    Example:
      >>> words_of("What's on the man's T-shirt?")
      ["what's", 'on', 'the', "man's", 't', 'shirt']
    """
    return _WORD.findall(question.lower())


def most_frequent(values: Iterable[str], most: int) -> tuple[str, ...]:
    """The most frequent of some texts, the most frequent first, equally frequent ones by the alphabet.

    Example:
      >>> most_frequent(["no", "yes", "no", "2", "yes", "1"], 3)
      ('no', 'yes', '1')
    """
    counts = Counter(values)
    return tuple(sorted(counts, key=lambda text: (-counts[text], text))[:most])


def tokens(words: Sequence[str], numbers: dict[str, int], length: int) -> list[int]:
    """Words by number, filled up with 0 or cut off; what is not known is 1.

    Example:
      >>> tokens(["how", "many", "emus"], {"how": 2, "many": 3}, 5)
      [2, 3, 1, 0, 0]
    """
    found = [numbers.get(word, 1) for word in words[:length]]
    return found + [0] * (length - len(found))
