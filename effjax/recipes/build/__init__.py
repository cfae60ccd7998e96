"""From a config to what the loop runs: datasets, networks, teachers, jobs."""
