"""Training runs: teachers, students, curricula; one table, one report."""
