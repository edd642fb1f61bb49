"""What a user asks for, end to end: each workflow joins the lower strata and writes records."""
