"""The parts that are measured: a module each with a function `measure(repeats) -> PartResult`."""
