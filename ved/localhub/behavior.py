"""The ways in which Hubs differ, each of which a test can switch on."""

from dataclasses import dataclass


@dataclass
class Behavior:
    """How a hub answers where the real Hub differs from a plain one.

    Every attribute may be changed at any time, from any thread. The defaults are those of a plain
    hub.

    Attributes:
        small_file_redirects: whether the address of a small file redirects to another address of
            the hub.
        error_codes: whether errors have the header X-Error-Code. Some Hubs send none.
    """

    small_file_redirects: bool = False
    error_codes: bool = True

    @classmethod
    def of_production(cls) -> "Behavior":
        """Return the behavior of https://huggingface.co, as far as it is known."""
        return cls(small_file_redirects=True)
