"""What methods are called."""

from hsc.params.run import method_title


def test_titles() -> None:
    assert method_title("seam", "hsc") == "SEAM + HSC"
    assert method_title("eps", "ppc") == "EPS + PPC"
    assert method_title("cam", "none") == "CAM"
