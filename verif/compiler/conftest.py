"""A compiled tiny model, once per session."""

import pytest

from hayate.compiler import compile_model
from hayate.verif.models.tiny import write_tiny_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def image(model_folder):
    return compile_model(model_folder)
