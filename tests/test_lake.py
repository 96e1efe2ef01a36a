"""Tables for lakes, read back by another engine."""

import duckdb
import numpy as np
import pytest
from deltalake import DeltaTable

from mmvideo import LibraryError
from mmvideo.cli import main
from mmvideo.datatypes import ModelId, Recipe
from mmvideo.lake import write_tables
from mmvideo.store import SQLiteStore
from mmvideo.store.postgres import PostgresStore

from .test_store import content


@pytest.fixture(params=["folder", "server"])
def store(request, tmp_path):
    if request.param == "folder":
        (tmp_path / "l.mmv").mkdir()
        SQLiteStore.create(tmp_path / "l.mmv" / "library.db", Recipe())
        opened = SQLiteStore.open(tmp_path / "l.mmv" / "library.db")
    else:
        opened = PostgresStore.open(request.getfixturevalue("database").url(), Recipe(), create=True)
    with opened:
        opened.set_model("visual", ModelId("clip", "v1", 8))
        opened.set_model("passages", ModelId("minilm", "p1", 4))
        opened.put(content("/films/ünï.mp4"))
        opened.put(content("/films/b.mp4", texts=("One.", "Two.", "Three."), seed=2))
        yield opened


@pytest.mark.parametrize("form", ["delta", "parquet"])
def test_duckdb_reads_what_the_library_holds(store, tmp_path, form):
    places = write_tables(store, tmp_path / "lake", form=form)
    assert [place.name for place in places] == (
        ["visual", "speech"] if form == "delta" else ["visual.parquet", "speech.parquet"]
    )
    with duckdb.connect() as db:
        for place, modality, model in zip(places, ("visual", "speech"), ("clip", "minilm"), strict=True):
            # What is in a Delta table its log says; other files beside them would not count.
            files = [str(place)] if form == "parquet" else DeltaTable(str(place)).file_uris()
            rows = db.execute(
                """SELECT id, key, path, start, "end", text, modality, model, vector
                FROM read_parquet(?) ORDER BY id""",
                [files],
            ).fetchall()
            ids, vectors = next(store.vectors(modality))
            np.testing.assert_array_equal([row[-1] for row in rows], vectors)
            assert [row[0] for row in rows] == ids.tolist()
            assert len({row[1] for row in rows}) == len(rows)
            assert {row[6:8] for row in rows} == {(modality, model)}
            for row, segment in zip(rows, store.segments(ids.tolist()), strict=True):
                held = segment.segment
                assert row[3:6] == (held.start, held.end, held.text)
            assert {row[2] for row in rows} == {"/films/ünï.mp4", "/films/b.mp4"}


def test_a_table_has_what_a_vector_index_asks_for(store, tmp_path):
    table = DeltaTable(str(write_tables(store, tmp_path, modalities=["speech"])[0]))
    types = {field.name: (field.type.to_json(), field.nullable) for field in table.schema().fields}
    assert types["key"] == ('"string"', False)
    assert '"elementType":"float"' in types["vector"][0]
    assert types["text"][1]
    assert table.metadata().configuration["delta.enableChangeDataFeed"] == "true"


def test_writing_again_is_a_new_version(store, tmp_path):
    write_tables(store, tmp_path)
    store.remove(store.media_ids()[0])
    (place, _) = write_tables(store, tmp_path)
    table = DeltaTable(str(place))
    assert table.version() == 1
    assert table.to_pyarrow_table().num_rows == 3
    table.load_as_version(0)
    assert table.to_pyarrow_table().num_rows == 6


def test_the_command_line_writes_tables(tmp_path, capsys):
    (tmp_path / "l.mmv").mkdir()
    SQLiteStore.create(tmp_path / "l.mmv" / "library.db", Recipe())
    with SQLiteStore.open(tmp_path / "l.mmv" / "library.db") as store:
        store.set_model("visual", ModelId("clip", "v1", 8))
        store.put(content())
    options = [
        "export",
        "-l",
        str(tmp_path / "l.mmv"),
        "--delta",
        str(tmp_path / "d"),
        "--parquet",
        str(tmp_path / "p"),
    ]
    assert main(options) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "d" / "visual"), str(tmp_path / "p" / "visual.parquet")]
    assert DeltaTable(str(tmp_path / "d" / "visual")).to_pyarrow_table().num_rows == 3


def test_a_folder_that_cannot_be_written_is_told(store, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for form in ("delta", "parquet"):
        with pytest.raises(LibraryError, match="cannot be written"):
            write_tables(store, tmp_path / "file", form=form)
