"""Digests of files while they are written."""

import hashlib
import pickle
from pathlib import Path

import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import PyArrowFileIO

from mlops_ray.data.digesting_io import DigestingIO
from tests.data.batches import table_of


def test_the_digest_is_that_of_the_file_as_it_lies_there(tmp_path: Path) -> None:
    io = DigestingIO(PyArrowFileIO())
    location = f"file://{tmp_path}/a.parquet"
    output = io.new_output(location)
    with output.create(overwrite=True) as stream:
        pq.write_table(table_of(1000), stream, row_group_size=100)
    content = (tmp_path / "a.parquet").read_bytes()
    assert io.sha256 == {location: hashlib.sha256(content).hexdigest()}
    assert len(output) == len(content)
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 1000


def test_a_file_is_read_and_deleted_as_without_it(tmp_path: Path) -> None:
    io = DigestingIO(PyArrowFileIO())
    (tmp_path / "a").write_bytes(b"abc")
    location = f"file://{tmp_path}/a"
    assert io.new_output(location).exists()
    with io.new_input(location).open() as stream:
        assert stream.read() == b"abc"
    io.delete(location)
    assert not io.new_output(location).to_input_file().exists()
    assert pickle.loads(pickle.dumps(io)).sha256 == {}
