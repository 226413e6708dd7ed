"""What a folder of labelled images means."""

import os
from pathlib import Path

import pytest

from icecore.cli.folders import classes_of, image_files, labelled_files
from icecore.cli.mistakes import Mistake


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_a_sub_folder_is_a_class_and_an_id_is_the_relative_path(tmp_path: Path) -> None:
    _touch(tmp_path, "bee/2.jpg", "ant/1.jpg", "ant/nest/3.jpg", "bee/10.jpg")
    found = [(file.example_id, file.label) for file in labelled_files(tmp_path)]
    assert found == [
        ("ant/1.jpg", "ant"),
        ("ant/nest/3.jpg", "ant"),
        ("bee/10.jpg", "bee"),
        ("bee/2.jpg", "bee"),
    ]


def test_ids_do_not_depend_on_how_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(tmp_path, "d/ant/1.jpg", "d/bee/1.jpg")
    monkeypatch.chdir(tmp_path / "d")
    ids = [
        [file.example_id for file in labelled_files(Path(name))]
        for name in (".", "../d", str(tmp_path / "d"))
    ]
    assert ids[0] == ids[1] == ids[2] == ["ant/1.jpg", "bee/1.jpg"]


def test_loose_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    _touch(tmp_path, "index.csv", "ant/1.jpg", "ant/.DS_Store", "ant/Thumbs.db", ".git/x/y.jpg")
    assert [file.example_id for file in labelled_files(tmp_path)] == ["ant/1.jpg"]


def test_a_class_may_be_a_link_to_a_folder(tmp_path: Path) -> None:
    _touch(tmp_path / "elsewhere", "1.jpg")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "ant").symlink_to(tmp_path / "elsewhere")
    assert [file.example_id for file in labelled_files(tmp_path / "d")] == ["ant/1.jpg"]


def test_what_holds_no_class_is_refused_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _touch(tmp_path / "loose", "1.jpg", "2.jpg")
    (tmp_path / "hollow" / "ant").mkdir(parents=True)
    sentences = {
        "nowhere": "'nowhere' does not exist; it must be a folder with one sub-folder a class",
        "loose/1.jpg": "'loose/1.jpg' is no folder; "
        "it must be a folder with one sub-folder a class",
        "empty": "folder 'empty' is empty: put images into CLASS/FILE below it",
        "loose": "folder 'loose' has 2 loose files, but no sub-folder a class: "
        "put images into CLASS/FILE below it",
        "hollow": "class folder 'hollow/ant' holds no image: add some, or take the folder away",
    }
    os.chdir(tmp_path)
    for name, sentence in sentences.items():
        with pytest.raises(Mistake) as caught:
            labelled_files(Path(name))
        assert str(caught.value) == sentence


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    with pytest.raises(Mistake, match="is not UTF-8, and ids are: rename the file"):
        labelled_files(tmp_path)


def test_paths_are_files_in_the_order_given_and_folders_whole(tmp_path: Path) -> None:
    _touch(tmp_path, "z.jpg", "d/b.jpg", "d/a/c.jpg", "d/.hidden")
    (tmp_path / "none").mkdir()
    found = image_files([tmp_path / "z.jpg", tmp_path / "d"])
    assert [path.name for path in found] == ["z.jpg", "b.jpg", "c.jpg"]
    with pytest.raises(Mistake, match="holds no image"):
        image_files([tmp_path / "none"])
    with pytest.raises(Mistake, match="does not exist"):
        image_files([tmp_path / "nowhere"])


def test_classes_are_counted_by_name(tmp_path: Path) -> None:
    _touch(tmp_path, "b/1", "b/2", "a/1")
    assert list(classes_of(labelled_files(tmp_path)).items()) == [("a", 1), ("b", 2)]
