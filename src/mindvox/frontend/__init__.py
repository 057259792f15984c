"""Front ends (`FRONT_ENDS` in the registry), augmentation, and cutting of features; all of it works on arrays."""

from mindvox.frontend.front_end import FrontEnd, check_front_end, front_end_of

__all__ = ["FrontEnd", "check_front_end", "front_end_of"]
