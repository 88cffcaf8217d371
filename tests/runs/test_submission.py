import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw8.base.errors import InputError
from hw8.base.files import atomic_write
from hw8.runs.submission import check_submission, read_submission, write_submission

GOOD = "ID,score\n0,1.5\n1,-2\n2,3e-5\n"


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "submission.csv"
        path.write_text(text)
        return path

    return write


def test_writes_what_kaggle_takes(tmp_path):
    path = tmp_path / "new" / "submission.csv"
    write_submission(path, np.array([0.25, 1e-9, 3.0]))
    assert path.read_text() == "ID,score\n0,0.25\n1,1e-09\n2,3.0\n"
    assert [item.name for item in path.parent.iterdir()] == ["submission.csv"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, unique=True, max_size=30))
def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path_factory, scores):
    path = tmp_path_factory.mktemp("submission") / "submission.csv"
    write_submission(path, np.array(scores))
    assert read_submission(path, len(scores)).tolist() == scores


def test_reads_a_good_file(file):
    assert read_submission(file(GOOD), 3).tolist() == [1.5, -2, 3e-5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("ID", "id"), "its header is 'id,score'; it must be ID,score"),
        (GOOD.replace("ID,score\n", ""), "its header is '0,1.5'"),
        (GOOD.replace("score", "score,rank"), "its header is 'ID,score,rank'|not a CSV"),
        (GOOD.replace("1,-2\n", ""), "has 2 rows, but the test set has 3 images"),
        (GOOD.replace("1,-2", "0,-2"), "ID 1 is missing|stands twice"),
        (GOOD.replace("1,-2", "1.5,-2"), "line 3: ID '1.5' is not a row number"),
        ("ID,score\n7,0,1\n7,1,2\n8,2,3\n", "its rows have more fields than its header"),
        ("ID,score\n1,2\n0,1\n2,3\n", "line 2: IDs must rise from 0 in order"),
        (GOOD.replace("-2", "nan"), "line 3: score 'nan' is not a finite number"),
        (GOOD.replace("-2", "inf"), "line 3: score 'inf' is not a finite number"),
        (GOOD.replace("-2", ""), "line 3: score '' is not a finite number"),
        (GOOD.replace("-2", "high"), "line 3: score 'high' is not a finite number"),
        (GOOD.replace("-2", "6E 2"), "line 3: score '6E 2' is not a finite number"),
        (GOOD.replace("-2", "1_0"), "line 3: score '1_0' is not a finite number"),
        (GOOD.replace("1,-2\n", "1,-2\n\n"), "line 4|not a CSV"),
        ("", "not a CSV file"),
        ("ID,score\n", "holds no rows"),
    ],
)
def test_bad_files_get_one_line(file, text, words):
    path = file(text)
    with pytest.raises(InputError, match=words) as caught:
        read_submission(path, 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_text_file_at_all(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not a CSV file|its header"):
        read_submission(path)


def test_a_file_that_ranks_nothing_is_not_fit_to_upload(file):
    with pytest.raises(InputError, match="every score is 4"):
        check_submission(file("ID,score\n0,4\n1,4\n"), 2)


@pytest.mark.parametrize("scores", [[1.0, np.nan], [2.0, 2.0], [np.inf, 1.0]])
def test_bad_scores_leave_no_file_and_an_old_one_alone(tmp_path, scores):
    path = tmp_path / "submission.csv"
    with pytest.raises(InputError):
        write_submission(path, np.array(scores))
    assert list(tmp_path.iterdir()) == []
    path.write_text(GOOD)
    with pytest.raises(InputError):
        write_submission(path, np.array(scores))
    assert path.read_text() == GOOD
    assert [item.name for item in tmp_path.iterdir()] == ["submission.csv"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as aside:
        aside.write_text("new, but")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with pytest.raises(InputError, match="could not be written"), atomic_write(path) as aside:
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.txt"]
