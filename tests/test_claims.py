"""Claims and pages: made-up rows with a known effect, told from rows without one, and how rows are shown."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest

from geofix import papers
from geofix.cli.paper_tables import claims_page, paper_page, progress_line, rows_csv, write_tables
from geofix.data.places import Dataset, Split
from geofix.evaluate import Scores
from geofix.files import is_file
from geofix.metrics import NEVER, holm
from geofix.papers import Claim, Row
from geofix.photos import Photo
from geofix.positions import Position
from geofix.reproduce.claims import CONTRARY, HOLDS, UNTOLD, Look, Verdict, judged
from geofix.reproduce.pace import Pace
from geofix.reproduce.rows import NIGHTS_NEEDED, Bench, RowResult, queries_of

QUERIES, GROUP = 120, 4  # three by day, one at night
A, B, C, D = "martin/3/vanilla", "martin/3/adamw", "martin/3/asgd", "martin/6/m2"
NEEDY = "atadjanov/2/night-set-gem"


def made_up(
    out: Path, conditions: tuple[str | None, ...] = ("day", "day", "day", "night"), name: str = "town"
) -> Bench:
    """A bench on a dataset without files: queries in groups of GROUP, one photo in the gallery."""
    spot = Position(52.2, 0.12)
    queries = tuple(
        Photo(
            f"{number:03d}.jpg", Path("nowhere"), spot, group=str(number // GROUP), condition=conditions[number % GROUP]
        )
        for number in range(QUERIES)
    )
    split = Split("test", (Photo("gallery.jpg", Path("nowhere"), spot),), queries)
    return Bench((Dataset(Path("data") / name, "made up", {"test": split}),), out)


def scored(hits: np.ndarray, at: int = 1) -> Scores:
    """Scores whose recall at `at` is that of `hits`, and 0 below."""
    protocol = {
        "split": "test", "split_hash": "abc", "pretrained": "none", "weights": None, "random_tensors": 0, "epochs": 1,
        "image_size": [32, 64],
    }  # fmt: skip
    return Scores(
        recall={n: float(hits.mean()) * (n >= at) for n in (1, 5, 10, 20)},
        recall_ci95=dict.fromkeys((1, 5, 10, 20), (0.0, 1.0)),
        queries=len(hits),
        answerable=len(hits),
        gallery=1,
        protocol=protocol,
        names=tuple(f"{number:03d}.jpg" for number in range(len(hits))),
        clusters=tuple(str(number // GROUP) for number in range(len(hits))),
        ranks=np.where(hits, at - 1, NEVER),
    )


def result(name: str, *seeds: np.ndarray, at: int = 1, **fields: object) -> RowResult:
    """A row with the hits of each seed."""
    scores = {"town": tuple(scored(hits, at) for hits in seeds)} if seeds else {}
    return RowResult(papers.open_row(name), scores, **fields)  # type: ignore[arg-type]


def some(share: float, seed: int = 0) -> np.ndarray:
    """Hits of that share of the queries; a larger share of the same seed has them all and more."""
    return np.random.default_rng(seed).random(QUERIES) < share


def judge(monkeypatch: pytest.MonkeyPatch, bench: Bench, claims: list[Claim], *results: RowResult) -> list[Verdict]:
    """The verdicts on claims of our own; rows without a result were not run."""
    known = {one.row.name: one for one in results}

    def look(row: Row) -> RowResult:
        return known.get(row.name, RowResult(row, problem="not run yet"))

    monkeypatch.setattr(papers, "claims", lambda: tuple(claims))
    return judged(bench, look)


def claim(more: tuple[str, ...], less: tuple[str, ...], **fields: object) -> Claim:
    return Claim("ours", "More is more", "nowhere", more=more, less=less, **fields)  # type: ignore[arg-type]


# -- one claim ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("more", "less", "verdict"), [(A, B, HOLDS), (B, A, CONTRARY), (A, A, UNTOLD)])
def test_what_is_beyond_chance_and_on_which_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, less: str, verdict: str
) -> None:
    rows = result(A, some(0.7)), result(B, some(0.4))
    [found] = judge(monkeypatch, made_up(tmp_path), [claim((more,), (less,))], *rows)
    assert (found.verdict, found.data, found.seeds, found.missing) == (verdict, "town", 1, "")
    assert found.agrees == (verdict == HOLDS)
    assert found.p == found.corrected_p


def test_a_small_difference_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = some(0.5)
    other = one.copy()
    other[np.flatnonzero(~one)[:2]] = True
    [found] = judge(monkeypatch, made_up(tmp_path), [claim((A,), (B,))], result(A, other), result(B, one))
    assert (found.verdict, found.agrees) == (UNTOLD, True)
    assert found.whole is not None
    assert found.whole.value == pytest.approx(2 / QUERIES)


def test_the_whole_is_the_mean_over_pairs_and_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row with the fewest seeds says how many are looked at."""
    shares = ((A, 0.3), (B, 0.4), (C, 0.6), (D, 0.7))
    hits = {name: [some(share, 10 * row + seed) for seed in range(3)] for row, (name, share) in enumerate(shares)}
    rows = [result(name, *hits[name][: 2 if name == C else 3]) for name in hits]
    [found] = judge(monkeypatch, made_up(tmp_path), [claim((C, D, D), (A, B, A))], *rows)
    mean = {name: np.mean([one.mean() for one in seeds[:2]]) for name, seeds in hits.items()}
    pairs = [mean[C] - mean[A], mean[D] - mean[B], mean[D] - mean[A]]
    assert found.seeds == 2
    assert found.whole is not None
    assert found.whole.value == pytest.approx(np.mean(pairs))
    assert [pair.value for pair in found.pairs] == pytest.approx(pairs)
    assert [(pair.more, pair.less) for pair in found.pairs] == [(C, A), (D, B), (D, A)]
    assert all(pair.low < pair.value < pair.high for pair in (*found.pairs, found.whole))
    assert found.p == found.whole.p


def test_recall_is_looked_at_where_the_claim_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The better row finds its photos among the first five, never first."""
    rows = result(A, some(0.9), at=5), result(B, some(0.3))
    first, five = judge(monkeypatch, made_up(tmp_path), [claim((A,), (B,)), claim((A,), (B,), at=5)], *rows)
    assert (first.verdict, five.verdict) == (CONTRARY, HOLDS)


def test_every_pair_is_as_sure_as_the_least_sure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = some(0.4)
    slightly = worse.copy()
    slightly[np.flatnonzero(~worse)[:2]] = True
    rows = result(A, worse), result(B, some(0.7)), result(C, some(0.8)), result(D, slightly)
    sure, unsure, mean = judge(
        monkeypatch,
        made_up(tmp_path),
        [claim((B, C), (A, A), every=True), claim((B, D), (A, A), every=True), claim((B, D), (A, A))],
        *rows,
    )
    assert (sure.verdict, unsure.verdict, mean.verdict) == (HOLDS, UNTOLD, HOLDS)
    assert unsure.p == max(pair.p for pair in unsure.pairs)
    assert unsure.agrees


def test_pairs_against_it_are_corrected_for_how_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pair the other way round is enough, however large the mean is; an equal pair speaks against it, too."""
    worse = some(0.3)
    rows = result(A, worse), result(B, some(0.9)), result(C, some(0.1)), result(D, worse)
    against, equal = judge(
        monkeypatch,
        made_up(tmp_path),
        [claim((B, C, D), (A, A, A), every=True), claim((B, D), (A, A), every=True)],
        *rows,
    )
    assert against.whole is not None
    assert against.whole.value > 0
    assert against.verdict == CONTRARY
    assert against.p == pytest.approx(3 * against.pairs[1].p)
    assert (equal.verdict, equal.p, equal.agrees) == (UNTOLD, 1.0, False)


def test_by_night_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Better at night and worse by day, which are three queries of four."""
    night = np.arange(QUERIES) % GROUP == 3
    rows = result(A, night | some(0.3)), result(B, ~night & some(0.9, 1))
    found = judge(
        monkeypatch,
        made_up(tmp_path),
        [claim((A,), (B,), asked=asked) for asked in ("night", "day", "all")],
        *rows,
    )
    assert [one.verdict for one in found] == [HOLDS, CONTRARY, CONTRARY]
    assert found[0].whole is not None
    assert found[0].whole.value == 1.0


# -- what cannot be tested ----------------------------------------------------------------------------------------


def test_rows_that_were_not_run_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [claim((A, B), (C, C)), claim((A,), (D,)), claim((A,), (D,), asked="night")]
    rows = result(A, some(0.9)), result(D, some(0.3))
    tested, lacking, by_day = found = judge(monkeypatch, made_up(tmp_path, ("day",) * GROUP), claims, *rows)
    assert [one.verdict for one in found] == [HOLDS, UNTOLD, UNTOLD]
    assert tested.missing == ""
    assert lacking.missing.startswith(f"2 of its 3 rows are not run: {B} and 1 more")
    assert by_day.missing == f"None of the queries of {Path('data/town')} is marked as taken by night."
    assert tested.corrected_p == tested.p  # it is the only one that was tested


def test_every_data_set_has_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    town, other = made_up(tmp_path), made_up(tmp_path, name="Other-Town")
    bench = Bench((*town.datasets, *other.datasets), tmp_path)
    found = judge(monkeypatch, bench, [claim((A,), (B,))], result(A, some(0.9)), result(B, some(0.1)))
    assert [(one.data, bool(one.missing)) for one in found] == [("town", False), ("other_town", True)]


# -- overfitting --------------------------------------------------------------------------------------------------


def course(*recalls_at_5: float, at_1: tuple[float, ...] = ()) -> tuple[tuple[float, float], ...]:
    """recall@1 and @5 by epoch, the untrained first."""
    return tuple(zip(at_1 or (0.5,) * len(recalls_at_5), recalls_at_5, strict=True))


def overfits(*rows: str) -> Claim:
    return Claim("o", "More epochs overfit", "nowhere", overfits=rows, overfits_after=3)


def naive_binomial(count: int, of: int, share: float) -> float:
    """Two-sided: of all outcomes those no more likely than what came out."""
    odds = [comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(of + 1)]
    return sum(one for one in odds if one <= odds[count] * (1 + 1e-9))


def test_best_epochs_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal epochs the one better by R@1, else the first; the untrained encoder is no epoch."""
    early = [
        course(0.1, 0.2, 0.9, 0.3, 0.4, 0.5),
        course(0.9, 0.2, 0.2, 0.3, 0.1, 0.1),
        course(0.1, 0.6, 0.2, 0.2, 0.2, 0.6),
        course(0.1, 0.9, 0.2),  # it stopped
    ]
    late = [
        course(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
        course(0.1, 0.6, 0.6, 0.6, 0.6, 0.2, at_1=(0.9, 0.1, 0.1, 0.1, 0.2, 0.0)),
    ]
    rows = (
        result(A, *[some(0.5)] * 3, epochs=(*early[:2], late[0])),
        result(B, *[some(0.5)] * 4, epochs=(*early[2:], late[1], late[0])),
    )
    [found] = judge(monkeypatch, made_up(tmp_path), [overfits(A, B)], *rows)
    assert (found.early, found.trainings, found.seeds) == (4, 6, 3)
    assert found.p == pytest.approx(naive_binomial(4, 6, 3 / 5))
    assert (found.verdict, found.agrees, found.whole) == (UNTOLD, True, None)


@pytest.mark.parametrize(("best", "verdict"), [(2, HOLDS), (9, CONTRARY)])
def test_overfitting_that_can_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: int, verdict: str) -> None:
    recalls = [0.1] * 11
    recalls[best] = 0.9
    row = result(A, *[some(0.5)] * 12, epochs=(course(*recalls),) * 12)
    [found] = judge(monkeypatch, made_up(tmp_path), [overfits(A)], row)
    assert found.verdict == verdict
    assert found.p == pytest.approx(naive_binomial(12 if best == 2 else 0, 12, 3 / 10))


@pytest.mark.parametrize("epochs", [1, 3])
def test_too_few_epochs_tell_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    [found] = judge(
        monkeypatch, made_up(tmp_path), [overfits(A)], result(A, some(0.5), epochs=(course(*[0.5] * (epochs + 1)),))
    )
    assert (found.early, found.trainings, found.p, found.verdict) == (1, 1, 1.0, UNTOLD)


def test_untrained_rows_have_no_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with --set epochs=0."""
    [found] = judge(monkeypatch, made_up(tmp_path), [overfits(A)], result(A, some(0.5), epochs=((),)))
    assert (found.verdict, found.p) == (UNTOLD, None)
    assert found.missing


# -- all claims ---------------------------------------------------------------------------------------------------


def test_p_values_are_corrected_over_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds alone cannot be told any more among many."""
    one = some(0.5)
    other = one.copy()
    other[np.flatnonzero(~one)[::9][:6]] = True
    rows = result(A, other), result(B, one)
    [alone] = judge(monkeypatch, made_up(tmp_path), [claim((A,), (B,))], *rows)
    assert alone.verdict == HOLDS
    many = judge(monkeypatch, made_up(tmp_path), [claim((A,), (B,)), *[claim((A,), (A,))] * 40], *rows)
    assert many[0].p == alone.p
    assert [one.corrected_p for one in many] == holm([one.p or 0.0 for one in many])
    assert many[0].verdict == UNTOLD


def test_the_papers_own_claims(tmp_path: Path) -> None:
    """With every row at hand all of them can be tested."""
    better = {name for one in papers.claims() for name in one.more} - {
        name for one in papers.claims() for name in one.less
    }

    def look(row: Row) -> RowResult:
        hits = some(0.7 if row.name in better else 0.3)
        return result(row.name, hits, epochs=(course(0.1, 0.2, 0.3, 0.2, 0.2, 0.2),))

    found = judged(made_up(tmp_path), look)
    assert {one.claim.name for one in found} == {one.name for one in papers.claims() if not one.across_views}
    assert all(one.p is not None for one in found)
    by_name = {one.claim.name: one.verdict for one in found}
    assert (by_name["multiscale-concat"], by_name["asgd"], by_name["night"]) == (HOLDS, HOLDS, HOLDS)
    assert by_name["overfitting"] == UNTOLD


def test_the_page_of_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [
        claim((A, B), (C, C), note="Mind the rates."),
        claim((C,), (A,), asked="night", at=5),
        overfits(A),
        claim((A,), (D,)),
    ]
    rows = (
        result(A, some(0.7), epochs=(course(0.1, 0.2),)),
        result(B, some(0.8)),
        result(C, some(0.2)),
    )
    bench = made_up(tmp_path)
    verdicts = judge(monkeypatch, bench, claims, *rows)
    page = claims_page(bench, verdicts)
    assert "corrected for the 3 claims tested (Holm)" in page
    lines = [line for line in page.splitlines() if line.startswith("| More")]
    whole = verdicts[0].whole
    assert whole is not None
    first = f"| R@1 {100 * whole.value:+.1f} [{100 * whole.low:+.1f}, {100 * whole.high:+.1f}] |"
    assert lines[0].startswith(f"| More is more (nowhere) | town | 1 {first}")
    assert lines[0].endswith("| **holds** |")
    assert "| town, by night | 1 | R@5 " in lines[1]
    assert lines[1].endswith("| **does not hold** |")
    assert "| best by epoch 3 in 1 of 1 trainings | 1.000 | **cannot be told** |" in lines[2]
    assert f"1 of its 2 rows are not run: {D} |" in lines[3]
    pairs = [line for line in page.splitlines() if line.startswith(f"| {A} | {C} |")]
    assert len(pairs) == 1
    assert page.count("Mind the rates.") == 1


# -- pages --------------------------------------------------------------------------------------------------------


def cells(page: str, heading: str) -> list[dict[str, str]]:
    """The rows of the table below a heading, by column."""
    part = page.split(f"## {heading}:")[1].split("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def shown(page: str, heading: str, key: str) -> dict[str, str]:
    """The row of that key."""
    return next(row for row in cells(page, heading) if row["row"].endswith(f"`{key}`"))


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def look_among(*results: RowResult) -> Look:
    """Those results; all other rows were not run."""
    known = {one.row.name: one for one in results}
    return lambda row: known.get(row.name, RowResult(row, problem="not run yet"))


def test_published_stands_beside_ours(tmp_path: Path) -> None:
    hits = [some(0.5, seed) for seed in range(2)]
    found = result("martin/4/netvlad", *hits, said=("The trunk starts so.", "It was cold."))
    other = result("martin/4/gem", some(0.3), said=("The trunk starts so.",))
    page = paper_page(made_up(tmp_path), papers.open_paper("martin"), look_among(found, other))
    row = shown(page, "Table IV", "netvlad")
    assert row["row"] == "NetVLAD `netvlad`"
    assert row["published pitts30k, R@1/5/10/20"] == "85.7 / 92.8 / 94.9 / 96.4"
    assert row["published tokyo_night, R@1/5/10/20"] == "26.7 / 46.7 / 55.2 / –"
    mean, low, high = found.recall("town", 1)
    cell = f"{100 * mean:.1f} [{100 * low:.0f}, {100 * high:.0f}]"
    assert row["town, R@1/5/10/20"] == " / ".join([cell] * 4)
    assert row["town by day, R@1"] != row["town by night, R@1"]
    assert (row["seeds"], row["started from"]) == ("2", "none")
    assert shown(page, "Table IV", "gem")["seeds"] == "1"
    assert "The published numbers are of other data" in page
    assert "nan" not in page


def test_notes_are_numbered_once(tmp_path: Path) -> None:
    found = result("martin/4/netvlad", some(0.5), said=("Of both.", "Trained shorter than in the paper.", "Of one."))
    other = result("martin/4/gem", some(0.3), said=("Of both.",))
    page = paper_page(made_up(tmp_path), papers.open_paper("martin"), look_among(found, other))
    part = page.split("## Table IV:")[1].split("\n## ")[0]
    assert [shown(page, "Table IV", key)["notes"] for key in ("gem", "netvlad", "concat")] == ["1", "2, 1, 3", "4"]
    assert [line for line in part.splitlines() if line[:1].isdigit()] == [
        "1. Of both.",
        "2. R@20 on tokyo_night is missing here; Table I says 64.8.",
        "3. Of one.",
        "4. not run yet",
    ]
    assert shown(page, "Table V", "netvlad")["notes"] == "2, 1"
    assert shown(page, "Table V", "pca-concat")["town, R@1/5/10/20"] == ""
    assert shown(page, "Table V", "pca-concat")["published sf_xs, R@1/5/10/20"] == "29.8 / 45.6 / 51.5 / 59.3"


def test_every_table_and_row_is_on_the_page(tmp_path: Path) -> None:
    bench = replace(made_up(tmp_path, name="tokyo-xs"), settings=("margin=0.2",), pace=Pace(40, 8, 200))
    for name in papers.paper_names():
        paper = papers.open_paper(name)
        page = paper_page(bench, paper, look_among())
        for table in paper.tables:
            found = cells(page, table.where)
            assert [row["row"].split("`")[1] for row in found] == [row.name.split("/")[2] for row in table.rows]
            assert f"## {table.where}: {table.title}" in page
            assert table.note in page
        assert paper.note in page
        assert "Every row with margin=0.2." in page
        assert "40 queries an epoch" in page
        assert ("of other data" in page) == (name in ("bui", "lavinskyi"))  # which have no tokyo-xs


def test_rows_that_need_something_say_what(tmp_path: Path) -> None:
    needy = RowResult(papers.open_row(NEEDY), problem=NIGHTS_NEEDED)
    page = paper_page(made_up(tmp_path), papers.open_paper("atadjanov"), look_among(needy))
    assert NIGHTS_NEEDED in page.split("## Table II:")[1].split("\n## ")[0]


def test_the_csv_reads_back_to_the_same_numbers(tmp_path: Path) -> None:
    """A line for every row, data set, part of the queries and N; one for a row without scores."""
    found = result("martin/4/netvlad", some(0.5), some(0.4, 1))
    failed = RowResult(papers.open_row(NEEDY), problem='It needs "nights", and more.')
    bench = made_up(tmp_path)
    lines = read_csv(rows_csv(bench, [found, failed]))
    assert len(lines) == 3 * 4 + 1
    assert (lines[-1]["row"], lines[-1]["problem"], lines[-1]["recall"]) == (NEEDY, failed.problem, "")
    asked = [(line["queries"], int(line["recall_at"])) for line in lines[:-1]]
    assert asked == [(part, at) for part in ("all", "day", "night") for at in (1, 5, 10, 20)]
    for line in lines[:-1]:
        mean = found.recall("town", int(line["recall_at"]), queries_of(bench, "town", line["queries"]))
        assert [float(line[key]) for key in ("recall", "low95", "high95")] == pytest.approx(mean, abs=1e-4)
        assert (line["row"], line["data"], line["split"], line["seeds"]) == ("martin/4/netvlad", "town", "test", "2")
        assert (line["published"], line["image_size"], line["problem"]) == ("", "32x64", "")


def test_the_csv_has_what_was_published_on_the_same_data(tmp_path: Path) -> None:
    night = made_up(tmp_path, ("night",) * 4, name="tokyo-night")
    found = result("martin/1/netvlad", some(0.5))
    found = replace(found, scores={"tokyo_night": found.scores["town"]})
    lines = read_csv(rows_csv(night, [found]))
    assert [line["published"] for line in lines] == ["26.7", "46.7", "55.2", "64.8", "", "", "", ""]
    assert [line["queries"] for line in lines] == ["all"] * 4 + ["night"] * 4


def test_pages_are_written_for_the_papers_asked_for(tmp_path: Path) -> None:
    bench = made_up(tmp_path)
    chosen = papers.chosen_rows("martin/3")
    written = write_tables(bench, chosen, look_among(), [])
    assert [path.name for path in written] == ["martin.md", "rows.csv", "claims.md"]
    assert all(is_file(path) for path in written)
    every = [row.name for name in papers.paper_names() for row in papers.chosen_rows(name)]
    assert [line["row"] for line in read_csv(written[1].read_text(encoding="utf-8"))] == every


def test_a_row_that_is_done_in_a_line() -> None:
    assert progress_line(RowResult(papers.open_row(A), problem="It is cold.")) == f"{A}: It is cold."
    assert progress_line(result(A, np.ones(120, dtype=bool))) == f"{A}: town R@1 100.0 [100, 100]"
