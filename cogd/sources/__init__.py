"""Sources: plugins that turn a URL into frames."""
