"""Studies: grids of trainings and quantizations, run anywhere, stored cell by cell, reported with intervals."""
