"""The overlays, rendered once for the run."""

from copy import deepcopy

import pytest

from scripts.k8s_render import CannotRender, overlay, render
from tests.k8s.manifests import Resource

_RENDERED: dict[str, list[Resource]] = {}


def rendered(name: str) -> list[Resource]:
    if name not in _RENDERED:
        try:
            _RENDERED[name] = render(overlay(name))
        except CannotRender as error:
            pytest.fail(str(error), pytrace=False)
    return deepcopy(_RENDERED[name])  # a test may change its own


@pytest.fixture(params=["dev", "prod"])
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    """What an overlay deploys; the test runs for each."""
    return rendered(request.param)


@pytest.fixture
def prod() -> list[Resource]:
    """What production deploys."""
    return rendered("prod")
