"""What every error does, whatever it names."""

from cogd.errors import CogdError


def test_a_terminal_does_not_obey_what_an_error_names():
    error = CogdError('no field "\n\x1b[2J\x9b\u2028\x7f" - \u00e9\u4e2d')
    assert str(error) == r"""no field "\n\x1b[2J\x9b\u2028\x7f" - é中"""
    assert str(error).isprintable()
