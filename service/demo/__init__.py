"""The demonstration: the main job on embedded servers, with a bundled stream, told live in the terminal."""

from service.demo.run import run

__all__ = ["run"]
