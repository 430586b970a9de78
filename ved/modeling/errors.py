"""The error that ved.modeling explains to users."""


class ModelingError(ValueError):
    """A checkpoint, a setting or an argument that these models do not compute.

    The message names it, and says what to do.
    """
