"""Reports: figures, the recovery table and the HTML page. They read records and tables, never models."""
