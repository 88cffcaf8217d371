"""Small CSV files read as text, with one line for whatever is wrong in them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw8.base.errors import InputError, error_reason

if TYPE_CHECKING:
    import pandas as pd

# Bytes, chosen by hand: about ten million rows. As text in pandas a table takes several times its size, so that a
# larger file might not fit into memory.
MAX_BYTES = 500_000_000
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def read_table(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...] = (), any_case: bool = False
) -> "pd.DataFrame":
    """Read a CSV file with exactly these columns, in this order, as text; their names may be in `any_case`.

    Raises InputError if it is missing, not a CSV file, not UTF-8, has other columns, or no rows.
    """
    import pandas as pd

    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the CSV file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        with path.open("rb") as file:
            table = pd.read_csv(file, dtype=str, keep_default_na=False, skip_blank_lines=False)
        while len(table) and not "".join(table.iloc[-1]):  # blank lines at the end, which editors leave
            table = table.iloc[:-1]
        if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus fields for an index
            raise ValueError("its rows have more fields than its header")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error_reason(error)}); check the name") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except ValueError as error:
        raise InputError(f"{path}: not a CSV file ({error_reason(error)}); write it again") from None
    table.columns = [str(name).strip() for name in table.columns]
    columns = list(table.columns)
    if any_case:
        spelling = {name.lower(): name for name in (*required, *optional)}
        table.columns = [spelling.get(name.lower(), name) for name in columns]
    if list(table.columns) not in (list(required), [*required, *optional]):
        expected = ",".join(required) + "".join(f"[,{name}]" for name in optional)
        hint = "; separate columns by commas" if len(columns) == 1 and {*";\t"} & {*columns[0]} else ""
        raise InputError(f"{path}: its header is {','.join(columns)[:80]!r}; it must be {expected}{hint}")
    if table.empty:
        raise InputError(f"{path}: holds no rows; write it again")
    return table


def numbers(path: Path, table: "pd.DataFrame", column: str) -> np.ndarray:
    """Return a column as float64 (N,). Raises InputError naming the first line that is not a finite number."""
    text = table[column].str.strip()
    # Converted by Python, exactly: pandas before 3.1 errs in the last digit.
    values = text.where(text.str.fullmatch(NUMBER), "nan").to_numpy(object).astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"{path}: line {row + 2}: {column} {text[row]!r} is not a finite number")
    return values


def ids_in_order(path: Path, table: "pd.DataFrame") -> np.ndarray:
    """Return the row numbers (N,) that sort the table by ID.

    Raises InputError unless every ID from 0 to N-1 stands exactly once.
    """
    digits = table["ID"].str.fullmatch("[0-9]{1,15}").to_numpy(bool)  # 15 digits fit into int64
    if not digits.all():
        row = int((~digits).argmax())
        raise InputError(f"{path}: line {row + 2}: ID {table['ID'][row]!r} is not a row number")
    ids = table["ID"].to_numpy().astype(np.int64)
    order = np.argsort(ids, kind="stable")
    wrong = ids[order] != np.arange(len(ids))
    if wrong.any():
        expected = int(wrong.argmax())
        actual = ids[order][expected]
        reason = f"ID {expected} is missing" if actual > expected else f"ID {actual} stands twice"
        raise InputError(f"{path}: every ID from 0 to {len(ids) - 1} must stand once; {reason}")
    return order
