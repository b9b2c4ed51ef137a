"""What a method is called in tables and on pages."""


def method_title(baseline: str, contrast: str) -> str:
    """ "SEAM + HSC" and so on; "SEAM" without contrast. Both as in params.yaml."""
    title = baseline.upper()
    return title if contrast == "none" else f"{title} + {contrast.upper()}"
