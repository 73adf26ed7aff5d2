"""What the tests of the project share."""

import pytest

#: Names of fixtures in the order in which they were ready, for the test that runs.
ready = pytest.StashKey[list]()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    value = yield
    request.node.stash.setdefault(ready, []).append(fixturedef.argname)
    return value


@pytest.fixture
def fixtures_ready(request):
    """Names of the fixtures that were ready before this one."""
    return list(request.node.stash.setdefault(ready, []))
