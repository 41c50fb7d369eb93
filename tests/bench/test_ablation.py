import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"

pytestmark = pytest.mark.train

ENTRY = (
    '{"what": "count", "variant": "a", "parameters": 1234, "train": "t", "test": "u", "steps": 5, "seed": 0, '
    '"device": "cpu", "figures": {"MAE": [1.5, 1.25, 2.0], "within 1": [0.5]}}'
)


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    spec = importlib.util.spec_from_file_location("ablation", BENCH / "ablation.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ablation", module)
    spec.loader.exec_module(module)
    return module


def test_a_variant_is_a_row_with_its_intervals(ablation):
    page = ablation.render([ENTRY])

    assert "## count: 5 steps, seed 0, cpu" in page
    assert "| a | 1,234 | 1.500 (1.250 to 2.000) | 0.500 |" in page


def test_the_page_is_the_log_s(ablation):
    assert ablation.render(ablation.LOG.read_text().splitlines()) == ablation.TABLES.read_text()


@pytest.mark.parametrize("what", ["count", "pose"])
def test_every_variant_fits_into_the_budget_and_takes_a_window(ablation, what):
    import torch

    for name, make in ablation.VARIANTS[what].items():
        net = make().eval()
        assert sum(parameter.numel() for parameter in net.parameters()) <= 150_000, name
        outputs = net(torch.rand(3, 56, 100))
        assert all(torch.isfinite(output).all() and len(output) == 3 for output in outputs), name
