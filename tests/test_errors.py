"""What every error does, whatever it names."""

import ast
from pathlib import Path

import cogd
from cogd.errors import CogdError

TRAINER = Path(cogd.__path__[0]) / "train"


def test_the_trainers_errors_name_no_verb_of_the_daemon_that_shows_settings():
    """`cogd config show` knows nothing of a training's configuration: an error of the trainer must not send there."""
    texts = [
        (path.name, node.value)
        for path in TRAINER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(texts) > 1000
    assert [text for text in texts if "cogd config" in text[1]] == []


def test_a_bad_value_is_never_told_without_what_helps():
    hints = [
        (path, node.lineno)
        for path in Path(cogd.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ConfigError"
        if not any(keyword.arg == "hint" for keyword in node.keywords)
    ]
    assert hints == []


def test_a_terminal_does_not_obey_what_an_error_names():
    error = CogdError('no field "\n\x1b[2J\x9b\u2028\u202e\udc80" - \u00e9\u4e2d')
    assert str(error) == r'no field "\n\x1b[2J\x9b\u2028\u202e\udc80" - ' + "\u00e9\u4e2d"
    assert str(error).isprintable()
