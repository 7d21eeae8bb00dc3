"""The demonstration: the main job on embedded servers, with a bundled stream, told live in the terminal."""
