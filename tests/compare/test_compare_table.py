"""Numbers and tables in Markdown."""

from hsc.compare import table


def test_numbers() -> None:
    assert table.number(None) == table.NONE
    assert table.number(-0.04, sign=True) == "+0.0"
    assert table.number(-1.25, 1) == "-1.2"
    assert table.spread([]) == table.NONE
    assert table.spread([3.0]) == "3.0"
    assert table.p_text(None) == table.NONE
    assert table.p_text(0.0004) == "< 0.001"
    assert table.p_text(0.0006) == "0.001"


def test_a_padded_table_is_aligned_and_has_the_same_cells() -> None:
    header, lines = ["row", "val"], [["SEAM", "1"], ["SEAM + HSC", "12.0 ± 1.0"]]
    padded = table.markdown(header, lines, pad=True).splitlines()
    assert len({len(line) for line in padded}) == 1
    assert padded[1] == "| ---------- | ---------- |"
    plain = table.markdown(header, lines).splitlines()
    assert plain[1:] == ["| --- | --- |", "| SEAM | 1 |", "| SEAM + HSC | 12.0 ± 1.0 |"]
    for one, other in zip(padded, plain, strict=True):
        assert [cell.strip("- ") for cell in one.split("|")] == [
            cell.strip("- ") for cell in other.split("|")
        ]
