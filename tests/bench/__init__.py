"""Speed, measured side by side in one run: each number stands beside its peer's, as a ratio with its spread."""
