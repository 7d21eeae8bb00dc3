from __future__ import annotations

from pathlib import Path

import pytest

from service.embedded.errors import FolderUnusable, NotOurFolder
from service.embedded.folder import DataFolder


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FolderUnusable, match=r"file/data can't be used: Not a directory; give a data folder"):
        DataFolder(tmp_path / "file" / "data").open()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotOurFolder, match="is not a folder"):
        DataFolder(tmp_path / "file").open()
