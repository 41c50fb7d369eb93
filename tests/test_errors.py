"""What every error does, whatever it names."""

from cogd.errors import CogdError


def test_a_terminal_does_not_obey_what_an_error_names():
    error = CogdError('no field "\n\x1b[2J\x9b\u2028\u202e\udc80" - \u00e9\u4e2d')
    assert str(error) == r'no field "\n\x1b[2J\x9b\u2028\u202e\udc80" - ' + "\u00e9\u4e2d"
    assert str(error).isprintable()
