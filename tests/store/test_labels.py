"""What a manifest's columns become: no digit lost, names that every file system takes."""

import numpy as np
import pytest

from hpss_batch.store.labels import NAME_BYTES, column_values, variable_name


@pytest.mark.parametrize(
    ("texts", "dtype", "values"),
    [
        (["1999", "2003"], np.int64, [1999, 2003]),
        (["9007199254740993", "-9223372036854775808"], np.int64, [2**53 + 1, -(2**63)]),
        (["18446744073709551615", "0"], np.uint64, [2**64 - 1, 0]),
        (["1999", ""], np.float64, [1999, np.nan]),
        (["0.5", "-3", "+1", "1e-05", "2.5e7", ".5", "nan"], np.float64, [0.5, -3, 1, 1e-5, 2.5e7, 0.5, np.nan]),
        (["9007199254740993", ""], object, ["9007199254740993", ""]),
        (["18446744073709551616", "1"], object, ["18446744073709551616", "1"]),
        (["-1", "18446744073709551615"], object, ["-1", "18446744073709551615"]),
        (["9" * 5000], object, ["9" * 5000]),
        (["1e5", "12e456"], object, ["1e5", "12e456"]),
        (["1.5e+456", "1"], object, ["1.5e+456", "1"]),
        (["1999", "unknown"], object, ["1999", "unknown"]),
        (["007"], object, ["007"]),
        (["1_000", "12:30", "٣", "0x10"], object, ["1_000", "12:30", "٣", "0x10"]),
        (["nan", "inf"], object, ["nan", "inf"]),
        (["", ""], object, ["", ""]),
        ([], object, []),
    ],
)  # fmt: skip
def test_values_keep_every_digit(texts: list[str], dtype: type, values: list[object]) -> None:
    found = column_values(texts)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.array(values, dtype))


def test_names_are_one_folder_and_distinct() -> None:
    columns = [
        "a/b",
        "a%2Fb",
        "a\\b",
        "..",
        "x/../y",
        "é" * 300,
        "é" * 301,
        "\0",
        "a\nb",
        "%",
        "\udce9",
        "a b",
        "a",
    ]
    names = [variable_name(column) for column in columns]
    assert len(set(names)) == len(columns)
    for name in names:
        assert name.startswith("meta_")
        assert len(name.encode()) <= NAME_BYTES
        assert name.isprintable()
        assert not {"/", "\\"} & set(name)
