"""Small networks as files: trained, exported, measured where they run; one table, one report."""
