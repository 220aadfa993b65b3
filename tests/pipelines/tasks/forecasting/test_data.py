"""Windows of a series: nothing leaks, and each mistake about a file is told in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.tasks.forecasting import data as windows
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.scaling import standardized
from tests.pipelines.tasks.forecasting.examples import months as month_series
from tests.pipelines.tasks.forecasting.examples import series
from tests.pipelines.tasks.forecasting.examples import windows as series_windows


@given(
    count=st.integers(60, 200),
    history=st.integers(1, 20),
    horizon=st.integers(1, 8),
    data=st.data(),
)
def test_windows_hold_what_was_known_and_what_came_and_share_no_target(
    count, history, horizon, data
):
    train = data.draw(st.integers(history + horizon, count - 2 * horizon))
    validation = data.draw(st.integers(train + horizon, count - horizon))
    ends = {"train": train, "validation": validation, "test": count}
    cut = series(np.arange(count), season=1, history=history, horizon=horizon, ends=ends)
    seen: set[int] = set()
    start = history
    for split, end in ends.items():
        histories, futures = cut.histories(split), cut.futures(split)
        assert len(histories) == len(futures) == cut.sizes[split] == end - start - horizon + 1
        # The values are the steps' own numbers: each window runs on without a gap.
        whole = np.concatenate([histories, futures], axis=1)
        np.testing.assert_array_equal(np.diff(whole), 1)
        targets = {int(step) for step in futures.ravel()}
        assert targets == set(range(start, end))
        assert not targets & seen
        seen |= targets
        start = end


def test_examples_are_the_windows_in_standard_units():
    cut = series()
    known = cut.series[0].known()
    for split in ("train", "validation", "test"):
        examples = list(cut.split(split).as_numpy_iterator())
        assert len(examples) == cut.sizes[split]
        for (inputs, future, weight), history, came in zip(
            examples, cut.histories(split), cut.futures(split), strict=True
        ):
            assert inputs["history"].dtype == future.dtype == weight.dtype == np.float32
            assert inputs["level"].dtype == inputs["deviation"].dtype == np.float64
            level, deviation = inputs["level"], inputs["deviation"]
            assert (level, deviation) == (known.mean(), known.std())
            np.testing.assert_allclose(inputs["history"] * deviation + level, history, rtol=1e-6)
            np.testing.assert_allclose(future * deviation + level, came, rtol=1e-6)
            assert weight == pytest.approx(deviation / cut.series[0].scale(4))
        np.testing.assert_array_equal(cut.raw(split)["target"], cut.futures(split))


def test_the_scale_is_the_error_of_the_seasonal_naive_forecast_within_train():
    values = np.array([0, 0, 1, 3, 2, 6, 1000, -1000])
    ends = {"train": 6, "validation": 7, "test": 8}
    assert month_series(values, ends=ends).scale(2) == pytest.approx((1 + 3 + 1 + 3) / 4)


def test_windows_that_overlap_are_in_blocks_of_a_horizon():
    columns = series(horizon=3).raw("test")
    assert columns["block"].tolist()[:7] == [0, 0, 0, 1, 1, 1, 2]
    assert set(columns["scale"]) == {series().series[0].scale(4)}


@given(
    counts=st.lists(st.integers(60, 120), min_size=2, max_size=4),
    history=st.integers(1, 12),
    horizon=st.integers(1, 6),
)
@settings(max_examples=15)
def test_windows_and_blocks_of_several_series_join_none(counts, history, horizon):
    """The values of series n are n thousand and the numbers of its steps."""
    random = np.random.default_rng(0)
    parts = [
        month_series(1000 * n + np.arange(count) + random.random(count) * 1e-6, f"{n}")
        for n, count in enumerate(counts)
    ]
    cut = series_windows(*parts, season=1, history=history, horizon=horizon)
    for split in ("train", "validation", "test"):
        whole = np.concatenate([cut.histories(split), cut.futures(split)], axis=1)
        ((inputs, future, _),) = cut.split(split).batch(len(whole)).as_numpy_iterator()
        expected = standardized(whole, *cut.scaling.of(whole[:, :history], np)).astype(np.float32)
        np.testing.assert_array_equal(np.concatenate([inputs["history"], future], 1), expected)
        np.testing.assert_allclose(np.diff(whole), 1, atol=1e-5)
        raw = cut.raw(split)
        owner = whole[:, 0] // 1000
        assert sorted(set(owner)) == list(range(len(counts)))
        for block in np.unique(raw["block"]):
            assert len(set(owner[raw["block"] == block])) == 1
        assert np.all(np.diff(raw["block"]) >= 0)
        assert max(np.bincount(raw["block"])) <= horizon
        for n, part in enumerate(parts):
            assert set(raw["scale"][owner == n]) == {part.scale(1)}
        assert len(whole) == cut.sizes[split]


@pytest.fixture
def months(tmp_path) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "month": pd.date_range("1990-01-01", periods=100, freq="MS").astype(str),
            "sales": random.normal(100, 10, 100).round(3),
        }
    )


def load(path: Path, **choices) -> windows.SeriesData:
    return windows.load(ForecastingConfig(dataset=str(path), history=8, horizon=3, **choices))


def written(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


def test_a_csv_file_and_a_parquet_file_of_the_same_are_the_same(tmp_path, months):
    one = load(written(months, tmp_path / "our sales.csv"))
    other = load(written(months, tmp_path / "our sales.parquet"))
    dated = months.assign(month=pd.to_datetime(months["month"])).set_index("month")
    indexed = load(written(dated, tmp_path / "indexed.parquet"))
    assert one.name == other.name == "our_sales"
    assert one.digest == other.digest
    assert one.series[0].ends == {"train": 70, "validation": 85, "test": 100}
    assert one.season == 1
    for data in (one, other, indexed):
        np.testing.assert_array_equal(data.series[0].values, months["sales"])
        assert data.series[0].times[1] == np.datetime64("1990-02-01")


def test_the_digest_changes_with_a_value_and_with_a_time(tmp_path, months):
    before = load(written(months, tmp_path / "a.csv")).digest
    assert load(written(months, tmp_path / "b.csv")).digest == before
    value, time = months.copy(), months.copy()
    value.loc[7, "sales"] += 0.001
    time["month"] = pd.date_range("1990-02-01", periods=100, freq="MS").astype(str)
    digests = {load(written(table, tmp_path / "a.csv")).digest for table in (months, value, time)}
    assert len(digests) == 3


def test_a_column_is_chosen_by_name_and_a_season_by_its_length(tmp_path, months):
    months["returns"] = np.arange(100.0) ** 2
    path = written(months, tmp_path / "sales.csv")
    data = load(path, column="returns", season=12)
    np.testing.assert_array_equal(data.series[0].values, np.arange(100) ** 2)
    assert data.season == 12


def test_a_single_column_has_its_steps_counted(tmp_path, months):
    data = load(written(months[["sales"]], tmp_path / "sales.csv"))
    np.testing.assert_array_equal(data.series[0].times, np.arange(100))
    assert data.notes == [
        f"no column of {tmp_path}/sales.csv is taken as the time: each row is one step"
    ]


@pytest.mark.parametrize(
    ("change", "choices", "message"),
    [
        ({}, {"column": "sale"}, "has no column 'sale'; it has: month, sales"),
        ({}, {"column": "month"}, "column 'month' of .* is not numeric, as '1990-01-01'"),
        ({"tax": 1.0}, {}, "has 2 numeric columns to forecast; choose one .*: month, sales, tax"),
        ({"sales": "a"}, {}, "needs a column of numbers, .* its columns are month, sales"),
        ({"sales": [1.0] * 4 + [None] * 96}, {}, "line 6: the value is missing, and in 95 more"),
        ({"sales": [np.inf] + [0.0] * 99}, {}, "line 2: 'sales' is infinite: 'inf'"),
        ({"sales": 7}, {}, "is constant: every value is 7; there is nothing to learn"),
        ({"sales": [7] * 70 + [*range(30)]}, {}, "is constant in train: every value is 7"),
        ({"sales": [1, 2] * 50}, {"season": 2}, "repeats itself exactly every 2 steps"),
        ({}, {"season": 36}, "sales.csv is too short: of its 100 steps train has 70"),
        ({"month": "soon"}, {}, "line 2: 'month' has no times that are known, as 'soon'"),
        (
            {"month": [1, 2, 3, 3, *range(4, 100)]},
            {},
            "line 5: 3 is there twice, .* in line 4",
        ),
    ],
)
def test_a_file_that_cannot_be_forecast_is_the_users_mistake(
    tmp_path, months, change, choices, message
):
    path = written(months.assign(**change), tmp_path / "sales.csv")
    with pytest.raises(UserError, match=message) as raised:
        load(path, **choices)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("steps", [11, 30])
def test_a_series_shorter_than_its_windows_is_the_users_mistake(tmp_path, months, steps):
    path = written(months.iloc[:steps], tmp_path / "sales.csv")
    with pytest.raises(UserError, match=f"too short: of its {steps} steps"):
        windows.load(ForecastingConfig(dataset=str(path), history=8, horizon=5))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no file"),
        ("empty.csv", b"", "empty.csv has no rows"),
        ("binary.csv", bytes(range(256)), "is not UTF-8, UTF-16 or Latin-1"),
        ("text.parquet", b"month,sales\n", "cannot be read as Parquet"),
        ("text.txt", b"month,sales\n", "forecasting needs a table .* but .* holds one .txt file"),
    ],
)
def test_a_file_that_cannot_be_read_is_the_users_mistake(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        load(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_an_bundled_series_is_whole_in_order_and_knows_its_season(bundled):
    folder = str(bundled("co2").data_path.parent.parent.parent)
    chosen = ForecastingConfig(dataset="co2", history=24, horizon=12, data_dir=folder)
    data = windows.load(chosen)
    assert (data.name, data.season, len(data.series[0].values)) == ("co2", 12, 526)
    assert data.series[0].ends == {"train": 368, "validation": 447, "test": 526}
    assert np.all(np.diff(data.series[0].times) > np.timedelta64(27, "D"))
    assert data.series[0].values[0] == pytest.approx(316.1, abs=1.5)
    assert windows.load(replace(chosen, season=6)).season == 6
    with pytest.raises(UserError, match="--column is for your own files, not for 'co2'"):
        windows.load(replace(chosen, column="value"))
    with pytest.raises(UserError, match="--group is for your own files, not for 'co2'"):
        windows.load(replace(chosen, group="value"))


def test_a_set_that_is_no_series_is_the_users_mistake(bundled):
    folder = str(bundled("digits").data_path.parent.parent.parent)
    with pytest.raises(
        UserError, match="digits is not a time series; the bundled ones are: elnino, sunspots"
    ):
        windows.load(ForecastingConfig(dataset="digits", data_dir=folder))


@pytest.fixture
def shops(tmp_path) -> Path:
    """Three shops, each its own size; the third has few rows."""
    random = np.random.default_rng(0)
    rows = [
        f"{day},{shop},{size * (10 + random.normal()):.2f}"
        for shop, size, count in (("Oslo", 1, 100), ("Rome", 1000, 100), ("Lima", 1, 9))
        for day in np.datetime64("2021-01-01") + np.arange(count)
    ]
    path = tmp_path / "shops.csv"
    path.write_text("\n".join(["day,shop,units", *rows]))
    return path


def test_several_series_are_standardized_by_window_and_short_ones_named(shops):
    with pytest.raises(UserError, match="series 'Lima', is too short: of its 9 steps") as raised:
        load(shops, group="shop")
    assert "--skip_bad true" in str(raised.value)
    data = load(shops, group="shop", skip_bad=True)
    assert [one.name for one in data.series] == ["Oslo", "Rome"]
    assert data.left_out == {"train": 6, "validation": 2, "test": 1}
    assert data.notes[0].startswith("1 of 3 series are left out: ")
    assert data.scaling.level is None
    with pytest.raises(UserError, match=r"--scaling series is for one series, and .* has 2"):
        load(shops, group="shop", skip_bad=True, scaling="series")


def test_one_series_is_standardized_by_itself_unless_told_otherwise(tmp_path, months):
    path = written(months, tmp_path / "sales.csv")
    assert load(path).scaling.level == pytest.approx(months["sales"][:70].mean())
    assert load(path, scaling="window").scaling.level is None


def test_some_windows_are_spread_over_each_split_of_each_series(shops):
    whole = load(shops, group="shop", skip_bad=True)
    data = load(shops, group="shop", skip_bad=True, max_examples=6)
    each = -(-6 // len(data.series))
    for split in data.sizes:
        for some, every in zip(data.origins(split), whole.origins(split), strict=True):
            assert len(some) == min(each, len(every))
            assert set(some) <= set(every)
            assert {every[0], every[-1]} <= set(some)
        assert (
            data.sizes[split] == sum(map(len, data.origins(split))) == len(data.raw(split)["block"])
        )
    assert data.digest != whole.digest
