"""Predictors of the `python` flavor that do what models should not."""

import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
ENTERED, OPEN = threading.Event(), threading.Event()


class Half:
    """Always one half."""

    def __init__(self, _: Path) -> None:
        pass

    def predict(self, matrix: Matrix) -> Matrix:
        return np.full(len(matrix), 0.5)


class FirstInput(Half):
    """Answers the first input; raises where it is negative, answers NaN where it is 9."""

    def predict(self, matrix: Matrix) -> Matrix:
        if (matrix[:, 0] < 0).any():
            raise ValueError("negative amount")
        return np.where(matrix[:, 0] == 9, np.nan, matrix[:, 0])


class Rising(Half):
    """Between 0 and 1, the more the larger the first input is."""

    def predict(self, matrix: Matrix) -> Matrix:
        return 1 / (1 + np.exp(-matrix[:, 0]))


class Likeliest(Half):
    """Three classes: the one whose place the first input is, with certainty 0.8."""

    def predict(self, matrix: Matrix) -> Matrix:
        scores = np.full((len(matrix), 3), 0.1)
        scores[np.arange(len(matrix)), matrix[:, 0].astype(int) % 3] = 0.8
        return scores


class Colours(Half):
    """Three classes: how red, green and blue a picture is."""

    def predict(self, matrix: Matrix) -> Matrix:
        colours = matrix.reshape(len(matrix), -1, 3).mean(axis=1) + 1
        return colours / colours.sum(axis=1, keepdims=True)


class Slow(Half):
    """Takes a fifth of a second."""

    def predict(self, matrix: Matrix) -> Matrix:
        time.sleep(0.2)
        return super().predict(matrix)


class SlowToLoad(Half):
    """Is loaded when `OPEN` is set; `ENTERED` is set when it begins."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ENTERED.set()
        OPEN.wait(60)


class Gated(Half):
    """Answers as long as `OPEN` is set, and waits for it otherwise; `ENTERED` is set when it is asked."""

    def predict(self, matrix: Matrix) -> Matrix:
        ENTERED.set()
        OPEN.wait(60)
        return super().predict(matrix)


class Column(Half):
    """Answers (n, 1) instead of (n,)."""

    def predict(self, matrix: Matrix) -> Matrix:
        return np.full((len(matrix), 1), 0.5)
