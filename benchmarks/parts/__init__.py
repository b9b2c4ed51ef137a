"""The parts that `python -m benchmarks` measures, a module each."""
