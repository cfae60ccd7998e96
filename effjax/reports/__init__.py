"""What people look at: tables, curves, contact sheets, the HTML report."""
