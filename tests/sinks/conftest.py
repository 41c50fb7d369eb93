from tests.runtime.conftest import bench

__all__ = ["bench"]
