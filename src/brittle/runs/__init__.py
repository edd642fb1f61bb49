"""What makes records: plan, train, observe, diagnose, attack, evaluate, publish."""
