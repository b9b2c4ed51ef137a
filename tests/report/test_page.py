"""hsc.report.page and the command: one file, complete, safe, the same each time."""

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hsc.report.facts import Facts, gather
from hsc.report.page import cells, heat_maps, render, scores
from hsc.report.provenance import Change, Commit
from hsc.report.reading import ClassScores
from stages.report import main
from tests.report.runs import Run, make_run
from tests.stage_runs import ROOT, contents

ODD = ("<b>bold</b>", 'quo"te & co', "plain")
VOID = {"meta", "link", "img", "br", "path", "use"}


class Tags(HTMLParser):
    """Every tag with its attributes, and what is open at the end or closed without a beginning."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag not in VOID:
            self.wrong.append(tag)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Tests must not change it."""
    run = make_run(tmp_path_factory.mktemp("page") / "run", "shapes", ODD)
    run.record("train_cam", "outputs/cam.pt", versions={"torch": "2.0.1"})
    return run


@pytest.fixture(scope="module")
def facts(run: Run) -> Facts:
    return gather(run.where)


@pytest.fixture(scope="module")
def page(facts: Facts) -> str:
    return render(facts)


@pytest.fixture(scope="module")
def bare(facts: Facts) -> Facts:
    """Without most of the charts, which take the time."""
    return dataclasses.replace(facts, trainings={}, curve=None)


@pytest.fixture(scope="module")
def tags(page: str) -> Tags:
    return Tags(page)


def test_tags_are_closed_and_ids_unique(tags: Tags) -> None:
    assert tags.open == []
    assert tags.wrong == []
    identities = Counter(each["id"] for _, each in tags.found if "id" in each)
    assert max(identities.values()) == 1
    targets = [each["href"] for each in tags.of("a") if (each["href"] or "").startswith("#")]
    assert {target[1:] for target in targets} <= set(identities)


def test_nothing_is_loaded_from_elsewhere(page: str, tags: Tags) -> None:
    assert tags.of("script") == []
    assert all((each["src"] or "").startswith("data:image/png;base64,") for each in tags.of("img"))
    assert [each["href"] for each in tags.of("link")] == ["data:,"]
    assert "url(" not in re.sub(r"url\(#", "", page)
    assert "@import" not in page
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    addresses = set(re.findall(r"https?://[^\"'<\s]+", page)) - namespaces
    assert addresses == {
        each["href"] for each in tags.of("a") if not (each["href"] or "").startswith("#")
    } | set(re.findall(r"https?://[^\"'<\s]+", (ROOT / "recipes/shapes.yaml").read_text()))


def test_it_can_be_read_without_seeing_it(tags: Tags) -> None:
    assert tags.of("html")[0]["lang"] == "en"
    assert len(tags.of("title")) >= 1
    assert len(tags.of("h1")) == 1
    assert all(each.get("alt") for each in tags.of("img"))
    assert all(each.get("scope") for each in tags.of("th"))
    roots = tags.of("svg")
    assert roots
    assert all(each.get("role") == "img" and each.get("aria-label") for each in roots)
    levels = [int(tag[1]) for tag, _ in tags.found if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_names_are_escaped(page: str) -> None:
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page


def test_what_the_data_set_holds(page: str) -> None:
    row = '<td class="number">{}</td><td class="number">{}</td><td class="number">{}</td>'
    assert '<th scope="row">pictures</th>' + row.format(10582, 1464, 1449) in page
    assert '<th scope="row">plain</th>' + row.format(102, 12, "?") in page
    assert "width 142 to 500 pixels, median 499.5" in page
    assert "masks/, with 12 files named as pictures; notes.txt" in page


def test_the_data_set_of_an_earlier_version(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "shapes", ODD)
    facts = json.loads((run.folder / "metrics/data.json").read_text())
    for key in ("table", "class_table", "sizes", "unused"):
        del facts[key]
    (run.folder / "metrics/data.json").write_text(json.dumps(facts))
    page = render(gather(run.where))
    assert "12031 pictures" in page
    assert "Pictures by split and class" not in page


def test_the_same_run_gives_the_same_bytes(run: Run, page: str) -> None:
    assert render(gather(run.where)) == page


def test_the_columns_of_the_score_table(run: Run, facts: Facts) -> None:
    columns = scores(facts)
    assert [column.title for column in columns] == ["Seed", "+ CRF", "Masks", "val"]
    assert columns[3].miou == run.scores("val")["mIoU"]
    assert columns[3].scored_on == "val, 1449 pictures"
    blind = facts.scores["val"].model_copy(update={"miou": None})
    there = {"crf": facts.scores["crf"], "val": blind}
    columns = scores(dataclasses.replace(facts, scores=there))
    assert [column.miou for column in columns] == [None, facts.scores["crf"].miou, None, None]
    assert [column.scored_on for column in columns][2:] == ["not run", "no masks for val"]


def test_absent_classes_are_named(bare: Facts) -> None:
    classes = ClassScores(absent=("unicorn",))
    val = bare.scores["val"].model_copy(update={"classes": classes})
    assert "absent: unicorn" in render(
        dataclasses.replace(bare, scores={**bare.scores, "val": val})
    )


def test_confusion_in_percent_of_the_truth(bare: Facts) -> None:
    first = heat_maps(bare)[0]
    assert first.title == "The segmentation network on val"
    pixels = bare.confusions["val"].pixels
    for (name, shares), row in zip(first.rows, pixels, strict=True):
        assert name in first.names
        assert shares == pytest.approx(100 * row / row.sum())
    empty = dataclasses.replace(bare.confusions["val"], pixels=pixels * [[0], [1], [1], [1]])
    changed = dataclasses.replace(bare, confusions={"val": empty})
    assert heat_maps(changed)[0].rows[0][1] == (None,) * 4
    assert render(changed)


def test_masks_that_are_the_crfs_are_not_shown_twice(facts: Facts) -> None:
    def titles(psa: bool) -> list[str]:
        changed = facts.run.psa.model_copy(update={"enabled": psa})
        run = facts.run.model_copy(update={"psa": changed})
        return [each.title for each in heat_maps(dataclasses.replace(facts, run=run))]

    assert "The masks on train" not in titles(False)
    assert "The masks on train" in titles(True)


def test_small_pictures_are_enlarged_in_steps(facts: Facts) -> None:
    large, _, small = (cells(panel) for panel in facts.panels)
    assert not large[0].pixelated
    assert small[0].pixelated
    assert [view.caption for view in small][:3] == ["picture", "CAM: plain", "seed"]


def test_what_stages_took(page: str) -> None:
    row = re.search(r"<tr><th scope=\"row\">train_cam</th>.*?</tr>", page, re.DOTALL)
    assert row is not None
    told = re.sub(r"<[^>]+>", "|", row[0])
    for value in ("1 min 15 s", "812.0 MB", "cpu", "2026-02-03 04:05"):
        assert value in told
    cached = re.search(r"<tr><th scope=\"row\">infer_cams</th>.*?</tr>", page, re.DOTALL)
    assert cached is not None
    assert "from the cache, not timed on this machine" in cached[0]
    assert "1 min 15 s in 1 of 16 stages" in page
    assert "2.0.1 (train_cam)" in page


def test_memory_is_that_of_the_largest_process(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "shapes", ODD)
    run.record("train_cam", "outputs/cam.pt", peak_bytes=10**9, peak_child_bytes=3 * 10**9)
    page = render(gather(run.where))
    assert ">3.0 GB<" in page
    assert "1.0 GB" not in page
    assert "GPU memory" not in page


def test_gpu_memory_has_a_column_where_a_gpu_was_used(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "shapes", ODD)
    run.record("train_cam", "outputs/cam.pt", peak_gpu_bytes=17 * 10**9, device="a GPU")
    page = render(gather(run.where))
    assert "GPU memory" in page
    assert ">17.0 GB<" in page


def test_how_to_reproduce_it(bare: Facts) -> None:
    clean = Commit("f" * 40, (), ())
    assert "is that commit's, without changes" in render(dataclasses.replace(bare, commit=clean))
    changed = render(dataclasses.replace(bare, commit=Commit("f" * 40, ("hsc/x.py",), ("a=1",))))
    assert "dvc exp run -S a=1" in changed
    assert "Changed: hsc/x.py" in changed
    assert "no override" in render(dataclasses.replace(bare, commit=Commit("f" * 40, (), None)))
    assert "No git repository" in render(dataclasses.replace(bare, commit=None))


def test_parameters_that_are_not_those_of_the_figures(bare: Facts, page: str) -> None:
    assert "parameters have changed" not in page
    change = Change("baseline", "seam", "eps", ("train_cam", "infer_cams"))
    text = render(dataclasses.replace(bare, changes=(change,)))
    assert "parameters have changed since these stages ran" in text
    assert "was seam and is eps: train_cam, infer_cams" in text


def test_both_files_are_there_as_a_whole(page: str) -> None:
    for line in (ROOT / "recipes/shapes.yaml").read_text().splitlines()[:40]:
        assert line.split("#")[0].rstrip().replace("'", "&#39;") in page


def test_a_run_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "shapes", ODD)
    run.remove("metrics", "plots", "outputs")
    text = render(gather(run.where))
    tags = Tags(text)
    assert tags.open == []
    assert "Not all of the pipeline has run" in text
    assert tags.of("img") == []
    assert tags.of("svg") == []
    assert text.count("not scored yet") == 4


def invoke(run: Run, *arguments: str) -> Result:
    names = ("params", "recipes", "metrics", "plots", "outputs", "records")
    where = [part for name in names for part in (f"--{name}", str(getattr(run.where, name)))]
    return CliRunner().invoke(main, [*where, *arguments])


def test_the_command_writes_the_page_and_nothing_else(run: Run, page: str, tmp_path: Path) -> None:
    before = contents(run.folder)
    out = tmp_path / "new" / "page.html"
    result = invoke(run, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert f"{out}: mIoU {run.scores('val')['mIoU']:.2f} % on val" in result.output
    assert out.read_text(encoding="utf-8") == page
    assert contents(run.folder) == before
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_the_summary_of_half_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "shapes", ODD)
    run.remove("plots")
    out = ("--out", str(tmp_path / "page.html"))
    (run.folder / "metrics/val.json").write_text('{"split": "val", "images": 0, "mIoU": null}')
    assert "page.html: val was not scored" in invoke(run, *out).output
    run.remove("metrics/val.json")
    assert "page.html: no score on val yet" in invoke(run, *out).output


def test_a_broken_file_is_one_line_and_no_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "shapes", ODD)
    (run.folder / "metrics/val.json").write_text("{")
    result = invoke(run, "--out", str(tmp_path / "page.html"))
    assert result.exit_code == 1
    assert "metrics/val.json: not valid JSON" in result.output
    assert "run evaluate@val again" in result.output
    assert not (tmp_path / "page.html").exists()


def test_neither_torch_nor_dvc_is_imported() -> None:
    code = (
        "import sys, stages.report; print(*{'torch', 'dvc', 'scipy', 'cv2'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_rounds_of_auxsegnet_are_a_table(tmp_path: Path, run: Run) -> None:
    made = make_run(tmp_path / "run", "shapes", ODD, segmentation="auxsegnet")
    text = render(gather(made.where))
    parsed = Tags(text)
    assert not parsed.wrong
    assert not parsed.open
    for row in ("round 0", "round 1", "round 2"):
        assert f'<th scope="row">{row}</th>' in text
    assert "<td>49.5</td><td>85.6</td><td>42.9</td><td>70.2</td>" in text
    assert "round 0" not in render(gather(run.where))


def test_rounds_that_were_not_scored_are_missing(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", "shapes", ODD, segmentation="auxsegnet")
    made.remove("metrics/rounds.json")
    facts = gather(made.where)
    assert [missing.stage for missing in facts.missing] == ["evaluate_rounds"]
    assert facts.rounds == {}
