# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest

import httpd_env

_addresses = itertools.count(1)


@pytest.fixture
def ip():
    """A client's address that no other test has."""
    n = next(_addresses)
    return f"198.18.{n // 250}.{n % 250 + 1}"


@pytest.fixture
def start():
    """Starts as many httpds as a test asks for; ends them and looks at their logs afterwards."""
    made = []

    def make(conf, **more):
        httpd = httpd_env.Httpd(conf, **more)
        made.append(httpd)
        return httpd.start()

    yield make
    finish_all(made)


def finish_all(made):
    complaints = []
    for httpd in made:
        try:
            httpd.finish()
        except AssertionError as error:
            complaints.append(str(error))
    assert not complaints, "\n".join(complaints)


@pytest.fixture(scope="module")
def site(request):
    """One httpd for all tests of a file, which says in CONF what it serves and may say in PREPARE
    what has to be made before it starts."""
    httpd = httpd_env.Httpd(request.module.CONF)
    prepare = getattr(request.module, "PREPARE", None)
    if prepare is not None:
        prepare(httpd)
    httpd.start()
    yield httpd
    finish_all([httpd])
