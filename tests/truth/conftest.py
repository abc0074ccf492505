"""What the tests on the wire share."""

import pytest
from namespaces import Namespace, need


@pytest.fixture(scope="module")
def namespace():
    """Where nothing is on the wire but what the test sends."""
    need("ip", "tcpdump", "tshark")
    with Namespace() as namespace:
        yield namespace
