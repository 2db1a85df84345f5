"""``pytest tests/fuzz --mutations 5000``: as many mutations of every kind as wanted."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutations", type=int, default=200, help="mutated inputs of every kind (default 200)")
    parser.addoption("--mutations_seed", type=int, default=0, help="another one makes other mutations")


@pytest.fixture
def mutations(request: pytest.FixtureRequest) -> tuple[int, int]:
    """(how many, seed)"""
    option = request.config.getoption
    return option("--mutations", 200), option("--mutations_seed", 0)
