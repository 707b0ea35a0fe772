"""The command line: flags, logs, and the terminal client."""

__all__: list[str] = []
