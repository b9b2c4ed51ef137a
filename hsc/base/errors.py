"""Problems that the user can mend, each with the document that helps.

The kinds differ in nothing but that document; whoever handles an error handles `HscError`.
"""

from typing import ClassVar


class HscError(Exception):
    """Bad input. The text names the file, key or value, what is wrong with it and what to do."""

    page: ClassVar[str] = "docs/troubleshooting.md"


class DataError(HscError):
    """Of a data set: its folder, lists, tags, masks and archives."""

    page = "docs/data.md"


class SaliencyError(HscError):
    """Of saliency maps: where they come from, what they have to be."""

    page = "docs/saliency.md"


class WeightsError(HscError):
    """Of a file of weights, ours or published."""

    page = "docs/weights.md"


class ExperimentError(HscError):
    """Of what is run: parameters, recipes, experiments."""

    page = "docs/experiments.md"


class MachineError(HscError):
    """Of where it runs: devices, processes, torchrun."""

    page = "docs/scaling.md"


class SubmissionError(HscError):
    """Of predictions for VOC's evaluation server."""

    page = "docs/segmentation.md"


class PredictionError(HscError):
    """Of the user's own pictures and their predictions."""

    page = "docs/prediction.md"


class AnnotationError(HscError):
    """Of labels that go to an annotation tool and come back."""

    page = "docs/annotation.md"
