"""Many trainings of one plan: which, where and in which order, and what each of them needs."""
