"""Which HTTP methods a path takes."""

__all__ = ["MethodRefused", "allow"]


class MethodRefused(Exception):
    """A method that is not for a path."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"method {method} is not for this path; expected {allowed[0]}")


def allow(method: str, *allowed: str) -> None:
    """Raise MethodRefused for another method than these."""
    if method not in allowed:
        raise MethodRefused(method, allowed)
