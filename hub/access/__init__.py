"""Who may come in: host names, origins, tokens, rates and places. Knows no hub."""

__all__: list[str] = []
