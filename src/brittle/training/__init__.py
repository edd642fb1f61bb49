"""The only optimisation loop: the laboratory's pretraining, unlearning and relearning all use it."""
