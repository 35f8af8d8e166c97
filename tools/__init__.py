"""Programs around the package: benchmarks, plots of runs."""
