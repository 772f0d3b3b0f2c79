from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd

from mlops_ray.model import Manifest, TrainedModel
from mlops_ray.model.pyfunc import _load_pyfunc


def test_a_data_frame_gets_the_predictions_of_its_encoded_rows(
    write: Callable[[TrainedModel], tuple[Path, Manifest]], lightgbm_model: TrainedModel, booster: lightgbm.Booster
) -> None:
    folder, _ = write(lightgbm_model)
    frame = pd.DataFrame(
        {"contract": ["one year", "new"], "tenure": [3, 9], "charges": [70.0, None], "paperless": [True, False]}
    )
    expected = booster.predict(np.array([[3, 70, 1, 1], [9, np.nan, 0, 3]], dtype=float))
    np.testing.assert_allclose(_load_pyfunc(str(folder)).predict(frame), expected, atol=1e-12)
