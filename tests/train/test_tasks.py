import math

import numpy as np
import pytest
import torch

from cogd.errors import TrainError
from cogd.train.heads.count.learning import CountTask
from cogd.train.heads.pose.learning import PoseTask, _joints, next_rows
from cogd.train.tasks import Task, outputs_of
from tests.train.factory import make_config, make_windows

pytestmark = pytest.mark.train

ROWS = torch.arange(4)
CSI = torch.zeros(4, 56, 20)


def silence(net) -> None:
    """Make a network answer its last biases, whatever it hears."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()


def loss_of(task: Task, csi=CSI, rows=ROWS) -> torch.Tensor:
    terms = task.terms(outputs_of(task.net, csi), rows)
    return sum(task.weights[name] * terms[name].value for name in task.weights)


def score_of(task: Task) -> float:
    return task.score(outputs_of(task.net, CSI), ROWS)


def smooth_l1(difference: float, beta: float = 0.1) -> float:
    size = abs(difference)
    return 0.5 * size * size / beta if size < beta else size - 0.5 * beta


def pose_task(weight) -> tuple[PoseTask, np.ndarray]:
    windows = make_windows(4, weight=np.asarray(weight, dtype=np.float32))
    task = PoseTask(windows, np.arange(4), make_config())
    silence(task.net)
    return task, windows.keypoints


def test_the_pose_loss_is_smooth_l1_weighted_by_the_labels_confidence():
    weight = [1.0, 0.5, 0.25, 0.0]
    task, keypoints = pose_task(weight)

    per_window = [np.mean([smooth_l1(0.5 - float(value)) for value in window.ravel()]) for window in keypoints]

    expected = sum(w * loss for w, loss in zip(weight, per_window, strict=True)) / sum(weight)
    assert loss_of(task).item() == pytest.approx(expected, rel=1e-5)


def test_the_pose_loss_takes_the_labels_of_the_rows_it_is_given():
    task, keypoints = pose_task([1, 1, 1, 1])

    expected = np.mean([smooth_l1(0.5 - float(value)) for value in keypoints[2].ravel()])

    assert loss_of(task, CSI[:1], torch.tensor([2])).item() == pytest.approx(expected, rel=1e-5)


def test_windows_that_nobody_believes_have_a_pose_loss_of_zero():
    task, _ = pose_task([0, 0, 0, 0])

    assert loss_of(task).item() == 0


def test_the_pose_score_is_minus_the_mean_distance_of_joints():
    task, keypoints = pose_task([1, 1, 1, 1])

    distances = [math.hypot(0.5 - x, 0.5 - y) for window in keypoints.tolist() for x, y in window]

    with torch.no_grad():
        assert score_of(task) == pytest.approx(-np.mean(distances), rel=1e-5)


def test_keypoints_are_read_as_x_and_y_in_turn():
    task, _ = pose_task([1, 1, 1, 1])
    with torch.no_grad():
        task.net.head.fc2.bias.copy_(torch.arange(34.0) / 10)

    keypoints = _joints(outputs_of(task.net, CSI[:1])["keypoints"])[0]

    assert keypoints.shape == (17, 2)
    assert keypoints[3, 1] == torch.sigmoid(torch.tensor(0.7))


def count_task(persons, train_rows=(0, 1, 2, 3)) -> CountTask:
    windows = make_windows(4, persons=np.asarray(persons, dtype=np.int64))
    return CountTask(windows, np.asarray(train_rows), make_config("count"))


def test_absent_classes_weigh_nothing_and_present_ones_weigh_the_same_together():
    task = count_task([0, 0, 0, 2])

    assert task._class_weight.tolist() == pytest.approx([4 / 6, 0, 2, 0, 0, 0, 0, 0])
    assert task._class_weight[0] * 3 == pytest.approx(task._class_weight[2] * 1)


def test_class_weights_come_from_the_training_rows_alone():
    assert count_task([0, 2, 5, 5], train_rows=(0, 1))._class_weight.tolist() == [1, 0, 1, 0, 0, 0, 0, 0]


def test_the_count_loss_is_weighted_cross_entropy_plus_bce_plus_brier():
    persons = [0, 0, 0, 2]
    task = count_task(persons)
    silence(task.net)
    logits = np.asarray([0.3, -0.2, 0.9, 0, 0, 0, 0.1, -1])  # says 2
    conf = 0.4
    with torch.no_grad():
        task.net.count_head.fc2.bias.copy_(torch.from_numpy(logits))
        task.net.conf_head.fc2.bias.fill_(conf)

    weight = {0: 4 / 6, 2: 2.0}
    log_p = logits - math.log(np.exp(logits).sum())
    cross_entropy = -sum(weight[label] * log_p[label] for label in persons) / sum(weight[label] for label in persons)
    says = 1 / (1 + math.exp(-conf))
    bce = -np.mean([math.log(says if label == 2 else 1 - says) for label in persons])
    brier = np.mean([(says - (label == 2)) ** 2 for label in persons])

    assert loss_of(task).item() == pytest.approx(cross_entropy + 0.3 * bce + 0.1 * brier, rel=1e-5)


def test_the_brier_term_has_a_gradient():
    task = count_task([0, 0, 0, 2])
    silence(task.net)
    with torch.no_grad():
        task.net.count_head.fc2.bias[2] = 1.0
        task.net.conf_head.fc2.bias.fill_(0.4)

    loss_of(task).backward()

    says, right = 1 / (1 + math.exp(-0.4)), np.asarray([0, 0, 0, 1])
    of_bce = 0.3 * np.mean(says - right)
    of_brier = 0.1 * np.mean(2 * (says - right) * says * (1 - says))
    assert task.net.conf_head.fc2.bias.grad.item() == pytest.approx(of_bce + of_brier, rel=1e-5)
    assert abs(of_brier) > 0.05 * abs(of_bce)  # so the test would see it missing


def test_the_count_score_is_minus_the_mean_error():
    task = count_task([0, 2, 2, 1])
    silence(task.net)
    with torch.no_grad():
        task.net.count_head.fc2.bias[2] = 1.0

    assert score_of(task) == -0.75


@pytest.mark.parametrize("label", [-2, 8, 1000])
def test_counts_that_the_network_can_not_express_are_refused(label):
    with pytest.raises(TrainError, match=r"outside 0\.\.7"):
        count_task([0, 1, 2, label])


def test_a_window_is_followed_by_the_next_one_of_its_session_and_node():
    end_s = np.asarray([1.0, 1.0, 2.0, 2.0, 3.0, 5.5, 6.0, 1.5])
    node = np.asarray([0, 1, 0, 1, 0, 0, 0, 0])
    session = np.asarray([0, 0, 0, 0, 0, 0, 0, 1])
    windows = make_windows(8, start_s=end_s - 0.95, end_s=end_s, node=node, session=session)

    assert next_rows(windows, np.arange(8)).tolist() == [2, 3, 4, -1, -1, 6, -1, -1]  # 5 comes too long after 4
    assert next_rows(windows, np.asarray([0, 3, 4, 6])).tolist() == [-1] * 8  # 2 s after 0, and others do not train
    assert next_rows(windows, np.asarray([4, 2, 0])).tolist() == [2, -1, 4, -1, -1, -1, -1, -1]


def test_the_temporal_term_is_of_the_pairs_that_follow_each_other():
    windows = make_windows(4, weight=np.asarray([1.0, 0.5, 0.25, 1.0], dtype=np.float32))
    task = PoseTask(windows, np.asarray([0, 1, 3]), make_config(**{"loss.temporal": 0.3}))  # 2 is not trained on
    rows = torch.tensor([1, 0, 3])

    seen = task.inputs(rows)
    outputs = {"keypoints": torch.rand(6, 34)}
    term = task.terms(outputs, rows)["temporal"]

    assert seen.tolist() == [1, 0, 3, 1, 1, 3]
    predicted = outputs["keypoints"].reshape(6, 17, 2).numpy()
    moved = predicted[4] - predicted[1] - (windows.keypoints[1] - windows.keypoints[0])
    assert float(term.value) == pytest.approx(np.mean([smooth_l1(float(value)) for value in moved.ravel()]), rel=1e-5)
    assert float(term.amount) == 0.5  # the only pair is 0 and 1


@pytest.mark.parametrize("term", ["keypoint", "bone", "oks"])
def test_each_term_alone_teaches(term):
    """The loss that it is part of falls by a step against its gradient."""
    windows = make_windows(8)
    weights = {f"loss.{name}": float(name == term) for name in ("keypoint", "bone", "oks")}
    task = PoseTask(windows, np.arange(8), make_config(**weights))
    csi, rows = torch.from_numpy(windows.csi), torch.arange(8)
    assert list(task.weights) == [term]

    before = loss_of(task, csi, rows)
    before.backward()
    with torch.no_grad():
        for parameter in task.net.parameters():
            parameter.sub_(1e-2 * parameter.grad)

    assert loss_of(task, csi, rows) < before
