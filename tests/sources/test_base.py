from urllib.parse import urlsplit

import pytest

from cogd.errors import SourceError
from cogd.sources.base import query_parameters


def test_query_parameters():
    assert query_parameters("a", urlsplit("sim:?x=1&y="), ("x", "y")) == {"x": "1", "y": ""}
    with pytest.raises(SourceError, match="unknown parameter 'z'; the known ones are x, y"):
        query_parameters("a", urlsplit("sim:?z=1"), ("x", "y"))
    with pytest.raises(SourceError, match="unknown parameter 'z'; it has none"):
        query_parameters("a", urlsplit("udp://h:1?z=1"), ())
    with pytest.raises(SourceError, match="'x' is there twice"):
        query_parameters("a", urlsplit("sim:?x=1&x=2"), ("x",))
